/* Echoes what comes over TLS, with OpenSSL on the sockets themselves: what is left when there is no
   Python. Loaded into a Python process, which measures it as it measures every server. */

#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM 65536

struct connection {
    SSL *ssl;
    char *data; /* What was read and is not sent yet; NULL if there is nothing. */
    int length;
};

static void end(struct connection *one) {
    int fd = SSL_get_fd(one->ssl);
    SSL_shutdown(one->ssl);
    SSL_free(one->ssl);
    free(one->data);
    free(one);
    close(fd);
}

static void want(int epoll, struct connection *one, unsigned events) {
    struct epoll_event event = {.events = events, .data.ptr = one};
    epoll_ctl(epoll, EPOLL_CTL_MOD, SSL_get_fd(one->ssl), &event);
}

static void echo(int epoll, struct connection *one, char *room) {
    for (;;) {
        char *data = one->data ? one->data : room;
        int length = one->data ? one->length : SSL_read(one->ssl, room, ROOM);
        if (length <= 0) {
            if (SSL_get_error(one->ssl, length) != SSL_ERROR_WANT_READ)
                end(one);
            return;
        }
        int sent = SSL_write(one->ssl, data, length);
        if (sent <= 0) {
            if (SSL_get_error(one->ssl, sent) != SSL_ERROR_WANT_WRITE) {
                end(one);
                return;
            }
            if (!one->data) {
                one->data = malloc(length);
                __builtin_memcpy(one->data, room, length);
                one->length = length;
                want(epoll, one, EPOLLOUT);
            }
            return;
        }
        if (one->data) {
            free(one->data);
            one->data = NULL;
            want(epoll, one, EPOLLIN);
        }
        if (!SSL_pending(one->ssl))
            return;
    }
}

/* Serves for ever on the listening, blocking socket. Returns only if it cannot begin. */
int serve(int listener, const char *certificate, const char *key) {
    static char room[ROOM];
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_use_certificate_file(context, certificate, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        return 1;
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[256];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            struct connection *one = events[i].data.ptr;
            ERR_clear_error();
            if (one) {
                echo(epoll, one, room);
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (fd < 0)
                continue;
            int on = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            one = calloc(1, sizeof *one);
            one->ssl = SSL_new(context);
            SSL_set_fd(one->ssl, fd);
            SSL_set_accept_state(one->ssl);
            event.events = EPOLLIN;
            event.data.ptr = one;
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        }
    }
}
