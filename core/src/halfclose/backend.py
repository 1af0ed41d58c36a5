"""`Backend`: the class that connects and listens, and that is entered and left.

It is built from three others: `loop` says what a framework must offer, `host` keeps the
connections, and ``io`` serves sockets. The author of a backend derives from `Backend` and writes
the abstract methods of `loop.EventLoop`.
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
from .scheme_registry import as_endpoint, scheme_of
from .text import printable

__all__ = ["Backend"]

_log = logging.getLogger("halfclose")

P = TypeVar("P", bound=Protocol)

GRACE = 5.0
"""Seconds that leaving a backend waits for its connections to end."""

_NAMED = 3
"""How many peers are named in a log record about several connections."""

_OPTIONS = frozenset({"busy_poll", "grace", "sockets"})
"""Options of every backend."""


class Backend(SocketHost):
    """An event loop that connects and listens, and keeps the connections while they are open.

    `halfclose.run` and `halfclose.open_backend` make it; do not make one yourself. Call its methods
    in the loop's thread only, except `call_soon_threadsafe`. It is an asynchronous context manager,
    and leaving it closes every connection (rule END-03).

    :param name: the backend's full name, such as ``"mine+variant"``.
    :param options: these, and those that the subclass names in `option_names`:

        - ``grace``: seconds that leaving waits for connections to end; by default 5. If it resets
          some then, it logs one warning with their number.
        - ``sockets``: what reads and writes sockets: ``"poller"`` for the library's own poller, or
          ``"native"`` for the framework's transports. By default ``"poller"`` if the platform has
          epoll, else ``"native"``.
        - ``busy_poll``: while messages come faster than one in this many seconds, the loop waits
          for the next one without sleeping. That halves the time of a quick exchange, and uses the
          processor meanwhile. By default 0.0001; 0 means never.
    :raises TypeError: the backend does not know one of the options.
    :raises ValueError: the value of an option is out of range.
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
        check_factory(factory)
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
        check_factory(factory)
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
        """The reason why this backend cannot serve endpoints of *scheme*; None if it can.

        A backend may override it.

        :param scheme: the scheme of the endpoint that a program asks for.
        """
        if scheme.needs_descriptors and not self.capabilities.descriptors:
            return f"the backend {self.name!r} has no descriptors, which {scheme.name}: needs"
        return None

    async def open_channel(self, endpoint: Endpoint, timeout: float | None) -> Channel:
        """Connect to *endpoint* and return the channel. If cancelled, it leaves nothing behind.

        `connect` is built on it, and so can be a scheme that reaches its endpoints through others.

        :param endpoint: where to connect.
        :param timeout: seconds for everything. None means no limit.
        :raises ConnectError: the connection was not made (ERR-10); see `connect`.
        :raises RuntimeError: the backend was left meanwhile.
        :raises TypeError: the plugin of the scheme is broken, and gave no channel.
        """
        scheme = scheme_of(endpoint)
        why = self.cannot_serve(scheme) or scheme.cannot_connect(endpoint)
        if why is not None:
            raise ConnectError(f"cannot connect to {_named(endpoint)}: {why}")
        try:
            channel = await scheme.connect(self, endpoint, timeout)
        except (OSError, UnicodeError) as error:
            # A resolver raises UnicodeError for a host that cannot be a name.
            what = printable(str(error))
            raise ConnectError(f"cannot connect to {_named(endpoint)}: {what}") from error
        if not isinstance(channel, Channel):
            raise TypeError(f"{scheme.name}: its plugin gave {channel!r}, which is no channel")
        return channel

    async def open_listener(
        self, endpoint: Endpoint, options: ConnectionOptions, accepted: Callable[[Channel], None]
    ) -> Listener:
        """Listen on *endpoint*, and give the channel of each new connection to *accepted*.

        `listen` is built on it, and so can be a scheme that reaches its endpoints through others.

        :param endpoint: where to listen.
        :param options: those of each connection; ``unix_mode`` is for the socket itself.
        :param accepted: is called in the loop's thread with each new channel, which is its own from
            then on.
        :raises ListenError: nothing can listen on *endpoint*.
        :raises RuntimeError: the backend was left meanwhile.
        :raises TypeError: the plugin of the scheme is broken, and gave no listener.
        """
        scheme = scheme_of(endpoint)
        why = self.cannot_serve(scheme) or scheme.cannot_listen(endpoint)
        if why is not None:
            raise ListenError(f"cannot listen on {_named(endpoint)}: {why}")
        try:
            listener = await scheme.listen(self, endpoint, options, accepted)
        except (OSError, UnicodeError) as error:
            what = printable(str(error))
            raise ListenError(f"cannot listen on {_named(endpoint)}: {what}") from error
        if not isinstance(listener, Listener):
            raise TypeError(f"{scheme.name}: its plugin gave {listener!r}, which is no listener")
        return listener

    def accept(
        self,
        channel: Channel,
        factory: ProtocolFactory,
        options: ConnectionOptions,
        context: Context | None = None,
    ) -> Protocol | None:
        """Attach what *factory* gives to *channel*, which was accepted by a listener (rule ERR-08).

        :param channel: the new connection's channel, which is the backend's from now on.
        :param factory: any callable that gives a protocol. It is called once.
        :param options: the settings of the connection.
        :param context: where the connection's events run. No other connection may use it (rule
            EVT-16). By default a copy of the caller's; for a listener it is a copy of the context
            in which the program called `listen`.
        :returns: the protocol; None if the factory failed. Then the channel was aborted, and the
            failure was logged; a KeyboardInterrupt or SystemExit was given to `fatal`.
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
                # Also if the body raised or was cancelled in the middle of a reply: a reset tells
                # the peer that the reply is not whole (FLU-05).
                self._abort_all()
            finally:
                await self._stop(error)

    async def _stop(self, error: BaseException | None) -> None:
        """Stop the loop, then abort what its tasks began after they were cancelled."""
        try:
            await self.stop(error)
        finally:
            self._abort_all()
            self._was_left = True

    async def _wind_down(self) -> None:
        """Close everything, and wait for it to end for as long as the option ``grace`` says."""
        self.leaving = True
        for listener in list(self._listeners):
            listener.close()
        for connection in list(self._connections):
            connection.leave()
        if not self._unfinished:
            return
        self._quiet = self.create_event()
        timer = self.call_later(self._grace, self._quiet.set)
        try:
            await self._quiet.wait()
        finally:
            timer.cancel()
        if self._connections:
            self._warn_of_the_rest()

    def _warn_of_the_rest(self) -> None:
        """Log once that connections are about to be aborted, since the time for them is over.

        Without that, a program that cuts its peers off ends as well as one that does not. Channels
        that linger are not counted: all that was written is with the kernel, which goes on.
        """
        rest = list(self._connections)
        one = len(rest) == 1
        peers = [printable(str(each.getPeer())) for each in rest[:_NAMED]]
        _log.warning(
            "%d %s did not end within %g s, and %s %s: %s%s",
            len(rest),
            "connection" if one else "connections",
            self._grace,
            "was" if one else "were",
            # A pipe can only be closed.
            "reset" if all(each.channel.capabilities.can_reset for each in rest) else "aborted",
            ", ".join(peers),
            ", ..." if len(rest) > _NAMED else "",
        )

    def _abort_all(self) -> None:
        """Abort every connection and release everything else, now."""
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
"""Private names of `Backend` and its base classes. A subclass that used one would break them."""


def _named(endpoint: Endpoint) -> str:
    """The text of *endpoint* to be followed by a colon: if it ends with one, without that."""
    return str(endpoint).removesuffix(":")


def check_factory(factory: object) -> None:
    """Refuse a *factory* that cannot be called, before anything connects or listens.

    :raises TypeError: it cannot be called; the message says what to pass.
    """
    if not callable(factory):
        raise TypeError(
            f"the factory {factory!r} is not callable: pass the protocol's class, "
            "or a function that makes a protocol"
        )


def make_protocol(factory: Callable[[], P]) -> P:
    """Call *factory* and return the protocol that it gives.

    :raises TypeError: it gave something that is no protocol.
    """
    protocol = factory()
    if not isinstance(protocol, Protocol):
        hint = ""
        if hasattr(protocol, "makeConnection"):
            # A protocol of another library: its methods may fit, but its base class does not.
            hint = (
                "; derive the class from halfclose.Protocol or halfclose.HalfCloseableProtocol "
                "in place of its base; connectionLost then gets the exception itself"
            )
        raise TypeError(
            f"the factory {factory!r} gave {protocol!r}, which is no halfclose.Protocol{hint}"
        )
    return protocol
