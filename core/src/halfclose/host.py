"""`ConnectionHost`: the base class of `Backend` that connections, channels and listeners use.

A connection does not know `Backend`, which makes it, but only this base class. Modules in ``io``
know one more: `io.host.SocketHost`, which adds the operating system's sockets.

The host keeps everything that is open. So a connection lives although the program holds no
reference to it (EVT-10), leaving the backend knows what to close and what to wait for (END-03), and
a forked child knows what belongs to its parent (ERR-18).
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
from .endpoints import Endpoint
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

    def getPeer(self) -> Endpoint:
        """The endpoint of the peer."""

    def leave(self) -> None:
        """Close, because the backend is being left and waits for its connections (END-03)."""

    def abandon(self, reason: ConnectionLost) -> None:
        """End now, because the backend has been left."""

    def disown(self, reason: ConnectionLost) -> None:
        """Be over, in a forked child, and call nothing (ERR-18)."""


class ClosedChannels(ABC):
    """The channels of connections that have ended, which still wait for their peers (END-01).

    `io.lingering` implements it.
    """

    @abstractmethod
    def add(self, channel: Channel, options: ConnectionOptions) -> None:
        """Read and discard until the peer's end of stream, or until a bound of END-07 is reached.

        If the channel were closed at once, the peer might lose what we have sent.
        """

    @abstractmethod
    def reset(self, channel: Channel, options: ConnectionOptions) -> None:
        """Abort *channel* once its peer has acknowledged all, or a bound of END-07 is reached.

        A reset that is sent at once would overtake the bytes that are still under way (PRD-09).
        """

    @abstractmethod
    def make_room(self, error: OSError) -> float | None:
        """Close the oldest channel of this thread if *error* says that no descriptor is left.

        :returns: seconds after which to try again; None if *error* is another one, or there is no
            channel to close.
        """

    @abstractmethod
    def abort(self) -> None:
        """Close every channel now."""

    @abstractmethod
    def disown(self) -> None:
        """Forget every channel, in a forked child: they belong to the parent (ERR-18)."""

    @abstractmethod
    def __len__(self) -> int:
        """How many channels wait."""


class ConnectionHost(AbstractBackend):
    """Keeps connections, channels and listeners for as long as they are open.

    The constructor of a subclass sets `lingering`.
    """

    lingering: ClosedChannels
    """The channels that were closed and still wait for their peers (END-01)."""

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, options)
        # A lambda, since `disown` replaces `fatal` in a forked child.
        self.hooks: Hooks = Hooks(lambda error: self.fatal(error), self.report)
        """Calls the hooks of the plugins that listen to connections."""
        self.deadlines: Deadlines = Deadlines(self)
        """The timeouts of the connections."""
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
        """Make sure that new connections are possible.

        :raises RuntimeError: the backend has been left, or has not been entered, or belongs to the
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
        """Keep *connection* alive until `release` (EVT-10).

        :param connection: a new connection.
        """
        self._connections[connection] = None
        if self.leaving and not self.left:
            # The others have been closed already; this one is new.
            self.call_soon(connection.leave)

    def release(self, connection: HeldConnection) -> None:
        """Forget *connection*, which is lost.

        :param connection: the connection, which was held.
        """
        self._connections.pop(connection, None)
        self.check_quiet()

    def hold_channel(self, channel: Channel) -> None:
        """Wait for *channel*, which is closed, and needs more turns to release its descriptor.

        :param channel: the channel.
        """
        self._channels.add(channel)

    def release_channel(self, channel: Channel) -> None:
        """Forget *channel*, which has released its descriptor.

        :param channel: the channel.
        """
        self._channels.discard(channel)
        self.check_quiet()

    def holds_channel(self, channel: Channel) -> bool:
        """Whether `hold_channel` was called for *channel*, and `release_channel` not yet.

        :param channel: the channel.
        """
        return channel in self._channels

    def forget(self, listener: Listener) -> None:
        """Forget *listener*, which is closed.

        :param listener: the listener.
        """
        self._listeners.pop(listener, None)

    # -- leaving -------------------------------------------------------------------------------

    def on_leaving(self, leave: Callable[[], None]) -> None:
        """Call *leave* when the backend is left, unless `forget_leaving` comes before.

        :param leave: what to call, in the loop's thread.
        """
        self._leaving[leave] = None

    def forget_leaving(self, leave: Callable[[], None]) -> None:
        """Take back `on_leaving`. Idempotent.

        :param leave: what `on_leaving` was given.
        """
        self._leaving.pop(leave, None)

    def check_quiet(self) -> None:
        """If leaving the backend waits for connections, and the last one has ended, end the
        wait."""
        if self._quiet is not None and not self._unfinished:
            self._quiet.set()

    @property
    def _unfinished(self) -> bool:
        """Whether there is something for which leaving the backend has to wait."""
        return bool(self._connections or self.lingering or self._channels)

    # -- forks (ERR-18) ------------------------------------------------------------------------

    def hold_descriptors(self, descriptors: Callable[[], Iterable[int]]) -> None:
        """Have forked children give up the descriptors that *descriptors* returns.

        For those that belong to no channel and no listener, and that the poller does not watch.
        `release_descriptors` takes it back.

        :param descriptors: gives the descriptors. It is called in the child.
        """
        self._holders[descriptors] = None

    def release_descriptors(self, descriptors: Callable[[], Iterable[int]]) -> None:
        """Take back `hold_descriptors`. Idempotent.

        :param descriptors: what `hold_descriptors` was given.
        """
        self._holders.pop(descriptors, None)

    @property
    def in_use(self) -> bool:
        """Whether a child that is forked now must not use the backend."""
        return (self._entered and not self._was_left) or self._unfinished

    def disown(self, parent: int) -> None:
        """Give everything up, in a forked child, because it belongs to the process *parent*.

        No event is delivered. From then on nothing can be begun, and `fatal` ends the process.

        :param parent: the id of the parent process.
        """
        self.foreign: int | None = parent
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
            # A framework's object that is closed may raise.
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
        """Watch nothing any more, in a forked child.

        :returns: the descriptors that were watched.
        """

    def _refuse(self, *args: object, **options: object) -> Any:
        """Raise RuntimeError: in a forked child it replaces the methods of `_BEGINNING`."""
        raise RuntimeError(
            f"backend {self.name!r} is that of process {self.foreign}, from which this one "
            "was forked; run a backend of its own in the child"
        )

    def _call_nothing(self, *args: object) -> bool:
        """Do nothing: in a forked child it replaces the methods of `_CALLING`."""
        # Those of the framework may need a lock, as trio's do for calls from threads. If a thread
        # of the parent held it at the fork, it is never released in the child.
        return True


_BEGINNING = ("call_later", "resolve", "sleep", "start_soon", "watch")
"""Methods that begin something in the loop, and that raise in a forked child.

`connect` and `listen` raise by themselves.
"""

_CALLING = ("call_soon", "call_soon_threadsafe", "call_though_left")
"""Methods that verbs call. In a forked child verbs do nothing, and so do these."""
