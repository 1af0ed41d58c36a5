"""Serves the connections of Twisted's own endpoints by halfclose protocols."""

from __future__ import annotations

import logging
import sys
from contextvars import copy_context
from functools import partial
from typing import Any

from halfclose import ConnectionOptions, ProtocolFactory
from halfclose.backend import check_factory
from twisted.internet.interfaces import IAddress, ILoggingContext, IProtocolFactory
from zope.interface import implementer

from . import reactors
from .backend import TwistedBackend
from .channel import Attached, TwistedChannel

__all__ = ["as_factory"]

_log = logging.getLogger("halfclose")

_backends: dict[Any, TwistedBackend] = {}
"""The backend of each reactor that the program runs itself."""


def as_factory(
    factory: ProtocolFactory, options: ConnectionOptions | None = None, *, reactor: Any = None
) -> Any:
    """Make a Twisted factory whose connections are served by halfclose protocols.

    It fits any endpoint of a program that runs its own reactor::

        endpoint.listen(as_factory(Echo))

    The Deferred of a client endpoint's ``connect`` fires with an object whose attribute
    ``protocol`` is the halfclose protocol.

    When the reactor stops, the connections are reset, and each protocol hears ``connectionLost``.

    :param factory: a callable that makes a halfclose protocol; it is called once for each
        connection. If it raises, or makes anything else, that is logged and the connection is
        aborted (ERR-08).
    :param options: how the connections behave; by default as ``ConnectionOptions()`` says.
    :param reactor: the reactor that serves the endpoint. By default it is the one that
        `halfclose.run` runs in this thread, or else the installed one. None is ever installed.
    :returns: an ``IProtocolFactory``, which is logged under the name of *factory*. If no reactor is
        given and none is installed, each connection fails with RuntimeError.
    :raises TypeError: *factory* cannot be called, or is a factory of Twisted's.
    """
    if hasattr(factory, "buildProtocol"):
        # Also if it is the class of one, which can be called.
        raise TypeError(
            f"{factory!r} is a Twisted factory: pass the protocol's class instead of it, or a "
            "function that makes a protocol, such as lambda: MyProtocol(shared)"
        )
    check_factory(factory)
    return _Factory(factory, options or ConnectionOptions(), reactor)


class _Attached(Attached):
    """The Twisted protocol that an endpoint gets for each connection."""

    protocol: Any = None
    """The halfclose protocol of the connection."""

    name = ""
    """That of the factory. Twisted asks for it before the halfclose protocol is made."""

    def logPrefix(self) -> str:
        return self.name


def _name(factory: Any) -> str:
    """What to call *factory* in Twisted's log: a protocol's class by its name."""
    while isinstance(factory, partial):
        factory = factory.func
    return getattr(factory, "__name__", type(factory).__name__)


@implementer(IProtocolFactory, ILoggingContext)
class _Factory:
    def __init__(self, factory: ProtocolFactory, options: ConnectionOptions, reactor: Any) -> None:
        self._factory = factory
        self._options = options
        self._reactor = reactor
        self._context = copy_context()

    def doStart(self) -> None:
        """Does nothing; Twisted calls it for each port that is opened."""

    def doStop(self) -> None:
        """Does nothing; Twisted calls it for each port that is closed."""

    def logPrefix(self) -> str:
        """The name under which Twisted logs that a port is opened or closed."""
        return _name(self._factory)

    def buildProtocol(self, addr: IAddress) -> _Attached:
        attached = _Attached(self._made)
        attached.name = self.logPrefix()
        return attached

    def _made(self, attached: Attached) -> None:
        assert isinstance(attached, _Attached)
        backend = _backend_of(self._reactor)
        attached.channel = channel = TwistedChannel(backend, attached.transport)
        try:
            channel.check_watchable()
        except OSError as error:
            _log.error("the connection with %s was dropped: %s", channel.get_peer(), error)
            channel.abort()
            return
        # Twisted calls this in whatever context its reactor runs. So each connection gets its own
        # copy of the context in which `as_factory` was called, since that is where the program
        # asked to listen or to connect (EVT-16).
        attached.protocol = backend.accept(
            channel, self._factory, self._options, self._context.copy()
        )


def _backend_of(reactor: Any) -> TwistedBackend:
    """The backend for connections on *reactor*, which is made once.

    :raises RuntimeError: *reactor* is None, and no reactor is installed.
    """
    reactor = reactor or reactors.current() or sys.modules.get("twisted.internet.reactor")
    if reactor is None:
        raise RuntimeError("as_factory: no reactor is installed; give the argument 'reactor'")
    backend = TwistedBackend.of_run(reactor) or _backends.get(reactor)
    if backend is None or backend.left:
        # The backend of a reactor that has stopped stays closed, so a reactor that is run again
        # after all gets another one.
        backend = _backends[reactor] = TwistedBackend("twisted", {"reactor": reactor})
        backend.open_with_reactor()
    return backend
