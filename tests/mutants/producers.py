"""What stands between a transport and its producers, and makes a mutant's mistake there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from halfclose.connection import Connection
from halfclose.lifecycle import ACCEPTING
from mutants.patching import Patch
from mutants.wrapping import around, loop_of

__all__ = ["Between", "Registered", "put_between", "watch_registrations"]

Registered = WeakKeyDictionary[Connection, Any]
"""By transport, the producer that is registered with it."""


class Between:
    """A producer in front of the program's own, which it tells what the transport tells it."""

    def __init__(self, real: Any, transport: Connection, streaming: bool) -> None:
        self.real = real
        self.transport = transport
        self.streaming = streaming
        self.paused = False

    def soon(self, function: Callable[[], object]) -> None:
        """Call *function* in the next turn."""
        loop_of(self.transport).call_soon(function)

    def pauseProducing(self) -> None:
        self.paused = True
        self.real.pauseProducing()

    def resumeProducing(self) -> None:
        self.paused = False
        self.real.resumeProducing()

    def stopProducing(self) -> None:
        self.real.stopProducing()


def watch_registrations(patch: Patch) -> Registered:
    """Know who is registered; a producer that comes too late is not."""
    registered: Registered = WeakKeyDictionary()

    def register(real: Any, connection: Connection, producer: Any, streaming: bool) -> None:
        in_time = connection.state in ACCEPTING and connection.failure is None
        real(producer, streaming)
        if in_time:
            registered[connection] = producer

    def unregister(real: Any, connection: Connection) -> None:
        registered.pop(connection, None)
        real()

    around(patch, Connection, "registerProducer", register)
    around(patch, Connection, "unregisterProducer", unregister)
    return registered


def put_between(patch: Patch, between: type[Between] = Between) -> Registered:
    """Have a *between* in front of each producer that is not a transport itself."""
    registered = watch_registrations(patch)

    def register(real: Any, connection: Connection, producer: Any, streaming: bool) -> None:
        if not isinstance(producer, Connection):
            producer = between(producer, connection, streaming)
        real(producer, streaming)

    around(patch, Connection, "registerProducer", register)
    return registered
