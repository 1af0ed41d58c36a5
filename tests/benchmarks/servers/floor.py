"""The floor: a bare ``selectors`` loop with nothing around it that the work does not need."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable

from .sizes import BACKLOG, HOST, READ_SIZE, Ready, Turns, write_in_pieces

__all__ = ["exchange", "serve"]

_Selector = selectors.BaseSelector


class _Connection:
    """Calls `readable` and `writable`; what a send does not take waits in `_pending`."""

    def __init__(self, sock: socket.socket, selector: _Selector) -> None:
        self._sock = sock
        self._selector = selector
        self._pending = b""
        selector.register(sock, selectors.EVENT_READ, self.readable)

    def readable(self) -> None:
        raise NotImplementedError

    def _write(self, data: bytes) -> None:
        try:
            taken = self._sock.send(data)
        except BlockingIOError:
            taken = 0
        if taken < len(data):
            self._pending = data[taken:]
            self._selector.modify(self._sock, selectors.EVENT_WRITE, self.writable)

    def writable(self) -> None:
        pending, self._pending = self._pending, b""
        self._write(pending)
        if not self._pending:
            self._selector.modify(self._sock, selectors.EVENT_READ, self.readable)

    def _close(self) -> None:
        self._selector.unregister(self._sock)
        self._sock.close()


class _Echo(_Connection):
    def readable(self) -> None:
        data = self._sock.recv(READ_SIZE)
        if data:
            self._write(data)
        else:
            self._close()


class _Discard(_Connection):
    def readable(self) -> None:
        if not self._sock.recv(READ_SIZE):
            self._close()


class _Reply(_Connection):
    def __init__(self, sock: socket.socket, selector: _Selector) -> None:
        super().__init__(sock, selector)
        self._request = b""
        self._ended = False

    def readable(self) -> None:
        data = self._sock.recv(READ_SIZE) if not self._ended else b""
        if data:
            self._request += data
            return
        if not self._ended:
            self._ended = True
            self._write(self._request)
        if not self._pending:
            self._close()


class _Source(_Connection):
    def readable(self) -> None:
        self._pieces = write_in_pieces(int(self._sock.recv(READ_SIZE)))
        self._selector.modify(self._sock, selectors.EVENT_WRITE, self.writable)

    def writable(self) -> None:
        pending, self._pending = self._pending, b""
        data = pending or next(self._pieces, b"")
        if data:
            self._write(bytes(data))
        else:
            self._close()


_SERVICES: dict[str, type[_Connection]] = {
    "echo": _Echo,
    "bulk-echo": _Echo,
    "discard": _Discard,
    "reply": _Reply,
    "source": _Source,
}


def serve(variant: str, service: str, ready: Ready) -> None:
    """Serve for ever."""
    make = _SERVICES[service]
    selector = selectors.DefaultSelector()
    listener = socket.create_server((HOST, 0), backlog=BACKLOG)
    listener.setblocking(False)

    def accept() -> None:
        sock, _ = listener.accept()
        sock.setblocking(False)
        make(sock, selector)

    selector.register(listener, selectors.EVENT_READ, accept)
    ready(listener.getsockname()[1])
    while True:
        for key, _ in selector.select():
            call: Callable[[], None] = key.data
            call()


def exchange(variant: str, port: int, turns: Turns, request: bytes) -> None:
    """In each of *turns*: connect, send, end our half, read the reply to its end, close."""
    for _ in turns:
        with socket.create_connection((HOST, port)) as sock:
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
            reply = b""
            while data := sock.recv(READ_SIZE):
                reply += data
            assert len(reply) == len(request)
