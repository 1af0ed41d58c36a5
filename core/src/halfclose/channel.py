"""The channel: one byte pipe below a connection. What the author of a new kind writes.

A channel says how bytes move, and nothing else: order of events, closing, producers, timeouts
and failures of callbacks belong to `Connection`, which is the channel's handler.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, fields

from .endpoints import Endpoint

__all__ = ["BackendCapabilities", "Capabilities", "Channel", "ChannelHandler", "tcp_option"]


def _all_but(capabilities: Capabilities | BackendCapabilities) -> str:
    off = [field.name for field in fields(capabilities) if not getattr(capabilities, field.name)]
    return "all" if not off else "all but " + ", ".join(off)


@dataclass(frozen=True)
class BackendCapabilities:
    """What a backend can do: everything, unless it declares otherwise.

    :param descriptors: it serves the operating system's sockets and pipes: the endpoints
        ``tcp:``, ``unix:`` and ``stdio:``. Off: to connect to one raises `ConnectError`, to
        listen on one `ListenError`.
    """

    descriptors: bool = True

    def __str__(self) -> str:
        return _all_but(self)


@dataclass(frozen=True)
class Capabilities:
    """What a channel can do: everything, unless it declares otherwise.

    :param can_half_close: one half can be ended alone. Off: ``loseWriteConnection`` raises
        `Unsupported`.
    :param can_reset: `Channel.abort` makes the peer see a reset, so that truncated data never
        looks complete. Off: it discards what is pending and closes.
    :param keeps_input: after a failed send, what the peer had sent before is still delivered.
    :param bounds_input: while reading is paused, what the peer sends stays in the kernel. Off:
        the framework may go on reading into memory.
    :param tells_cause: a failure carries the ``OSError`` of the system.
    :param drains: the channel may read and discard its peer's input after it has been closed.
        Off for descriptors that another program will go on reading, such as standard input.
    """

    can_half_close: bool = True
    can_reset: bool = True
    keeps_input: bool = True
    bounds_input: bool = True
    tells_cause: bool = True
    drains: bool = True

    def __str__(self) -> str:
        return _all_but(self)


class ChannelHandler(ABC):
    """Whom a channel tells what happens below. Every method is called in the loop's thread.

    A channel never calls its handler from inside a call that the handler made to it, and calls
    nothing after `failed`, or after it was closed or aborted.
    """

    __slots__ = ()

    @abstractmethod
    def received(self, data: bytes) -> None:
        """One or more bytes came. Not to be called while reading is paused, if it can be helped:
        bytes that come all the same are kept."""

    @abstractmethod
    def read_ended(self) -> None:
        """The peer's end of stream came, after all its data. Nothing is received after it."""

    @abstractmethod
    def writable(self) -> None:
        """`Channel.write`, having taken less than it was given, can take more."""

    @abstractmethod
    def write_ended(self) -> None:
        """An `Channel.end_write` that returned False has done its work."""

    @abstractmethod
    def write_failed(self, error: Exception) -> None:
        """Nothing can be sent any more; input may still be there and is wanted first."""

    @abstractmethod
    def reader_gone(self, error: Exception) -> None:
        """Nobody reads what we send, and that is no failure of the other half (a pipe)."""

    @abstractmethod
    def failed(self, error: Exception | None) -> None:
        """The connection is over, both ways. *error* is what the system said, if it did."""


class Channel(ABC):
    """One byte pipe.

    It is made with reading paused, buffers no output that it has not taken by `write`, and holds
    its descriptor until `close` or `abort`.
    """

    __slots__ = ()

    capabilities: Capabilities = Capabilities()

    @abstractmethod
    def start(self, handler: ChannelHandler) -> None:
        """Tell *handler* from now on. Called again, it replaces the handler (for lingering)."""

    @abstractmethod
    def resume_reading(self) -> None:
        """Deliver input, from the next turn on. Idempotent; not called after `read_ended`."""

    @abstractmethod
    def pause_reading(self) -> None:
        """Deliver no input: it stays in the kernel. Idempotent."""

    @abstractmethod
    def write(self, data: bytes | memoryview) -> int:
        """Take as much of *data* as fits now and return how many bytes that was.

        If it is less than all, `ChannelHandler.writable` follows when more fits, once.

        :param data: immutable; one or more bytes.
        :raises OSError: nothing can be sent any more.
        """

    @abstractmethod
    def end_write(self) -> bool:
        """Send the end of stream after everything taken. Called at most once, with nothing left.

        :returns: True if it is with the kernel; False if `ChannelHandler.write_ended` will tell.
        :raises OSError: the connection turns out to be lost.
        """

    def has_input(self) -> bool:
        """Whether input may be waiting to be read; True if that cannot be told."""
        return True

    def look_for_error(self) -> OSError | None:
        """What the system has to report unasked by a read or a send; None if it cannot tell."""
        return None

    def unsent(self) -> int:
        """Bytes that were taken and that the peer's kernel has not acknowledged.

        Those that the channel itself still holds count too; 0 if it cannot be told.
        """
        return 0

    @abstractmethod
    def close(self) -> None:
        """Release the descriptor, all having been sent. Idempotent."""

    @abstractmethod
    def abort(self) -> None:
        """Release the descriptor at once, so that the peer sees a reset if possible. Idempotent."""

    @abstractmethod
    def get_peer(self) -> Endpoint:
        """The other end's address."""

    @abstractmethod
    def get_host(self) -> Endpoint:
        """This end's address."""

    def descriptors(self) -> Collection[int]:
        """The descriptors that it holds, which a forked child is to let go of (ERR-18)."""
        return ()

    def get_handle(self) -> object:
        """The object below, for what this interface has not."""
        return None

    def set_no_delay(self, enabled: bool) -> None:  # noqa: B027 - nothing to do where not TCP
        """Set ``TCP_NODELAY`` where the channel is a TCP socket."""

    def get_no_delay(self) -> bool:
        """``TCP_NODELAY`` where the channel is a TCP socket; else False."""
        return tcp_option(self.get_handle(), socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def get_keep_alive(self) -> bool:
        """``SO_KEEPALIVE`` where the channel is a TCP socket; else False."""
        return tcp_option(self.get_handle(), socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    def set_keep_alive(self, enabled: bool) -> None:  # noqa: B027 - likewise
        """Set ``SO_KEEPALIVE`` where the channel is a TCP socket."""


def tcp_option(handle: object, level: int, option: int) -> bool:
    """Whether a flag of *handle* is set; False where it is no TCP socket, or is closed."""
    if not isinstance(handle, socket.socket) or handle.family == socket.AF_UNIX:
        return False
    try:
        return bool(handle.getsockopt(level, option))
    except OSError:
        return False
