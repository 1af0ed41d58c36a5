"""A server in C on the same OpenSSL, which only echoes over TLS."""

from __future__ import annotations

import ctypes
import socket
import subprocess
import tempfile
from pathlib import Path

from halfclose.testing.tools.certificates import SERVER, SERVER_KEY

from .sizes import BACKLOG, HOST, Ready, Turns

__all__ = ["exchange", "serve"]

_SOURCE = Path(__file__).with_name("echo_over_tls.c")


def serve(variant: str, service: str, ready: Ready) -> None:
    """Serve for ever.

    :raises ValueError: it is asked for another service.
    :raises subprocess.CalledProcessError: there is no compiler, or no header files of OpenSSL.
    """
    if service != "tls-echo":
        raise ValueError(f"this server has no service {service}")
    with tempfile.TemporaryDirectory() as folder:
        compiled, certificate, key = (Path(folder) / name for name in ("echo.so", "cert", "key"))
        certificate.write_text(SERVER)
        key.write_text(SERVER_KEY)
        shared = ("-shared", "-fPIC", "-O2", "-o", str(compiled))
        subprocess.run(["cc", *shared, str(_SOURCE), "-lssl", "-lcrypto"], check=True)
        library = ctypes.CDLL(str(compiled))
        listener = socket.create_server((HOST, 0), backlog=BACKLOG)
        ready(listener.getsockname()[1])
        library.serve(listener.fileno(), str(certificate).encode(), str(key).encode())


def exchange(variant: str, port: int, turns: Turns, request: bytes) -> None:
    """It is only a server.

    :raises ValueError: always.
    """
    raise ValueError("this server is no client")
