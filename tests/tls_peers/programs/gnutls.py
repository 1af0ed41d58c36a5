"""One conversation over GnuTLS, as every peer here has it:

    python gnutls.py client|server asks|answers PORT FOLDER

Who asks sends a question, ends its half and reads the answer. Who answers reads the question to its
end and answers a little later. Both print how many bytes they have read, and how that ended. FOLDER
has ca.pem, certificate.pem and key.pem.
"""

from __future__ import annotations

import ctypes
import socket
import sys
import time
from pathlib import Path

LATE = 0.2
SIZE = 200_000

# From gnutls.h.
SERVER, CLIENT = 1, 2
CERTIFICATES = 1
PEM = 1
DNS = 1
SHUT_RDWR, SHUT_WR = 0, 1
AGAIN = (-28, -52)

# GnuTLS keeps a pointer to it.
HOST = b"localhost"

library = ctypes.CDLL("libgnutls.so.30")
for name in ("gnutls_record_send", "gnutls_record_recv"):
    getattr(library, name).restype = ctypes.c_ssize_t
library.gnutls_strerror.restype = ctypes.c_char_p


def checked(code: int) -> int:
    if code < 0:
        sys.exit(library.gnutls_strerror(code).decode())
    return code


def session_over(sock: socket.socket, side: str, folder: Path) -> ctypes.c_void_p:
    """A session of GnuTLS over *sock*, after its handshake."""

    def path(name: str) -> ctypes.c_char_p:
        return ctypes.c_char_p(bytes(folder / name))

    credentials, session = ctypes.c_void_p(), ctypes.c_void_p()
    checked(library.gnutls_certificate_allocate_credentials(ctypes.byref(credentials)))
    checked(library.gnutls_init(ctypes.byref(session), CLIENT if side == "client" else SERVER))
    if side == "client":
        library.gnutls_certificate_set_x509_trust_file(credentials, path("ca.pem"), PEM)
        checked(library.gnutls_server_name_set(session, DNS, HOST, ctypes.c_size_t(len(HOST))))
        library.gnutls_session_set_verify_cert(session, HOST, 0)
    else:
        files = path("certificate.pem"), path("key.pem")
        checked(library.gnutls_certificate_set_x509_key_file(credentials, *files, PEM))
    checked(library.gnutls_set_default_priority(session))
    checked(library.gnutls_credentials_set(session, CERTIFICATES, credentials))
    library.gnutls_transport_set_int2(session, sock.fileno(), sock.fileno())
    while (code := library.gnutls_handshake(session)) in AGAIN:
        pass
    checked(code)
    return session


def send(session: ctypes.c_void_p, data: bytes) -> None:
    while data:
        code = library.gnutls_record_send(session, data, ctypes.c_size_t(len(data)))
        if code not in AGAIN:
            data = data[checked(code) :]


def read_to_end(session: ctypes.c_void_p) -> str:
    count = 0
    buffer = ctypes.create_string_buffer(65536)
    while True:
        code = library.gnutls_record_recv(session, buffer, ctypes.c_size_t(len(buffer)))
        if code in AGAIN:
            continue
        if code < 0:
            return f"{count} {library.gnutls_strerror(code).decode()}"
        if code == 0:
            return f"{count} clean"
        count += code


def main(side: str, part: str, port: str, folder: str) -> None:
    if side == "client":
        sock = socket.create_connection(("127.0.0.1", int(port)))
    else:
        with socket.create_server(("127.0.0.1", int(port))) as listener:
            sock, _ = listener.accept()
    with sock:
        session = session_over(sock, side, Path(folder))
        if part == "asks":
            send(session, b"question\n")
            library.gnutls_bye(session, SHUT_WR)
        print(read_to_end(session), flush=True)
        if part == "answers":
            time.sleep(LATE)
            send(session, bytes(SIZE))
            library.gnutls_bye(session, SHUT_WR)
            read_to_end(session)


main(*sys.argv[1:])
