"""The load over TLS 1.3: small messages, bulk, and handshakes.

The generator costs about as much as a server here, so only the server's processor time is looked
at, which does not depend on how busy the generator is.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..servers.sizes import HOST, PIECE
from .connections import MESSAGE
from .round import Round, Stopwatch, undisturbed

__all__ = ["connected_tls", "echo_tls", "receive_tls", "send_tls", "shake_hands"]

_PATIENCE = 60.0


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # What a client checks is no work of the server's.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_CLIENT = _context()


def _connect(port: int) -> ssl.SSLSocket:
    sock = socket.create_connection((HOST, port), _PATIENCE)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _CLIENT.wrap_socket(sock)
    except BaseException:
        sock.close()
        raise


def _end(sock: ssl.SSLSocket) -> None:
    """End as TLS asks for, and close."""
    with suppress(OSError):
        sock.settimeout(_PATIENCE)
        sock.unwrap()
    sock.close()


def _greet(sock: ssl.SSLSocket) -> None:
    sock.sendall(MESSAGE)
    came = 0
    while came < len(MESSAGE):
        data = sock.recv(len(MESSAGE))
        if not data:
            raise ConnectionError("the echo is cut")
        came += len(data)


@contextmanager
def connected_tls(port: int, count: int) -> Iterator[list[ssl.SSLSocket]]:
    """*count* connections to an echo server, each served once; ended at the end of the block."""
    socks: list[ssl.SSLSocket] = []
    try:
        for _ in range(count):
            socks.append(_connect(port))
            _greet(socks[-1])
        yield socks
    finally:
        for sock in socks:
            _end(sock)


def echo_tls(socks: list[ssl.SSLSocket], seconds: float) -> Round:
    """Keep every connection busy for so long with one message under way on each."""
    by_fd = {sock.fileno(): sock for sock in socks}
    with select.epoll() as epoll, undisturbed():
        for fd, sock in by_fd.items():
            sock.setblocking(False)
            epoll.register(fd, select.EPOLLIN)
        watch = Stopwatch()
        end = time.perf_counter() + seconds
        for sock in socks:
            sock.send(MESSAGE)
        count, under_way = 0, len(socks)
        while under_way:
            going_on = time.perf_counter() < end
            for fd, _ in epoll.poll(-1, len(socks)):
                sock = by_fd[fd]
                if len(sock.recv(65536)) != len(MESSAGE):
                    raise ConnectionError("the echo is cut")
                count += 1
                if going_on:
                    sock.send(MESSAGE)
                else:
                    under_way -= 1
        return watch.stop(count)


def send_tls(port: int, size: int) -> Round:
    """Send *size* bytes, end our half, and wait until the server has ended its own."""
    sock = _connect(port)
    with undisturbed():
        watch = Stopwatch()
        for _ in range(size // len(PIECE)):
            sock.sendall(PIECE)
        _end(sock)
        return watch.stop(size)


def receive_tls(port: int, size: int) -> Round:
    """Ask for *size* bytes and receive them, to the end of stream."""
    buffer = bytearray(1 << 16)
    sock = _connect(port)
    with undisturbed():
        watch = Stopwatch()
        sock.sendall(str(size).encode())
        received = 0
        while count := sock.recv_into(buffer):
            received += count
        _end(sock)
        if received != size:
            raise ConnectionError(f"{received} bytes came where {size} were asked for")
        return watch.stop(size)


def shake_hands(port: int, count: int) -> Round:
    """*count* connections, one after the other, each with a full handshake and one message."""
    with undisturbed():
        watch = Stopwatch()
        for _ in range(count):
            sock = _connect(port)
            _greet(sock)
            _end(sock)
        return watch.stop(count)
