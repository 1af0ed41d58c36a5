"""A backend: the few things that a framework must offer, and what is built on top of them.

The author of a backend derives from `Backend` and writes the abstract methods; ``connect``,
``listen``, lingering, leaving and the socket lane come with the class.
"""

from __future__ import annotations

import errno
import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar
from typing import Protocol as Interface

from . import forking
from .channel import BackendCapabilities, Channel
from .connection import Connection
from .deadline import Deadlines
from .endpoints import Endpoint, Memory, StandardIO, as_endpoint
from .interfaces import Protocol, ProtocolFactory
from .io.busy_polling import BUSY_POLL
from .io.connecting import Address, connect_socket
from .io.lane import Lane
from .io.lingering import Lingering
from .io.listening import OUT_OF_RESOURCES, listen_sockets
from .io.stdio import connect_stdio
from .listener import Listener
from .options import ConnectionOptions, seconds
from .plugins import Hooks
from .reasons import ConnectError, ConnectionAborted, ConnectionLost

__all__ = ["Backend", "Event", "TimerHandle", "Watch"]

_log = logging.getLogger("halfclose")

T = TypeVar("T")

GRACE = 5.0
"""Seconds that leaving a backend waits for its connections to end."""

_LOST = frozenset({errno.ENOTCONN, errno.ECONNRESET, errno.EPIPE, errno.EINVAL, errno.EBADF})
"""What the system says of a socket that was reset before a framework took it."""

_OPTIONS = frozenset({"busy_poll", "grace", "sockets"})
"""Options of every backend."""


class TimerHandle(Interface):
    """What `Backend.call_later` gives."""

    def cancel(self) -> None:
        """Do not call the function. Idempotent; a no-op once it was called."""


class Event(Interface):
    """What `Backend.create_event` gives: like ``anyio.Event`` and ``asyncio.Event``."""

    def set(self) -> None:
        """Wake every waiter, now and in the future. Idempotent; in the loop's thread only."""

    def is_set(self) -> bool:
        """Whether `set` was called."""

    async def wait(self) -> object:
        """Wait for `set`. Cancelling one waiter affects no other."""


class Watch(Interface):
    """What `Backend.watch` gives."""

    def stop(self) -> None:
        """Call no more. Idempotent."""


