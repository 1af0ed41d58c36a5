"""The scheme ``unix:``. To listen on a path, it takes a lock of the path's folder."""

from __future__ import annotations

import socket
from collections.abc import Callable

from ..channel import Channel
from ..endpoints import UNIX
from ..options import ConnectionOptions
from ..scheme import Scheme
from .addresses import unix_address
from .connecting import connect_channel
from .host import SocketHost
from .listening import BACKLOG, ListeningSocket, SocketListener, undone_if_it_fails
from .unix_paths import FolderLock, bind_path

__all__ = ["UNIXScheme"]


class UNIXScheme(Scheme[UNIX, SocketHost]):
    """The scheme ``unix:``: the path of a socket, or an abstract name."""

    name = "unix"
    examples: tuple[str, ...] = ("unix:/tmp/echo.sock",)

    def parse(self, rest: str) -> UNIX:
        return UNIX.parse(rest)

    def cannot_have_mode(self, endpoint: UNIX) -> str | None:
        return "it is no file, and all may connect" if endpoint.is_abstract else None

    async def connect(self, backend: SocketHost, endpoint: UNIX, timeout: float | None) -> Channel:
        address = socket.AF_UNIX, unix_address(endpoint)
        return await connect_channel(backend, endpoint, [address], timeout)

    async def listen(
        self,
        backend: SocketHost,
        endpoint: UNIX,
        options: ConnectionOptions,
        accepted: Callable[[Channel], None],
    ) -> SocketListener:
        if endpoint.is_abstract:
            return _serve(backend, endpoint, options.unix_mode, accepted)
        async with FolderLock(backend, endpoint.path):
            backend.check_open()
            return _serve(backend, endpoint, options.unix_mode, accepted)


def _serve(
    backend: SocketHost, endpoint: UNIX, mode: int, accepted: Callable[[Channel], None]
) -> SocketListener:
    """Listen on *endpoint*. If this fails, neither a path nor a socket stays behind."""
    sock = ListeningSocket(socket.AF_UNIX)
    with undone_if_it_fails([sock]):
        sock.setblocking(False)
        path = None
        if endpoint.is_abstract:
            sock.bind(unix_address(endpoint))
        else:
            path = bind_path(sock, endpoint, mode)
        with undone_if_it_fails([], path):
            sock.listen(BACKLOG)
            return SocketListener(backend, endpoint, [sock], accepted, path)
