"""What the user of a peer does, where the peer itself only passes on: through sockets or pipes."""

from __future__ import annotations

import socket
import subprocess
import time
from concurrent.futures import Future
from contextlib import suppress

from .setting import ANSWER, HEAD, LATE, LIMIT, QUESTION, REQUEST, Setting

__all__ = ["accepting", "dialling", "through_pipes"]


def accepting(setting: Setting, *, http: bool = False) -> tuple[int, Future[int]]:
    """A user to whom the peer connects.

    :returns: the port for that, and how many bytes the user gets.
    """
    listener = setting.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    listener.settimeout(LIMIT)

    def use() -> int:
        sock, _ = listener.accept()
        return _use(sock, setting, http)

    return listener.getsockname()[1], setting.pool.submit(use)


def dialling(setting: Setting, port: int, *, http: bool = False) -> Future[int]:
    """A user who connects to the peer at *port*, as soon as it listens.

    :returns: how many bytes the user gets.
    """

    def use() -> int:
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                sock = socket.create_connection(("127.0.0.1", port))
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, f"nobody listens at {port}"
                time.sleep(0.01)
            else:
                return _use(sock, setting, http)

    return setting.pool.submit(use)


def _use(sock: socket.socket, setting: Setting, http: bool) -> int:
    with sock:
        sock.settimeout(LIMIT)
        if setting.part == "asks":
            sock.sendall(REQUEST if http else QUESTION)
            if not http:
                sock.shutdown(socket.SHUT_WR)
            return _read(sock, b"")
        count = _read(sock, b"\r\n\r\n" if http else b"")
        time.sleep(LATE)
        # The peer may have gone.
        with suppress(OSError):
            sock.sendall((HEAD if http else b"") + ANSWER)
            sock.shutdown(socket.SHUT_WR)
            _read(sock, b"")
        return count


def _read(sock: socket.socket, until: bytes) -> int:
    """Read until the data ends with *until*, or to the end; give the bytes, without HTTP's head."""
    received = b""
    with suppress(ConnectionResetError):
        while data := sock.recv(65536):
            received += data
            if until and received.endswith(until):
                break
    head, _, body = received.rpartition(b"\r\n\r\n")
    return len(body if head else received)


def through_pipes(setting: Setting, process: subprocess.Popen[bytes]) -> Future[int]:
    """A user of a program that passes on what it reads from its input, and writes what has come.

    The program cannot tell its user of the end of our half, so he looks for it here.
    """
    entry, exit_ = process.stdin, process.stdout
    assert entry is not None
    assert exit_ is not None

    def use() -> int:
        with suppress(BrokenPipeError):
            if setting.part == "asks":
                entry.write(QUESTION)
                entry.flush()
                # Some take an end during the handshake for the end of everything.
                assert setting.we_heard.wait(LIMIT)
            else:
                assert setting.we_ended.wait(LIMIT)
                time.sleep(LATE)
                entry.write(ANSWER)
        with suppress(BrokenPipeError):
            entry.close()
        # Some programs print more than what has come, but no zeros.
        return exit_.read().count(0)

    return setting.pool.submit(use)