class Backend(ABC):
    """One event loop, seen from a protocol's library.

    Made by `halfclose.run` or `halfclose.open_backend`, never directly. Its methods are to be
    called in the loop's thread, but for `call_soon_threadsafe`. It is an asynchronous context
    manager: leaving it closes every connection (rule END-03).

    :param name: the backend's full name, such as ``"mine+variant"``.
    :param options: ``grace``, seconds that leaving waits for connections to end (5); ``sockets``,
        ``"lane"`` or ``"native"`` (rule of thumb: leave it alone); ``busy_poll``, seconds that the
        loop stays awake for the next message while messages come faster than that (0.0001; 0:
        never), which halves a quick exchange and takes the processor meanwhile; and what the
        subclass names in `option_names`.
    :raises TypeError: an option that this backend does not know.
    :raises ValueError: an option's value is out of range.
    """

    capabilities: ClassVar[BackendCapabilities] = BackendCapabilities()
    """What it can do: everything, unless it declares otherwise."""

    option_names: ClassVar[frozenset[str]] = frozenset()
    """Options of this backend's own, beside those of every backend."""

    runs_inside: ClassVar[bool] = False
    """Whether `run` may be called where another event loop runs in the same thread: it waits for
    nothing that is outside, and so does not stop that loop."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in sorted(_OWN & set(vars(cls))):
            raise TypeError(
                f"{cls.__qualname__}.{name} would replace what halfclose.Backend itself uses; "
                "choose another name"
            )

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.options = dict(options or {})
        unknown = sorted(set(self.options) - _OPTIONS - self.option_names)
        if unknown:
            known = ", ".join(sorted(_OPTIONS | self.option_names))
            raise TypeError(f"backend {name!r} has no option {unknown[0]!r}; it has {known}")
        self._grace = seconds("grace", self.options.get("grace", GRACE))
        # In a forked child `fatal` is another one (see `disown`).
        self.hooks = Hooks(lambda error: self.fatal(error), self.report)
        busy_poll = seconds("busy_poll", self.options.get("busy_poll", BUSY_POLL))
        self.lane = Lane(self, self.options.get("sockets"), busy_poll)
        self.deadlines = Deadlines(self)
        self.lingering = Lingering(self)
        self._connections: dict[Connection, None] = {}
        self._listeners: dict[Listener, None] = {}
        self._channels: set[Channel] = set()
        self._leaving: dict[Callable[[], None], None] = {}
        self._holders: dict[Callable[[], Iterable[int]], None] = {}
        self._entered = False
        self._was_left = False
        self._quiet: Event | None = None
        self.leaving = False
        """Whether the backend is being left, and its connections are given time to end."""
        self.left = False
        """Whether the backend has been left: nothing can be begun any more."""
        self.foreign: int | None = None
        """In a child that was forked inside the backend, the process whose backend it is."""
        forking.note(self)

    # -- what a framework must offer -----------------------------------------------------------

    @classmethod
    @abstractmethod
    def run(
        cls,
        name: str,
        options: Mapping[str, Any] | None,
        main: Callable[..., Awaitable[T]],
        args: tuple[object, ...],
    ) -> T:
        """Start the framework, run ``main(backend, *args)`` in it, end it, give the result.

        ``main`` runs inside ``async with`` of a backend made as ``cls(name, options)``. Leaves
        no descriptor, thread or signal handler behind, and may be called again.

        :raises BaseException: whatever ``main`` raised, or was given to `fatal`, bare.
        """

    @abstractmethod
    async def start(self) -> None:
        """Enter: the framework is running in this thread.

        :raises RuntimeError: it is not.
        """

    @abstractmethod
    async def stop(self, error: BaseException | None) -> None:
        """Leave: cancel the tasks that `start_soon` began, release everything.

        :param error: what ended the body, if it did not end by itself.
        :raises BaseException: what was given to `fatal`, bare, in place of *error*.
        """

    @abstractmethod
    def fatal(self, error: BaseException) -> None:
        """An event raised KeyboardInterrupt or SystemExit (rule ERR-05).

        End the body of ``async with``, so that `stop` or `run` can raise *error*; where the loop
        is not ours to end, log it and stop the loop.
        """

    @abstractmethod
    def time(self) -> float:
        """Seconds of a clock that never goes back."""

    @abstractmethod
    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call ``function(*args)`` in the next turn of the loop, in order of the calls.

        It runs in a copy of the caller's context (`contextvars`), as does what `call_later`,
        `call_soon_threadsafe` and `start_soon` are given (rule EVT-16). Once the backend has been
        left, nothing is called.
        """

    @abstractmethod
    def call_later(
        self, seconds: float, function: Callable[..., object], *args: object
    ) -> TimerHandle:
        """Call ``function(*args)`` after *seconds*; the handle's ``cancel()`` prevents it.

        What the function raises is logged. It is not called once the backend has been left.
        """

    @abstractmethod
    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        """`call_soon`, from any thread or signal handler.

        Once the backend has been left it raises nothing, also where the loop has ended or is closed
        (rule ERR-14).
        """

    @abstractmethod
    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        """Run ``await function(*args)`` as a task of its own, until the backend is left.

        What it raises is logged, by the logger ``halfclose`` like all that goes wrong in a
        backend; leaving the backend cancels it. Once the backend has been left, nothing is begun.
        """

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Wait for *seconds*."""

    @abstractmethod
    def create_event(self) -> Event:
        """A fresh event that any number of tasks can wait for."""

    @abstractmethod
    def watch(self, fd: int, ready: Callable[[], object], *, write: bool = False) -> Watch:
        """Call *ready* each time that *fd* is readable (or writable), until told to stop.

        Level-triggered: it is called again while the descriptor stays ready. An error on the
        descriptor counts as readiness.

        While *ready* returns true, the loop had better not sleep but call it again in the next
        turn, ready or not; a backend that takes no notice is slower, and correct.
        """

    @abstractmethod
    async def resolve(self, host: str, port: int) -> list[Address]:
        """The stream addresses of *host*, as the framework looks names up, best first.

        :raises OSError: the name has none (``socket.gaierror``).
        """

    @abstractmethod
    def adopt(self, sock: Any) -> Channel:
        """A channel over a connected, non-blocking socket, by the framework's own transport.

        The channel owns the socket from now on.

        :raises OSError: it cannot be taken, and is left to the caller: the connection is lost
            already, or something is missing (EMFILE), and it is tried again.
        """

    # -- connecting and listening --------------------------------------------------------------

    async def connect(
        self,
        endpoint: str | Endpoint,
        factory: ProtocolFactory,
        timeout: float | None = 30.0,
        options: ConnectionOptions | None = None,
    ) -> Any:
        """Connect, attach what *factory* gives, and return it.

        It is returned even if the connection is lost already: its ``connectionLost`` tells.
        Cancelled, it leaves nothing behind.

        :param endpoint: where to; ``stdio:`` attaches descriptors 0 and 1 of this process.
        :param factory: any callable that gives a protocol; called once, when connected.
        :param timeout: seconds for everything, the name lookup included; None: no limit.
        :raises EndpointError: *endpoint* is malformed.
        :raises ValueError: *timeout* is negative.
        :raises RuntimeError: the backend has been left, or not been entered.
        :raises ConnectError: `ConnectionRefused`, `DNSLookupFailed`, `ConnectTimeout`, or any
            other reason; names the endpoint and each attempt.
        :raises BaseException: what *factory* or ``connectionMade`` raised.
        """
        self.check_open()
        target = as_endpoint(endpoint)
        if timeout is not None:
            seconds("timeout", timeout)
        context = copy_context()
        channel = await self.open_channel(target, timeout)
        try:
            protocol = context.run(make_protocol, factory)
            if self.foreign is not None:
                self._refuse()
            connection = Connection(self, channel, options or ConnectionOptions(), context)
        except BaseException:
            if self.foreign is None:
                channel.abort()
            raise
        failure = connection.attach(protocol)
        if failure is not None:
            raise failure
        return protocol

    async def listen(
        self,
        endpoint: str | Endpoint,
        factory: ProtocolFactory,
        options: ConnectionOptions | None = None,
    ) -> Listener:
        """Listen, and attach what *factory* gives to each connection that comes.

        A factory that raises or gives no protocol costs that connection and is logged.

        :param endpoint: where; TCP port 0 lets the system choose, `Listener.endpoint` tells.
            ``tcp:*:PORT`` is every address of both families, ``tcp:[::]:PORT`` of IPv6 alone.
            A unix path that is a stale socket is taken over.
        :returns: the listener, an asynchronous context manager.
        :raises EndpointError: *endpoint* is malformed.
        :raises RuntimeError: the backend has been left, or not been entered.
        :raises ListenError: it cannot be listened on; names the endpoint.
        """
        self.check_open()
        settings = options or ConnectionOptions()
        context = copy_context()

        def accepted(channel: Channel) -> None:
            self.accept(channel, factory, settings, context.copy())

        listener = await self.open_listener(as_endpoint(endpoint), settings, accepted)
        try:
            self.check_open()
        except RuntimeError:
            listener.close()
            raise
        self._listeners[listener] = None
        return listener

    # -- what a backend without descriptors overrides ------------------------------------------

    async def open_channel(self, endpoint: Endpoint, timeout: float | None) -> Channel:
        """A channel that is connected to *endpoint*; cancelled, it leaves nothing behind.

        :param timeout: seconds for everything; None: no limit.
        :raises ConnectError: see `connect`.
        :raises RuntimeError: the backend was left meanwhile.
        """
        if isinstance(endpoint, StandardIO):
            return connect_stdio(self)
        if isinstance(endpoint, Memory):
            raise ConnectError(f"cannot connect to {endpoint}: only the backend 'memory' has it")
        sock, lost = await connect_socket(self, endpoint, timeout)
        try:
            while True:
                self.check_open()
                try:
                    return self.lane.channel(sock, lost=lost)
                except OSError as error:
                    pause = self.lingering.make_room(error)
                    if pause is None:
                        raise
                    await self._keep(sock, pause)
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError):
                raise ConnectError(f"cannot connect to {endpoint}: {error}") from error
            raise

    async def _keep(self, sock: socket.socket, pause: float) -> None:
        """Wait for *pause* seconds, with a socket that is nobody's yet."""

        def descriptors() -> tuple[int, ...]:
            return (sock.fileno(),)

        self.hold_descriptors(descriptors)
        try:
            await self.sleep(pause)
        finally:
            self.release_descriptors(descriptors)

    async def open_listener(
        self, endpoint: Endpoint, options: ConnectionOptions, accepted: Callable[[Channel], None]
    ) -> Listener:
        """A listener on *endpoint* that gives a channel for each new connection to *accepted*.

        :raises ListenError: see `listen`.
        """

        def wrap(
            sock: socket.socket, peer: Endpoint | None, host: Endpoint | None
        ) -> OSError | None:
            try:
                channel = self.lane.channel(sock, peer=peer, host=host)
            except OSError as error:
                if error.errno in OUT_OF_RESOURCES:
                    return error
                sock.close()
                # Reset before it could be served, it is as good as never accepted.
                if error.errno not in _LOST:
                    _log.error("a connection to %s was dropped: %s", endpoint, error)
                return None
            accepted(channel)
            return None

        return await listen_sockets(self, endpoint, options, wrap)

    def accept(
        self,
        channel: Channel,
        factory: ProtocolFactory,
        options: ConnectionOptions,
        context: Context | None = None,
    ) -> Protocol | None:
        """Attach what *factory* gives to a *channel* that nobody here asked for (rule ERR-08).

        :param context: the connection's own, of nobody else's (rule EVT-16): a copy of the one in
            which the program began to listen; by default of the caller's.
        :returns: the protocol; None if the factory failed: then the channel was aborted, and the
            failure logged, or given to `fatal`.
        """
        context = copy_context() if context is None else context
        try:
            protocol = context.run(make_protocol, factory)
            if self.foreign is not None:
                self.check_process()
            connection = Connection(self, channel, options, context)
        except (KeyboardInterrupt, SystemExit) as error:
            self.check_process(error)
            channel.abort()
            self.fatal(error)
            return None
        except BaseException as error:
            self.check_process(error)
            channel.abort()
            context.run(
                self.report,
                error,
                "the protocol factory %r failed; the connection was aborted",
                factory,
            )
            return None
        connection.attach(protocol)
        return protocol

    # -- what connections and the lane use -----------------------------------------------------

    def hold(self, connection: Connection) -> None:
        """Keep *connection* alive until `release` (rule EVT-10)."""
        self._connections[connection] = None
        if self.leaving and not self.left:
            # Begun while the others are given time to end.
            self.call_soon(connection.leave)

    def release(self, connection: Connection) -> None:
        """*connection* is lost."""
        self._connections.pop(connection, None)
        self.check_quiet()

    def hold_channel(self, channel: Channel) -> None:
        """*channel* needs further turns of the loop to release its descriptor, once closed."""
        self._channels.add(channel)

    def release_channel(self, channel: Channel) -> None:
        """*channel* has released its descriptor."""
        self._channels.discard(channel)
        self.check_quiet()

    def holds_channel(self, channel: Channel) -> bool:
        """Whether *channel* has not released its descriptor, as `hold_channel` had said of it."""
        return channel in self._channels

    def on_leaving(self, leave: Callable[[], None]) -> None:
        """Call *leave* when the backend is left, unless `forget_leaving` comes before."""
        self._leaving[leave] = None

    def forget_leaving(self, leave: Callable[[], None]) -> None:
        """Take back `on_leaving`."""
        self._leaving.pop(leave, None)

    def hold_descriptors(self, descriptors: Callable[[], Iterable[int]]) -> None:
        """Have a forked child let go of what *descriptors* gives, until `release_descriptors`.

        For what is no channel's, no listener's, and not watched by the poller either (ERR-18).
        """
        self._holders[descriptors] = None

    def release_descriptors(self, descriptors: Callable[[], Iterable[int]]) -> None:
        """Take back `hold_descriptors`. Idempotent."""
        self._holders.pop(descriptors, None)

    def forget(self, listener: Listener) -> None:
        """*listener* is closed."""
        self._listeners.pop(listener, None)

    def check_quiet(self) -> None:
        """Let a backend that is being left go on, if nothing remains."""
        if self._quiet is not None and not self._busy:
            self._quiet.set()

    @property
    def _busy(self) -> bool:
        return bool(self._connections or self.lingering or self._channels)

    def guarded(self, function: Callable[..., object], *args: object) -> object:
        """Call *function* so that nothing it raises stops the loop: log it, or `fatal`.

        :returns: what it returned; None if it raised.
        """
        result = None
        try:
            result = function(*args)
        except (KeyboardInterrupt, SystemExit) as error:
            self.fatal(error)
        except BaseException as error:
            self.check_process(error)
            self.report(error, "%r failed", function)
        if self.foreign is not None:
            self.check_process()
        return result

    def report(
        self, error: BaseException, message: str, *args: object, level: int = logging.ERROR
    ) -> None:
        """Tell of *error*, which somebody's code raised and nobody caught.

        Every failure of an event, a factory, a task, a timer, a plugin or a channel comes here,
        once. It goes to the logger ``halfclose``, with its traceback; a backend can override it to
        tell its framework too. It must raise nothing.

        :param message: what failed; with *args*, as for ``logging``.
        """
        _log.log(level, message, *args, exc_info=error)

    def call_though_left(self, function: Callable[..., object], *args: object) -> bool:
        """`call_soon`, where the backend has been left and its loop goes on (rule PRD-05).

        A backend whose loop can outlive it overrides this; nothing else is to be called there once
        it has been left (rule ERR-14).

        :returns: whether *function* will be called; by default it is not.
        """
        return False

    def guarded_timer(self, function: Callable[..., object], *args: object) -> None:
        """`guarded`, for what the loop calls later: nothing, once the backend has been left.

        A backend's `call_later`, `call_soon` and `call_soon_threadsafe` can give it to their loop.
        """
        if not self.left:
            self.guarded(function, *args)

    # -- entering and leaving ------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        self._entered = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.check_process(error)
        try:
            if error is None:
                await self._wind_down()
        except BaseException as interruption:
            error = interruption
            raise
        finally:
            self.left = True
            try:
                self._abort_all()
            finally:
                await self._stop(error)

    async def _stop(self, error: BaseException | None) -> None:
        try:
            await self.stop(error)
        finally:
            # What a cancelled task began all the same.
            self._abort_all()
            self._was_left = True

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

    # -- forks (ERR-18) ------------------------------------------------------------------------

    @property
    def in_use(self) -> bool:
        """Whether a child that is forked now must leave the backend alone."""
        return (self._entered and not self._was_left) or self._busy

    def disown(self, parent: int) -> None:
        """In a forked child: all that is here is the process *parent*'s. Nobody is told."""
        self.foreign = parent
        reason = ConnectionLost(f"the connection is that of process {parent}")
        holders = list(self._holders)
        holders += [listener.descriptors for listener in self._listeners]
        holders += [channel.descriptors for channel in self._channels]
        holders += [connection.channel.descriptors for connection in self._connections]
        descriptors = self.lane.disown()
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

    def check_process(self, error: BaseException | None = None) -> None:
        """End this process if it was forked inside the backend and has come back to it.

        To be called where a task has ended, or where what the loop has called returns without
        having gone through `guarded`.

        :param error: what it came back with.
        """
        if self.foreign is not None:
            forking.end(self, error)

    def _refuse(self, *args: object, **options: object) -> Any:
        raise RuntimeError(
            f"backend {self.name!r} is that of process {self.foreign}, from which this one "
            "was forked; run a backend of its own in the child"
        )

    def _call_nothing(self, *args: object) -> bool:
        # A loop may have a lock for what comes from threads (trio), and one that a thread of the
        # parent's held at the fork is never released here: who asked for it would wait for ever.
        return True

    async def _wind_down(self) -> None:
        self.leaving = True
        for listener in list(self._listeners):
            listener.close()
        for connection in list(self._connections):
            connection.leave()
        if not self._busy:
            return
        self._quiet = self.create_event()
        timer = self.call_later(self._grace, self._quiet.set)
        try:
            await self._quiet.wait()
        finally:
            timer.cancel()

    def _abort_all(self) -> None:
        for listener in list(self._listeners):
            listener.close()
        for leave in list(self._leaving):
            leave()
        for connection in list(self._connections):
            connection.abandon(ConnectionAborted(f"backend {self.name} was left"))
        self.lingering.abort()
        self.lane.close()


