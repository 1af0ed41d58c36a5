"""Reactions: functions that a `Recorder` calls in an event, and what they raise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

__all__ = [
    "Boom",
    "Raised",
    "abort",
    "as_task",
    "leave_unread",
    "lose",
    "lose_write",
    "paused_with_unread",
    "raises",
    "raising",
    "write_and_lose",
]

E = TypeVar("E", bound=BaseException)


def lose_write(protocol: Any, *_: object) -> None:
    """A reaction: end our half."""
    protocol.verb("loseWriteConnection")


def lose(protocol: Any, *_: object) -> None:
    """A reaction: close the connection."""
    protocol.verb("loseConnection")


def abort(protocol: Any, *_: object) -> None:
    """A reaction: abort the connection."""
    protocol.verb("abortConnection")


def leave_unread(protocol: Any, *_: object) -> None:
    """A reaction: send the raw peer something that it will not read."""
    protocol.verb("write", b"unread")


def paused_with_unread(protocol: Any, *_: object) -> None:
    """A reaction: do as `leave_unread`, and pause reading."""
    leave_unread(protocol)
    protocol.verb("pauseProducing")


def write_and_lose(data: bytes) -> Callable[..., None]:
    """A reaction that sends *data* and closes the connection."""

    def react(protocol: Any, *_: object) -> None:
        protocol.verb("write", data)
        protocol.verb("loseConnection")

    return react


class Boom(Exception):
    """The exception that protocols, factories and programs raise on purpose."""


def raising(error: BaseException) -> Callable[..., Any]:
    """A reaction that raises *error*."""

    def react(*_: object) -> None:
        raise error

    return react


class Raised(Generic[E]):
    """Holds the exception that `raises` caught, after its block."""

    value: E


@contextmanager
def raises(kind: type[E]) -> Iterator[Raised[E]]:
    """Catch an exception of the class *kind*, which the block has to raise.

    Exceptions of other classes are not caught.

    :raises AssertionError: the block raised nothing.
    """
    caught = Raised[E]()
    try:
        yield caught
    except kind as error:
        caught.value = error
    else:
        raise AssertionError(f"{kind.__name__} was to be raised, and nothing was")


def as_task(function: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    """An asynchronous function that only calls *function*, for ``Backend.start_soon``."""

    async def task() -> None:
        function()

    return task
