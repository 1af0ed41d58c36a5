"""Mistakes that are made from outside: the library's public methods, wrapped to misbehave.

A refactoring changes private functions and keeps the methods of a channel, a loop, a protocol and
a transport. A mutant that wraps one of those therefore goes on making the same mistake.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from halfclose.connection import Connection
from halfclose.connection.outgoing import Outgoing
from mutants.patching import Patch

__all__ = [
    "Wrapper",
    "after",
    "around",
    "before",
    "called",
    "event",
    "inside",
    "loop_of",
    "nothing",
    "outgoing_of",
    "paused",
    "producing",
    "undelivered",
]

Wrapper = Callable[..., Any]
"""Called in the place of something, with that as its first argument."""


def around(patch: Patch, owner: type, name: str, wrapper: Wrapper) -> None:
    """Have ``wrapper(real, self, *args)`` for each call of *owner*'s method *name*.

    :param name: of a method, also an asynchronous one; or of a property.
    :param wrapper: its first argument is the real method, bound; it need not call it.
    """
    found = inspect.getattr_static(owner, name)
    if isinstance(found, property):
        getter: Any = found.fget
        patch.put(owner, name, property(lambda self: wrapper(partial(getter, self), self)))
        return
    real = getattr(owner, name)

    @wraps(real)
    def wrapped(self: Any, *args: Any, **options: Any) -> Any:
        return wrapper(partial(real, self), self, *args, **options)

    patch.put(owner, name, wrapped)


def before(patch: Patch, owner: type, name: str, first: Wrapper) -> None:
    """Call ``first(self, *args)`` before each call of *owner*'s method *name*."""

    def wrapper(real: Wrapper, self: Any, *args: Any) -> Any:
        first(self, *args)
        return real(*args)

    around(patch, owner, name, wrapper)


def after(patch: Patch, owner: type, name: str, then: Wrapper) -> None:
    """Call ``then(self, *args)`` after each call of *owner*'s method *name* that did not raise."""

    def wrapper(real: Wrapper, self: Any, *args: Any) -> Any:
        result = real(*args)
        then(self, *args)
        return result

    around(patch, owner, name, wrapper)


def nothing(*_: object) -> None:
    """What does nothing, in the place of what should do something."""


def event(patch: Patch, name: str, wrapper: Wrapper) -> None:
    """Have ``wrapper(real, connection, *args)`` for each event *name* of every protocol.

    :param wrapper: its first argument is the protocol's own method, bound; it need not call it.
    """

    def attach(connection: Connection, protocol: Any) -> None:
        if hasattr(protocol, name):
            setattr(protocol, name, partial(wrapper, getattr(protocol, name), connection))

    before(patch, Connection, "attach", attach)


# -- what is behind a connection -------------------------------------------------------------------


def loop_of(connection: Connection) -> Any:
    """The event loop that *connection* is served by."""
    return connection._backend


def outgoing_of(connection: Connection) -> Outgoing:
    """What was written to *connection* and is not with its channel yet."""
    return connection._outgoing


# -- what has happened to a connection -------------------------------------------------------------


def called(patch: Patch, *names: str) -> WeakSet[Connection]:
    """The connections of which one of these methods was called."""
    found: WeakSet[Connection] = WeakSet()
    for name in names:
        before(patch, Connection, name, lambda connection, *_: found.add(connection))
    return found


def inside(patch: Patch, *names: str) -> WeakSet[Connection]:
    """The connections inside one of whose methods of these names we are now."""
    found: WeakSet[Connection] = WeakSet()

    def wrapper(real: Wrapper, connection: Connection, *args: object) -> object:
        if connection in found:
            return real(*args)
        found.add(connection)
        try:
            return real(*args)
        finally:
            found.discard(connection)

    for name in names:
        around(patch, Connection, name, wrapper)
    return found


def paused(patch: Patch) -> WeakSet[Connection]:
    """The connections whose reading is paused."""
    found: WeakSet[Connection] = WeakSet()
    before(patch, Connection, "pauseProducing", found.add)
    before(patch, Connection, "resumeProducing", found.discard)
    return found


def producing(patch: Patch) -> WeakSet[Connection]:
    """The connections on which a producer was registered, and has not unregistered."""
    found: WeakSet[Connection] = WeakSet()
    before(patch, Connection, "registerProducer", lambda connection, *_: found.add(connection))
    before(patch, Connection, "unregisterProducer", found.discard)
    return found


def undelivered(patch: Patch) -> WeakKeyDictionary[Connection, list[bytes]]:
    """What each connection's channel has given and its protocol has not got."""
    found: WeakKeyDictionary[Connection, list[bytes]] = WeakKeyDictionary()

    def received(connection: Connection, data: bytes) -> None:
        found.setdefault(connection, []).append(data)

    def data_received(real: Wrapper, connection: Connection, data: bytes) -> None:
        if found.get(connection):
            found[connection].pop(0)
        real(data)

    before(patch, Connection, "received", received)
    event(patch, "dataReceived", data_received)
    return found