_BEGINNING = ("call_later", "resolve", "sleep", "start_soon", "watch")
"""What begins something in the loop, beside connect and listen, and is refused in a child."""

_CALLING = ("call_soon", "call_soon_threadsafe", "call_though_left")
"""What verbs ask of the loop, which is not asked in a child: verbs do nothing there."""

_OWN = frozenset(
    {name for name in vars(Backend) if name.startswith("_") and not name.startswith("__")}
    | {"_channels", "_connections", "_entered", "_grace", "_holders", "_leaving", "_listeners"}
    | {"_quiet", "_was_left"}
) - {"_abc_impl"}
"""Private names that a subclass would break by using them for itself."""


def make_protocol(factory: ProtocolFactory) -> Protocol:
    """What *factory* gives, if it is a protocol.

    :raises TypeError: it is none.
    """
    protocol = factory()
    if not isinstance(protocol, Protocol):
        hint = ""
        if hasattr(protocol, "makeConnection"):
            # Another library's: its methods may do, its base class does not.
            hint = (
                "; derive the class from halfclose.Protocol or halfclose.HalfCloseableProtocol "
                "in place of its base; connectionLost then gets the exception itself"
            )
        raise TypeError(
            f"the factory {factory!r} gave {protocol!r}, which is no halfclose.Protocol{hint}"
        )
    return protocol
