"""Listening sockets, and accepting from them."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..endpoints import TCP, UNIX, Endpoint, Memory, StandardIO
from ..listener import Listener
from ..options import ConnectionOptions
from ..reasons import ListenError
from .addresses import Address, endpoint_of, literal
from .poller import READ, Registration
from .syscalls import stop_listening

if TYPE_CHECKING:
    from ..backend import Backend, TimerHandle

__all__ = ["SocketListener", "listen_sockets"]

_log = logging.getLogger("halfclose")

BACKLOG = 1024

ACCEPTS_A_TURN = 64
"""Connections that one listener accepts before others have their turn."""

RETRY_DELAY = 0.1
"""Seconds after which accepting is tried again, once resources were missing."""

OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What accept(2) fails with although the connection is still there (ERR-09)."""

_EVERYWHERE = "0.0.0.0", "::"
"""Where a socket listens on all addresses."""

_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

Accepted = Callable[[socket.socket, "Endpoint | None", "Endpoint | None"], None]
"""Takes a new, non-blocking socket, its peer and its own end; None: it has to be asked for."""


class SocketListener(Listener):
    """A listener on one or more sockets; it takes the path of a unix socket away at its end."""

    def __init__(
        self, backend: Backend, endpoint: Endpoint, socks: list[socket.socket], accepted: Accepted
    ) -> None:
        super().__init__(endpoint)
        self._backend = backend
        # Absolute, since the program may change its folder.
        self._path = os.path.abspath(endpoint.path) if isinstance(endpoint, UNIX) else None
        self._path_id = _path_id(self._path)
        self._accepting: list[_Accepting] = []
        try:
            for sock in socks:
                self._accepting.append(_Accepting(backend, sock, accepted))
        except BaseException:
            for accepting in self._accepting:
                accepting.close()
            raise

    def close(self) -> None:
        """Stop accepting, and remove the path of a unix socket if it is still ours. Idempotent."""
        if self._backend.foreign is not None:
            # A forked child has let go of its copies, and the path is the parent's.
            return
        for accepting in self._accepting:
            accepting.close()
        if self._path is not None and _path_id(self._path) == self._path_id is not None:
            try:
                os.unlink(self._path)
            except OSError as error:
                _log.warning("%s: the socket's path stays behind: %s", self._endpoint, error)
        self._path_id = None
        self._backend.forget(self)


class _ListeningSocket(socket.socket):
    """A stream socket to listen on, which remembers its family and type.

    ``accept`` asks for both, and to find the enumerations' members takes as long as to accept.
    """

    def __init__(self, family: int) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self._family = super().family

    @property
    def family(self) -> socket.AddressFamily:
        return self._family

    @property
    def type(self) -> socket.SocketKind:
        return socket.SOCK_STREAM


class _Accepting:
    """One listening socket."""

    def __init__(self, backend: Backend, sock: socket.socket, accepted: Accepted) -> None:
        self._backend = backend
        self._sock = sock
        self._accepted = accepted
        self._retry: TimerHandle | None = None
        self._told = False
        self._family = sock.family
        own = endpoint_of(self._family, sock.getsockname())
        # On all addresses, each connection has the one that it came to.
        self._host = None if isinstance(own, TCP) and own.host in _EVERYWHERE else own
        self._poll = self._register()

    def _register(self) -> Registration:
        poll = self._backend.lane.poller.register(self._sock.fileno(), self._ready, self._broken)
        poll.want(READ)
        return poll

    def _ready(self, ready: int) -> None:
        for _ in range(ACCEPTS_A_TURN):
            if self._sock.fileno() < 0:
                return
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                # ERR-09. Any other error is that of the one connection (accept(2) on Linux).
                if error.errno in OUT_OF_RESOURCES:
                    self._wait_for_resources(error)
                    return
                continue
            self._told = False
            sock.setblocking(False)
            self._backend.guarded(self._accepted, sock, self._peer(address), self._host)

    def _peer(self, address: Any) -> Endpoint | None:
        """The system forgets the peer of a connection that is reset: it is told now, or never."""
        try:
            return endpoint_of(self._family, address)
        except (TypeError, ValueError):
            # Some systems have no address of one that has gone; and a name may be no endpoint.
            return None

    def _wait_for_resources(self, error: OSError) -> None:
        if not self._told:
            self._told = True
            own = endpoint_of(self._family, self._sock.getsockname())
            _log.error("accepting on %s waits: %s", own, error)
        self._poll.want(0)
        self._retry = self._backend.call_later(RETRY_DELAY, self._poll.want, READ)

    def _broken(self, error: Exception) -> None:
        self._poll = self._register()

    def close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._poll.stop()
        stop_listening(self._sock)


