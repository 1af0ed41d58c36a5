"""The host of connections: what a connection, a channel or a listener needs of its keeper.

A connection does not know `Backend`, which makes it, but only this class below it. The same is
true of everything in ``io``: what has descriptors gets an `io.host.SocketHost`, which adds the
operating system's sockets.

The host keeps what is open, so that no connection vanishes that nobody else refers to (EVT-10),
and so that whoever leaves the backend knows what to close and to wait for (END-03). A child that
was forked lets go of the very same things (ERR-18).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any
from typing import Protocol as Interface

from . import forking
from .channel import Channel
from .deadline import Deadlines
from .interfaces import AbstractBackend
from .listener import Listener
from .loop import Event
from .options import ConnectionOptions
from .plugins import Hooks
from .reasons import ConnectionLost

__all__ = ["ClosedChannels", "ConnectionHost", "HeldConnection"]


class HeldConnection(Interface):
    """A connection, as its host sees it."""

    @property
    def channel(self) -> Channel:
        """The channel below it."""

    def leave(self) -> None:
        """The backend is being left: end in peace, in the time that there is (END-03)."""

    def abandon(self, reason: ConnectionLost) -> None:
        """The backend has been left: end now."""

    def disown(self, reason: ConnectionLost) -> None:
        """In a forked child: it is over here, and nobody is told (ERR-18)."""


class ClosedChannels(ABC):
    """The channels of connections that are over, which still wait for their peers (END-01)."""

    @abstractmethod
    def add(self, channel: Channel, options: ConnectionOptions) -> None:
        """Read and discard what the peer sends until it has ended, or has cost enough.

        Only then can the peer read all that we have sent.
        """

    @abstractmethod
    def reset(self, channel: Channel, options: ConnectionOptions) -> None:
        """Abort *channel* once the peer has acknowledged all, or has cost enough.

        Sent at once, a reset would overtake what is under way.
        """

    @abstractmethod
    def make_room(self, error: OSError) -> float | None:
        """Release the oldest channel in this thread, if *error* says that no descriptor is left.

        :returns: seconds after which to try again; None: *error* says something else, or there is
            no channel to release.
        """

    @abstractmethod
    def abort(self) -> None:
        """Wait for no peer any longer."""

    @abstractmethod
    def disown(self) -> None:
        """In a forked child: forget them, they are the parent's (ERR-18)."""

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""


