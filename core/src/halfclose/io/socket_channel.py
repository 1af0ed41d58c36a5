"""The channel over a TCP or unix socket, which a poller serves."""

from __future__ import annotations

import socket
from typing import Any

from ..channel import Capabilities, Channel, ChannelHandler
from ..endpoints import Endpoint
from .addresses import host_of, is_tcp, peer_of
from .poller import END, ERROR, READ, WRITE, Polled, Poller
from .syscalls import (
    NO_SIGNAL,
    end_is_real,
    end_stream,
    let_go,
    mute,
    pending_error,
    reset,
    set_tcp_option,
    unsent,
)

__all__ = ["SocketChannel"]

_CHUNK = 64 * 1024
"""Bytes that one read asks for, to begin with."""

_LARGE_CHUNK = 512 * 1024
"""Bytes that one read asks for after a read got all that it asked for, until one gets little."""

_NOBODY: Any = None
"""Stands for the handler of a closed channel, which calls its handler no more."""

_TCP = Capabilities()
# The kernel has no reset for unix sockets (PIP-01), and of others it is not known.
_NO_RESET = Capabilities(can_reset=False)


class SocketChannel(Channel, Polled):
    """One connected stream socket.

    :param sock: connected and non-blocking, with TCP_NODELAY set if it is TCP. The channel owns it
        from now on.
    :param peer: the endpoint of the peer; None: the system is asked for it.
    :param host: the endpoint of our end; None: likewise.
    :param lost: the error that was taken from the socket, if its connection is lost already.
    """

    __slots__ = (
        "__weakref__",
        "_chunk",
        "_ended",
        "_error",
        "_events",
        "_handler",
        "_host",
        "_peer",
        "_sock",
        "capabilities",
    )

    def __init__(
        self,
        sock: socket.socket,
        poller: Poller,
        *,
        peer: Endpoint | None = None,
        host: Endpoint | None = None,
        lost: OSError | None = None,
    ) -> None:
        Polled.__init__(self, poller, sock.fileno())
        self._sock = sock
        self._peer = peer or peer_of(sock)
        self._host = host or host_of(sock)
        self._handler: ChannelHandler
        self._events = 0
        self._chunk = _CHUNK
        self._ended = False
        self._error = lost
        self.capabilities: Capabilities = _TCP if is_tcp(sock) else _NO_RESET
        if not NO_SIGNAL:
            mute(sock)

    def start(self, handler: ChannelHandler) -> None:
        self._handler = handler

    def resume_reading(self) -> None:
        if not self._ended:
            self._want(self._events | READ)

    def pause_reading(self) -> None:
        self._want(self._events & ~READ)

    def _want(self, events: int) -> None:
        self._events = events
        self.want(events)

    @property
    def bulk(self) -> bool:
        return self._chunk != _CHUNK or bool(self._events & WRITE)

    def ready(self, events: int) -> None:
        if self._events == READ:
            # A read that got all it asked for has most likely left something, and END says that the
            # end of stream follows. To read once more costs less than another turn of the loop. But
            # the handler may have paused reading meanwhile (FLU-08).
            again = not self._poller.many_ready if self._read() else events & END
            if again and self._events & READ:
                self._read()
            return
        if not self._events:
            if events & ERROR:
                self._look_for_error()
            return
        if self._events & READ and events & ~WRITE:
            self._read()
        if self._events & WRITE and events & ~(READ | END):
            self._want(self._events & ~WRITE)
            self._handler.writable()

    def _read(self) -> bool:
        """Read once and deliver it. Nothing is read ahead: pausing bounds the memory (FLU-10).

        :returns: whether the read got as much as it asked for, so that there may be more.
        """
        try:
            data = self._sock.recv(self._chunk)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._fail(error)
            return False
        if not data:
            self._end()
            return False
        size = len(data)
        full = size == self._chunk
        if full:
            self._chunk = _LARGE_CHUNK
        elif size < _CHUNK:
            self._chunk = _CHUNK
        self._handler.received(data)
        # After a failed send, only the input that had come before it is still delivered (FLU-09).
        if self._error is not None and self._events & READ and not self.has_input():
            self._fail(self._error)
        return full

    def _end(self) -> None:
        """Deliver the end of stream, or the failure if the peer never sent that end."""
        if self._error is not None and not end_is_real(self._error):
            self._fail(self._error)
            return
        self._ended = True
        self._handler.read_ended()
        # The handler has closed most channels by now, and those want nothing any more.
        if self._events & READ:
            self._want(self._events & ~READ)

    def _look_for_error(self) -> None:
        """Tell that the socket broke while nothing was wanted of it (FLU-11).

        Not if input waits: that is delivered first, and reading it tells of the error (FLU-09).
        """
        if not self._ended and self.has_input():
            return
        error = self.look_for_error()
        if error is not None:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.stop()
        self._events = 0
        self._handler.failed(error)

    def broken(self, error: Exception) -> None:
        if self._handler is not _NOBODY:
            self._handler.failed(error)

    def write(self, data: bytes | memoryview) -> int:
        try:
            taken = self._sock.send(data, NO_SIGNAL)
        except (BlockingIOError, InterruptedError):
            taken = 0
        except OSError as error:
            raise self._first(error) from None
        if taken < len(data):
            self._want(self._events | WRITE)
        return taken

    def end_write(self) -> bool:
        try:
            end_stream(self._sock)
        except OSError as error:
            raise self._first(error) from None
        return True

    def _first(self, error: OSError) -> OSError:
        """The error that broke the socket: every later one is a mere EPIPE."""
        self._error = self._error or error
        return self._error

    def has_input(self) -> bool:
        try:
            data = self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._error = self._error or error
            return False
        return bool(data) or end_is_real(self._error)

    def look_for_error(self) -> OSError | None:
        self._error = self._error or pending_error(self._sock)
        return self._error

    def unsent(self) -> int:
        return unsent(self._sock)

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self.stop()
            self._events = 0
            if not self._ended:
                let_go(self._sock)
            self._sock.close()
            # The handler holds this channel. If the channel held the handler too, only the garbage
            # collector could free them.
            self._handler = _NOBODY

    def abort(self) -> None:
        if self._sock.fileno() >= 0:
            reset(self._sock)
            self._ended = True
            self.close()

    def descriptors(self) -> tuple[int, ...]:
        return (self._sock.fileno(),)

    def get_peer(self) -> Endpoint:
        return self._peer

    def get_host(self) -> Endpoint:
        return self._host

    def get_handle(self) -> socket.socket:
        return self._sock

    def set_no_delay(self, enabled: bool) -> None:
        self._set(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def set_keep_alive(self, enabled: bool) -> None:
        self._set(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)

    def _set(self, level: int, option: int, enabled: bool) -> None:
        if self.capabilities is _TCP:
            set_tcp_option(self._sock, level, option, enabled)
