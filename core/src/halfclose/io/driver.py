"""Chooses what serves a backend's sockets: our own poller, or the framework's transports."""

from __future__ import annotations

import select
import socket

from ..channel import Channel
from ..endpoints import Endpoint
from ..loop import EventLoop
from .poller import EpollPoller, Poller, WatchPoller
from .socket_channel import SocketChannel

__all__ = ["Driver"]


class Driver:
    """Makes a channel for each connected socket, and makes the poller when it is first needed.

    :param sockets: ``"poller"`` for our own poller, ``"native"`` for the framework's transports, or
        None: our own poller where the platform has epoll.
    :param busy_poll: seconds; see `BusyPolling`.
    :raises ValueError: *sockets* is none of these, or is ``"poller"`` where there is no epoll.
    """

    def __init__(self, backend: EventLoop, sockets: str | None, busy_poll: float) -> None:
        if sockets not in (None, "poller", "native"):
            raise ValueError(f"the option 'sockets' is 'poller' or 'native', not {sockets!r}")
        has_epoll = hasattr(select, "epoll")
        if sockets == "poller" and not has_epoll:
            raise ValueError(
                "the option 'sockets': 'poller' needs epoll, which this platform lacks"
            )
        self._backend = backend
        self._busy_poll = busy_poll
        self._own = has_epoll and sockets != "native"
        self._poller: Poller | None = None
        self._shared_poller: Poller | None = None
        self._closed = False

    @property
    def poller(self) -> Poller:
        """The backend's poller.

        :raises RuntimeError: the driver is closed, because the backend has been left.
        """
        if self._closed:
            raise RuntimeError(f"backend {self._backend.name!r} has been left")
        if self._poller is None:
            if self._own:
                self._poller = EpollPoller(self._backend, self._busy_poll)
            else:
                self._poller = WatchPoller(self._backend)
        return self._poller

    @property
    def shared_poller(self) -> Poller:
        """The poller for standard input and output, which other processes share.

        It is our own wherever the platform has epoll, even if the framework serves the sockets. A
        framework may set flags of the descriptors that it watches (libuv sets O_NONBLOCK), and the
        other processes would be affected (PIP-06). epoll sets no flags.

        :raises RuntimeError: the driver is closed, because the backend has been left.
        """
        if self._own or not hasattr(select, "epoll"):
            return self.poller
        if self._closed:
            raise RuntimeError(f"backend {self._backend.name!r} has been left")
        if self._shared_poller is None:
            self._shared_poller = EpollPoller(self._backend, self._busy_poll)
        return self._shared_poller

    def channel(
        self,
        sock: socket.socket,
        *,
        peer: Endpoint | None = None,
        host: Endpoint | None = None,
        lost: OSError | None = None,
    ) -> Channel:
        """A channel that owns the connected, non-blocking *sock*.

        :param peer: the endpoint of the peer, if it is known.
        :param host: the endpoint of our end, if it is known.
        :param lost: the error that was taken from the socket, if its connection is lost already.
        :raises OSError: the framework's transports serve the sockets, and do not accept one whose
            connection is lost.
        :raises RuntimeError: the driver is closed, because the backend has been left.
        """
        if self._own:
            return SocketChannel(sock, self.poller, peer=peer, host=host, lost=lost)
        if lost is not None:
            raise lost
        return self._backend.adopt(sock)

    def disown(self) -> set[int]:
        """Give up both pollers, in a forked child; see `Poller.disown`."""
        pollers = self._poller, self._shared_poller
        self._poller = self._shared_poller = None
        self._closed = True
        return {fd for poller in pollers if poller is not None for fd in poller.disown()}

    def close(self) -> None:
        """Close the pollers. No channel can be made afterwards. Idempotent."""
        self._closed = True
        for poller in (self._poller, self._shared_poller):
            if poller is not None:
                poller.close()
        self._poller = self._shared_poller = None