class ConnectionHost(AbstractBackend):
    """Keeps connections, channels and listeners for as long as they are open.

    A subclass sets `lingering` when it is made.
    """

    lingering: ClosedChannels

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, options)
        # In a forked child `fatal` is another one (see `disown`).
        self.hooks = Hooks(lambda error: self.fatal(error), self.report)
        self.deadlines = Deadlines(self)
        self.leaving = False
        """Whether the backend is being left, and its connections are given time to end."""
        self._connections: dict[HeldConnection, None] = {}
        self._listeners: dict[Listener, None] = {}
        self._channels: set[Channel] = set()
        self._leaving: dict[Callable[[], None], None] = {}
        self._holders: dict[Callable[[], Iterable[int]], None] = {}
        self._entered = False
        self._was_left = False
        self._quiet: Event | None = None

    def check_open(self) -> None:
        """Make sure that connections can be begun.

        :raises RuntimeError: the backend has been left, or not been entered, or is that of the
            process from which this one was forked.
        """
        if self.foreign is not None:
            self._refuse()
        if self.left:
            raise RuntimeError(f"backend {self.name!r} has been left")
        if not self._entered:
            raise RuntimeError(f"backend {self.name!r} is not entered: async with it")

    # -- what is open --------------------------------------------------------------------------

    def hold(self, connection: HeldConnection) -> None:
        """Keep *connection* alive until `release` (EVT-10)."""
        self._connections[connection] = None
        if self.leaving and not self.left:
            # It was begun while the others are given time to end.
            self.call_soon(connection.leave)

    def release(self, connection: HeldConnection) -> None:
        """*connection* is lost."""
        self._connections.pop(connection, None)
        self.check_quiet()

    def hold_channel(self, channel: Channel) -> None:
        """*channel* is closed, and needs further turns of the loop to release its descriptor."""
        self._channels.add(channel)

    def release_channel(self, channel: Channel) -> None:
        """*channel* has released its descriptor."""
        self._channels.discard(channel)
        self.check_quiet()

    def holds_channel(self, channel: Channel) -> bool:
        """Whether `hold_channel` was called for *channel*, and `release_channel` not yet."""
        return channel in self._channels

    def forget(self, listener: Listener) -> None:
        """*listener* is closed."""
        self._listeners.pop(listener, None)

    # -- leaving -------------------------------------------------------------------------------

    def on_leaving(self, leave: Callable[[], None]) -> None:
        """Call *leave* when the backend is left, unless `forget_leaving` comes before."""
        self._leaving[leave] = None

    def forget_leaving(self, leave: Callable[[], None]) -> None:
        """Take back `on_leaving`. Idempotent."""
        self._leaving.pop(leave, None)

    def check_quiet(self) -> None:
        """If the backend is being left and nothing remains to be waited for, let it go on."""
        if self._quiet is not None and not self._busy:
            self._quiet.set()

    @property
    def _busy(self) -> bool:
        return bool(self._connections or self.lingering or self._channels)

    # -- forks (ERR-18) ------------------------------------------------------------------------

    def hold_descriptors(self, descriptors: Callable[[], Iterable[int]]) -> None:
        """Have a forked child let go of what *descriptors* gives, until `release_descriptors`.

        For descriptors that belong to no channel and no listener, and are not watched by the
        poller either.
        """
        self._holders[descriptors] = None

    def release_descriptors(self, descriptors: Callable[[], Iterable[int]]) -> None:
        """Take back `hold_descriptors`. Idempotent."""
        self._holders.pop(descriptors, None)

    @property
    def in_use(self) -> bool:
        """Whether a child that is forked now must leave the backend alone."""
        return (self._entered and not self._was_left) or self._busy

    def disown(self, parent: int) -> None:
        """In a forked child: everything here belongs to the process *parent*. Nobody is told."""
        self.foreign = parent
        reason = ConnectionLost(f"the connection is that of process {parent}")
        holders = list(self._holders)
        holders += [listener.descriptors for listener in self._listeners]
        holders += [channel.descriptors for channel in self._channels]
        holders += [connection.channel.descriptors for connection in self._connections]
        descriptors = self._disown_pollers()
        for connection in self._connections:
            connection.disown(reason)
        self.lingering.disown()
        for holder in holders:
            # A framework's object may not know any more.
            with suppress(Exception):
                descriptors.update(holder())
        forking.vacate(descriptors)
        for name in _BEGINNING:
            setattr(self, name, self._refuse)
        for name in _CALLING:
            setattr(self, name, self._call_nothing)
        setattr(self, "fatal", self.check_process)  # noqa: B010 - an instance's method

    @abstractmethod
    def _disown_pollers(self) -> set[int]:
        """In a forked child: watch nothing any more, and give the descriptors that were watched."""

    def _refuse(self, *args: object, **options: object) -> Any:
        raise RuntimeError(
            f"backend {self.name!r} is that of process {self.foreign}, from which this one "
            "was forked; run a backend of its own in the child"
        )

    def _call_nothing(self, *args: object) -> bool:
        # A loop may have a lock for what comes from threads (trio). If a thread of the parent's
        # held it at the fork, it is never released here, and to ask for it would wait for ever.
        return True


_BEGINNING = ("call_later", "resolve", "sleep", "start_soon", "watch")
"""What begins something in the loop, beside connect and listen: refused in a forked child."""

_CALLING = ("call_soon", "call_soon_threadsafe", "call_though_left")
"""What verbs ask of the loop. In a forked child verbs do nothing, and so do these."""
