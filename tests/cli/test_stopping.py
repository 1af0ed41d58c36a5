"""A signal ends the work, wherever it comes."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from halfclose.cli.stopping import Stopped, stoppable

LONG = 20.0
"""Seconds after which a signal is lost."""


def come(number: int) -> None:
    """Have the signal's handler run inside this function."""
    signal.raise_signal(number)
    for _ in range(100):
        pass


class Finalized:
    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        come(self.number)


def plainly(number: int) -> None:
    come(number)


def in_a_finalizer(number: int) -> None:
    Finalized(number)


def where_it_makes_something_else_fail(number: int) -> None:
    try:
        come(number)
    finally:
        raise LookupError("inconsistent")


def where_it_is_caught(number: int) -> None:
    with suppress(BaseException):
        come(number)
    raise LookupError("the end of the work")


def while_garbage_is_collected(number: int) -> None:
    def collecting(phase: str, info: dict[str, int]) -> None:
        gc.callbacks.remove(collecting)
        come(number)

    gc.callbacks.append(collecting)
    gc.collect()


def work(place: Callable[[int], None], number: int) -> None:
    with stoppable():
        place(number)
        threading.Event().wait(LONG)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "place",
    [
        plainly,
        in_a_finalizer,
        where_it_makes_something_else_fail,
        where_it_is_caught,
        while_garbage_is_collected,
    ],
)
def test_a_signal_is_not_lost(place: Callable[[int], None], number: int) -> None:
    hook, handler = sys.unraisablehook, signal.getsignal(number)
    with pytest.raises(Stopped) as caught:
        work(place, number)
    assert (caught.value.number, caught.value.status) == (number, 128 + number)
    assert sys.unraisablehook is hook
    assert signal.getsignal(number) is handler


def test_what_else_is_dropped_is_told_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: told.append(what.exc_value))

    class Broken:
        def __del__(self) -> None:
            raise LookupError("broken")

    with stoppable():
        Broken()
    # And not what others have left for the garbage collector.
    assert [str(error) for error in told if isinstance(error, LookupError)] == ["broken"]
