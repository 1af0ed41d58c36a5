"""`Backend`: connecting, listening and leaving, put together from all that is below.

What a framework must offer is in `loop`, what keeps the connections in `host`, how sockets are
served in ``io``. The author of a backend derives from `Backend` and writes the abstract methods of
`loop.EventLoop`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, Self, TypeVar

from . import forking
from .channel import Channel
from .connection import Connection
from .endpoints import Endpoint
from .interfaces import Protocol, ProtocolFactory
from .io.host import SocketHost
from .listener import Listener
from .options import ConnectionOptions, seconds
from .reasons import ConnectError, ConnectionAborted, ListenError
from .scheme import Scheme
from .schemes import as_endpoint, scheme_of
from .text import printable

__all__ = ["Backend"]

_log = logging.getLogger("halfclose")

P = TypeVar("P", bound=Protocol)

GRACE = 5.0
"""Seconds that leaving a backend waits for its connections to end."""

_OPTIONS = frozenset({"busy_poll", "grace", "sockets"})
"""Options of every backend."""


class Backend(SocketHost):
    """An event loop that connects and listens, and keeps what it has made.

    Made by `halfclose.run` or `halfclose.open_backend`, never directly. Its methods are to be
    called in the loop's thread, but for `call_soon_threadsafe`. It is an asynchronous context
    manager: leaving it closes every connection (rule END-03).

    :param name: the backend's full name, such as ``"mine+variant"``.
    :param options: ``grace``, seconds that leaving waits for connections to end (5); ``sockets``,
        ``"poller"`` or ``"native"`` (rule of thumb: leave it alone); ``busy_poll``, seconds that
        the loop stays awake for the next message while messages come faster than that (0.0001; 0:
        never), which halves a quick exchange and takes the processor meanwhile; and what the
        subclass names in `option_names`.
    :raises TypeError: an option that this backend does not know.
    :raises ValueError: an option's value is out of range.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in sorted(_OWN & set(vars(cls))):
            raise TypeError(
                f"{cls.__qualname__}.{name} would replace what halfclose.Backend itself uses; "
                "choose another name"
            )

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, options)
        unknown = sorted(set(self.options) - _OPTIONS - self.option_names)
        if unknown:
            known = ", ".join(sorted(_OPTIONS | self.option_names))
            raise TypeError(f"backend {name!r} has no option {unknown[0]!r}; it has {known}")
        self._grace = seconds("grace", self.options.get("grace", GRACE))
        forking.note(self)

    # -- connecting and listening --------------------------------------------------------------

    async def connect(
        self,
        endpoint: str | Endpoint,
        factory: Callable[[], P],
        timeout: float | None = 30.0,
        options: ConnectionOptions | None = None,
    ) -> P:
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

    # -- what is below connect and listen ------------------------------------------------------

    def cannot_serve(self, scheme: Scheme[Any, Any]) -> str | None:
        """Why this backend has no endpoint of *scheme*; None: it has. A backend may override it."""
        if scheme.needs_descriptors and not self.capabilities.descriptors:
            return f"the backend {self.name!r} has no descriptors, which {scheme.name}: needs"
        return None

    async def open_channel(self, endpoint: Endpoint, timeout: float | None) -> Channel:
        """A channel that is connected to *endpoint*; cancelled, it leaves nothing behind.

        For a scheme that reaches its endpoints by way of others.

        :param timeout: seconds for everything; None: no limit.
        :raises ConnectError: see `connect`.
        :raises RuntimeError: the backend was left meanwhile.
        """
        scheme = scheme_of(endpoint)
        why = self.cannot_serve(scheme) or scheme.cannot_connect(endpoint)
        if why is not None:
            raise ConnectError(f"cannot connect to {_named(endpoint)}: {why}")
        try:
            return await scheme.connect(self, endpoint, timeout)
        except OSError as error:
            what = printable(str(error))
            raise ConnectError(f"cannot connect to {_named(endpoint)}: {what}") from error

    async def open_listener(
        self, endpoint: Endpoint, options: ConnectionOptions, accepted: Callable[[Channel], None]
    ) -> Listener:
        """A listener on *endpoint* that gives a channel for each new connection to *accepted*.

        For a scheme that reaches its endpoints by way of others.

        :raises ListenError: see `listen`.
        :raises RuntimeError: the backend was left meanwhile.
        """
        scheme = scheme_of(endpoint)
        why = self.cannot_serve(scheme) or scheme.cannot_listen(endpoint)
        if why is not None:
            raise ListenError(f"cannot listen on {_named(endpoint)}: {why}")
        try:
            return await scheme.listen(self, endpoint, options, accepted)
        except (OSError, UnicodeError) as error:
            # UnicodeError: what a resolver says of a host that cannot be a name.
            what = printable(str(error))
            raise ListenError(f"cannot listen on {_named(endpoint)}: {what}") from error

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
        self.driver.close()


_OWN = frozenset(
    name
    for cls in Backend.__mro__
    if cls.__module__.startswith(f"{__package__}.")
    for name in vars(cls)
    if name.startswith("_") and not name.startswith("__")
) - {"_abc_impl"} | {
    *("_channels", "_connections", "_entered", "_grace", "_holders", "_leaving", "_listeners"),
    *("_quiet", "_was_left"),
}
"""Private names that a subclass would break by using them for itself."""


def _named(endpoint: Endpoint) -> str:
    """*endpoint* before a colon: one that ends with a colon goes without."""
    return str(endpoint).removesuffix(":")


def make_protocol(factory: Callable[[], P]) -> P:
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
