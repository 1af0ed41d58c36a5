"""The channel: what moves the bytes of one connection.

Each channel type is a subclass of `Channel`. It knows how bytes move, and nothing else: the order
of events, closing, producers, timeouts and failures of callbacks belong to `Connection`, which is
the channel's handler.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, fields

from .endpoints import Endpoint

__all__ = ["BackendCapabilities", "Capabilities", "Channel", "ChannelHandler", "tcp_option"]


def _all_but(capabilities: Capabilities | BackendCapabilities) -> str:
    """The text for *capabilities*, which names those that are off."""
    off = [field.name for field in fields(capabilities) if not getattr(capabilities, field.name)]
    return "all" if not off else "all but " + ", ".join(off)


@dataclass(frozen=True)
class BackendCapabilities:
    """What a backend can do: everything, unless it declares otherwise.

    :param descriptors: the backend serves the operating system's sockets and pipes, which are the
        endpoints ``tcp:``, ``unix:`` and ``stdio:``. Off: connecting to one of these raises
        `ConnectError`, and listening on one raises `ListenError`.
    """

    descriptors: bool = True

    def __str__(self) -> str:
        return _all_but(self)


@dataclass(frozen=True)
class Capabilities:
    """What a channel can do: everything, unless it declares otherwise.

    :param can_half_close: the channel can end one half and keep the other. Off:
        ``loseWriteConnection`` raises `Unsupported`.
    :param can_reset: `Channel.abort` makes the peer see a reset, so that truncated data never
        looks complete. Off: `Channel.abort` discards what is pending and closes.
    :param keeps_input: after a failed send, input that the peer had sent before is still delivered.
    :param bounds_input: while reading is paused, what the peer sends stays in the kernel. Off:
        the framework may go on reading into memory.
    :param tells_cause: a failure comes with the ``OSError`` of the system.
    :param drains: after the connection has been closed, the channel's input may be read and
        discarded. Off where another program goes on reading, such as on standard input.
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
    """The events of a channel. The channel calls every method in the loop's thread.

    A channel never calls its handler while it executes a call from the handler. It calls nothing
    after `failed`, nor after it was closed or aborted.
    """

    __slots__ = ()

    @abstractmethod
    def received(self, data: bytes) -> None:
        """One or more bytes came, never after `read_ended` (EVT-09).

        A channel should not call it while reading is paused. If a framework reads on all the same,
        the handler keeps the bytes.

        :param data: of the type ``bytes``.
        """

    @abstractmethod
    def read_ended(self) -> None:
        """The peer's end of stream came, after all its data."""

    @abstractmethod
    def writable(self) -> None:
        """The channel can take bytes again. Called once after each `Channel.write` that took less
        than it was given."""

    @abstractmethod
    def write_ended(self) -> None:
        """Our end of stream is with the kernel. Called if `Channel.end_write` returned False."""

    @abstractmethod
    def write_failed(self, error: Exception) -> None:
        """Nothing can be sent any more. Input that has arrived can still be read, and the
        connection delivers it before it ends (FLU-09).

        :param error: what the system said.
        """

    @abstractmethod
    def reader_gone(self, error: Exception) -> None:
        """Nobody reads the pipe to which we write. The other half goes on (PIP-04).

        :param error: what the system said.
        """

    @abstractmethod
    def failed(self, error: Exception | None) -> None:
        """The connection is over in both directions.

        :param error: what the system said, if it said anything.
        """


class Channel(ABC):
    """A stream of bytes in each direction.

    A new channel does not read, so that early input waits in the kernel until the protocol is
    attached (EVT-13). It keeps no bytes that `write` did not count as taken, and holds its
    descriptor until `close` or `abort`.
    """

    __slots__ = ()

    capabilities: Capabilities = Capabilities()
    """What the channel can do: everything, unless the subclass declares otherwise."""

    @abstractmethod
    def start(self, handler: ChannelHandler) -> None:
        """Call *handler* from now on. A second call replaces the handler, for lingering.

        :param handler: who is told what happens.
        """

    @abstractmethod
    def resume_reading(self) -> None:
        """Read, and deliver input from the next turn on. Idempotent; not called after the end of
        stream was reported."""

    @abstractmethod
    def pause_reading(self) -> None:
        """Stop reading. Input stays in the kernel, which bounds the memory (FLU-10). Idempotent."""

    @abstractmethod
    def write(self, data: bytes | memoryview) -> int:
        """Take as much of *data* as fits now and return how many bytes that was.

        If that is less than all, `ChannelHandler.writable` is called once, when more fits.

        :param data: immutable; one or more bytes.
        :raises OSError: nothing can be sent any more.
        """

    @abstractmethod
    def end_write(self) -> bool:
        """Send the end of stream after all bytes that were taken.

        Called at most once, after `write` has taken everything that there was to send.

        :returns: True if the end of stream is with the kernel; False if it will be later:
            `ChannelHandler.write_ended` is called then.
        :raises OSError: the connection is lost.
        """

    def has_input(self) -> bool:
        """Whether input may be waiting to be read. True if the channel cannot know."""
        return True

    def look_for_error(self) -> OSError | None:
        """The error that the system has noted for the connection, such as a reset (FLU-11).

        :returns: None if there is none, or the channel cannot know.
        """
        return None

    def unsent(self) -> int:
        """How many bytes `write` has taken that the peer's kernel has not acknowledged.

        Bytes that the channel itself still holds count too. 0 if the channel cannot know.
        """
        return 0

    @abstractmethod
    def close(self) -> None:
        """Release the descriptor, after everything has been sent. Idempotent."""

    @abstractmethod
    def abort(self) -> None:
        """Release the descriptor at once, and reset the connection if possible. Idempotent."""

    @abstractmethod
    def get_peer(self) -> Endpoint:
        """The endpoint of the peer."""

    @abstractmethod
    def get_host(self) -> Endpoint:
        """The endpoint of this side."""

    def descriptors(self) -> Collection[int]:
        """The descriptors that the channel holds. A forked child gives them up (ERR-18)."""
        return ()

    def get_handle(self) -> object:
        """The socket or stream below, to use what this class has no method for."""
        return None

    def set_no_delay(self, enabled: bool) -> None:  # noqa: B027 - nothing to do where not TCP
        """Set ``TCP_NODELAY`` if the channel is a TCP socket.

        :param enabled: whether small writes are sent at once.
        """

    def get_no_delay(self) -> bool:
        """Whether ``TCP_NODELAY`` is set. False if the channel is no TCP socket."""
        return tcp_option(self.get_handle(), socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def get_keep_alive(self) -> bool:
        """Whether ``SO_KEEPALIVE`` is set. False if the channel is no TCP socket."""
        return tcp_option(self.get_handle(), socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    def set_keep_alive(self, enabled: bool) -> None:  # noqa: B027 - likewise
        """Set ``SO_KEEPALIVE`` if the channel is a TCP socket.

        :param enabled: whether the kernel probes an idle peer.
        """


def tcp_option(handle: object, level: int, option: int) -> bool:
    """Whether the *option* of *handle* is set. False if that is no TCP socket, or is closed."""
    if not isinstance(handle, socket.socket) or handle.family == socket.AF_UNIX:
        return False
    try:
        return bool(handle.getsockopt(level, option))
    except OSError:
        return False
