"""What a `Recorder` is told to do in an event, and what it is told to raise."""

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
    protocol.verb("loseWriteConnection")


def lose(protocol: Any, *_: object) -> None:
    protocol.verb("loseConnection")


def abort(protocol: Any, *_: object) -> None:
    protocol.verb("abortConnection")


def leave_unread(protocol: Any, *_: object) -> None:
    """Give the raw peer something that it will not read."""
    protocol.verb("write", b"unread")


def paused_with_unread(protocol: Any, *_: object) -> None:
    """`leave_unread`, and read nothing."""
    leave_unread(protocol)
    protocol.verb("pauseProducing")


def write_and_lose(data: bytes) -> Callable[..., None]:
    """A reaction: send *data* and close."""

    def react(protocol: Any, *_: object) -> None:
        protocol.verb("write", data)
        protocol.verb("loseConnection")

    return react


class Boom(Exception):
    """What protocols, factories and programs of the rules raise."""


def raising(error: BaseException) -> Callable[..., Any]:
    """A reaction that raises *error*."""

    def react(*_: object) -> None:
        raise error

    return react


class Raised(Generic[E]):
    """What `raises` caught."""

    value: E


@contextmanager
def raises(kind: type[E]) -> Iterator[Raised[E]]:
    """The block raises a *kind*.

    :raises AssertionError: it raises nothing. Any other exception passes.
    """
    caught = Raised[E]()
    try:
        yield caught
    except kind as error:
        caught.value = error
    else:
        raise AssertionError(f"{kind.__name__} was to be raised, and nothing was")


def as_task(function: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    """A task that does nothing but call *function*."""

    async def task() -> None:
        function()

    return task
