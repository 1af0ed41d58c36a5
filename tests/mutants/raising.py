"""Events that raise, where a mutant takes what they raise instead of the connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from halfclose.connection import Connection
from mutants.patching import Patch
from mutants.wrapping import event, loop_of

__all__ = ["caught", "change_reasons", "log", "raised_by", "takes"]

_EVENTS = (
    "connectionMade",
    "dataReceived",
    "readConnectionLost",
    "writeConnectionLost",
    "connectionLost",
)

Takes = Callable[[Connection, str, BaseException], object]


def takes(patch: Patch, take: Takes, *names: str) -> None:
    """Have ``take(connection, name, error)`` called where an event raises, and nobody else hear.

    :param names: which events; by default all.
    """
    for name in names or _EVENTS:
        event(patch, name, _guarded(name, take))


def _guarded(name: str, take: Takes) -> Callable[..., None]:
    def call(real: Any, connection: Connection, *args: object) -> None:
        try:
            real(*args)
        except BaseException as error:
            take(connection, name, error)

    return call


def raised_by(patch: Patch, *names: str) -> list[BaseException]:
    """What the events of these names have raised; by default all events."""
    found: list[BaseException] = []

    def note(connection: Connection, name: str, error: BaseException) -> None:
        found.append(error)
        raise error

    takes(patch, note, *names)
    return found


def caught(patch: Patch, take: Takes, *names: str) -> WeakKeyDictionary[Connection, BaseException]:
    """`takes`, and what was taken, by connection."""
    found: WeakKeyDictionary[Connection, BaseException] = WeakKeyDictionary()

    def note(connection: Connection, name: str, error: BaseException) -> None:
        found[connection] = error
        take(connection, name, error)

    takes(patch, note, *names)
    return found


def log(connection: Connection, name: str, error: BaseException) -> None:
    """Log that the event *name* raised *error*, as the connection does."""
    protocol: Any = connection.protocol
    loop_of(connection).report(error, "%s: %s raised", protocol.logPrefix(), name)


def change_reasons(patch: Patch, change: Callable[[Connection, BaseException], Any]) -> None:
    """Have every connectionLost get ``change(connection, reason)`` in place of its reason."""

    def lost(real: Any, connection: Connection, reason: BaseException) -> None:
        real(change(connection, reason))

    event(patch, "connectionLost", lost)