async def listen_sockets(
    backend: Backend, endpoint: Endpoint, options: ConnectionOptions, accepted: Accepted
) -> SocketListener:
    """A listener on *endpoint* that gives each new connection to *accepted*.

    :raises ListenError: see `Backend.listen`.
    """
    if isinstance(endpoint, StandardIO):
        raise ListenError("cannot listen on stdio: it is one connection; connect to it instead")
    if isinstance(endpoint, Memory):
        raise ListenError(f"cannot listen on {endpoint}: only the backend 'memory' has it")
    socks: list[socket.socket] = []
    try:
        if isinstance(endpoint, UNIX):
            socks.append(_listen_unix(endpoint, options.unix_mode))
        else:
            socks += _listen_tcp(endpoint, await _addresses(backend, endpoint))
            endpoint = TCP(endpoint.host, socks[0].getsockname()[1])
        return SocketListener(backend, endpoint, socks, accepted)
    except (OSError, UnicodeError) as error:
        for sock in socks:
            sock.close()
        if socks and isinstance(endpoint, UNIX):
            os.unlink(endpoint.path)
        raise ListenError(f"cannot listen on {endpoint}: {error}") from error


async def _addresses(backend: Backend, endpoint: TCP) -> list[Address]:
    address = literal(endpoint.host, endpoint.port)
    if address is not None:
        return [address]
    addresses = await backend.resolve(endpoint.host, endpoint.port)
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
    return addresses


def _listen_tcp(endpoint: TCP, addresses: list[Address]) -> list[socket.socket]:
    socks: list[socket.socket] = []
    port = endpoint.port
    try:
        for place, address in enumerate(addresses, 1):
            try:
                socks.append(_bind_tcp(address, port))
            except OSError as error:
                # A name may have an address that this machine has not, IPv6's for one.
                if error.errno not in _NOT_HERE or (place == len(addresses) and not socks):
                    raise
                continue
            # Every address of one name listens on the same port, also where the system chose it.
            port = socks[-1].getsockname()[1]
    except BaseException:
        for sock in socks:
            sock.close()
        raise
    return socks


def _bind_tcp(address: Address, port: int) -> socket.socket:
    family, (host, _, *rest) = address
    sock = _ListeningSocket(family)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # What is accepted inherits it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port, *rest))
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _listen_unix(endpoint: UNIX, mode: int) -> socket.socket:
    _remove_stale(endpoint.path)
    sock = _ListeningSocket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        sock.bind(endpoint.path)
        try:
            # Before listen, so that nobody can connect while the mode is another.
            os.chmod(endpoint.path, mode)
            sock.listen(BACKLOG)
        except BaseException:
            os.unlink(endpoint.path)
            raise
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    """Remove a unix socket that nobody listens on; leave all else alone.

    :raises OSError: something else is there, or somebody listens.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "the path exists and is no socket", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        code = probe.connect_ex(path)
    if code == errno.ECONNREFUSED:
        os.unlink(path)
    elif code != errno.ENOENT:
        raise OSError(errno.EADDRINUSE, "somebody listens there", path)


def _path_id(path: str | None) -> tuple[int, int] | None:
    if path is None:
        return None
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
