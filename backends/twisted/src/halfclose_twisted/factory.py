"""halfclose protocols behind Twisted's own endpoints."""

from __future__ import annotations

import logging
import sys
from contextvars import copy_context
from typing import Any

from halfclose import ConnectionOptions, ProtocolFactory
from twisted.internet.interfaces import IAddress, IProtocolFactory
from zope.interface import implementer

from . import reactors
from .backend import TwistedBackend
from .channel import Attached, TwistedChannel

__all__ = ["as_factory"]

_log = logging.getLogger("halfclose")

_backends: dict[Any, TwistedBackend] = {}


def as_factory(
    factory: ProtocolFactory, options: ConnectionOptions | None = None, *, reactor: Any = None
) -> Any:
    """A Twisted factory whose connections are served by halfclose protocols.

    For any endpoint of a program that owns its reactor::

        endpoint.listen(as_factory(Echo))

    The Deferred of a client endpoint's ``connect`` fires with an object whose ``protocol`` is
    the halfclose protocol. A factory that raises or gives no protocol costs its connection and
    is logged.

    :param factory: any callable that gives a protocol; called once a connection.
    :param options: how the connections behave.
    :param reactor: the reactor that serves the endpoint; by default the installed one. None is
        ever installed by this function.
    :returns: an ``IProtocolFactory``.
    """
    return _Factory(factory, options or ConnectionOptions(), reactor)


class _Attached(Attached):
    """What a Twisted endpoint gets: `Attached`, with the protocol that was made for it."""

    protocol: Any = None


@implementer(IProtocolFactory)
class _Factory:
    def __init__(self, factory: ProtocolFactory, options: ConnectionOptions, reactor: Any) -> None:
        self._factory = factory
        self._options = options
        self._reactor = reactor
        self._context = copy_context()

    def doStart(self) -> None:
        """Twisted calls it for each port; there is nothing to do."""

    def doStop(self) -> None:
        """Likewise."""

    def buildProtocol(self, addr: IAddress) -> _Attached:
        return _Attached(self._made)

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
        # Each connection's own (EVT-16), of where the factory was made: that is when to listen, or
        # to connect, was asked for. Twisted calls in whatever context its reactor runs.
        attached.protocol = backend.accept(
            channel, self._factory, self._options, self._context.copy()
        )


def _backend_of(reactor: Any) -> TwistedBackend:
    """The backend for connections on *reactor*, one for each."""
    reactor = reactor or reactors.current() or sys.modules.get("twisted.internet.reactor")
    if reactor is None:
        raise RuntimeError("as_factory: no reactor is installed; give the argument 'reactor'")
    backend = TwistedBackend.of_run(reactor) or _backends.get(reactor)
    if backend is None or backend.left:
        # A reactor that was stopped, and is run again all the same, begins anew.
        backend = _backends[reactor] = TwistedBackend("twisted", {"reactor": reactor})
        backend.open_with_reactor()
    return backend
