"""The loop stays awake for messages that come fast, lets all else go on, and sleeps after them."""

from __future__ import annotations

from typing import Any

import pytest
from core.support import VARIANTS, EchoBack, Looks, Recorder, run, until
from halfclose import Backend
from halfclose.io.busy_polling import BusyPolling

ALWAYS = 3600.0
"""Seconds in which any two turns are soon after each other."""


async def exchange(backend: Backend, trips: int) -> None:
    """So many messages there and back, one after another."""

    class Client(Recorder):
        def dataReceived(self, data: bytes) -> None:
            left[0] -= 1
            if left[0]:
                self.transport.write(data)
            else:
                self.transport.loseConnection()

    left = [trips]
    async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
        client = await backend.connect(listener.endpoint, Client)
        client.transport.write(b"ping")
        await client.transport.whenClosed()


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_stays_awake_and_other_work_goes_on(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(backend: Backend) -> None:
        looks = Looks(backend)
        monkeypatch.setattr(backend, "watch", looks.watch)
        await exchange(backend, 20)
        before = looks.count
        # Nothing comes any more: it is looked at all the same, beside timers and tasks.
        await until(backend, lambda: looks.count > before + 50)
        await backend.sleep(0.01)
        ran: list[str] = []
        backend.call_soon(ran.append, "soon")
        backend.call_later(0, ran.append, "later")
        await until(backend, lambda: len(ran) == 2)
        # It is one look a turn, not a crowd of them that grows.
        counts: list[int] = []

        def turn() -> None:
            counts.append(looks.count)
            if len(counts) < 200:
                backend.call_soon(turn)

        turn()
        await until(backend, lambda: len(counts) == 200)
        assert counts[-1] - counts[0] < 4 * 200

    run(main, variant=variant, options={"busy_poll": ALWAYS})


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("options", [{"busy_poll": 0}, {}], ids=["never", "by default"])
def test_it_sleeps_when_all_is_said(
    variant: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(backend: Backend) -> None:
        looks = Looks(backend)
        monkeypatch.setattr(backend, "watch", looks.watch)
        await exchange(backend, 20)
        seen = -1
        while looks.count != seen:
            seen = looks.count
            await backend.sleep(0.02)

    run(main, variant=variant, options=options)


@pytest.mark.parametrize("variant", VARIANTS)
def test_leaving_while_it_is_awake(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Looks] = []

    async def main(backend: Backend) -> None:
        looks = Looks(backend)
        looked.append(looks)
        monkeypatch.setattr(backend, "watch", looks.watch)
        await exchange(backend, 20)
        await until(backend, lambda: looks.count > 100)

    run(main, variant=variant, options={"busy_poll": ALWAYS})
    assert looked[0].count > 100


def turns(busy: BusyPolling, count: int, ready: int = 1, bulk: bool = False) -> bool:
    """So many turns that serve something; what the last one asked for."""
    again = False
    for _ in range(count):
        busy.begin(ready)
        again = busy.end(bulk)
    return again


def test_a_few_turns_are_not_enough() -> None:
    busy = BusyPolling(ALWAYS)
    assert not turns(busy, 7)
    assert not busy.again()
    assert turns(busy, 2)
    assert busy.again()


def test_a_loop_that_is_busy_anyway_is_not_kept_awake() -> None:
    busy = BusyPolling(ALWAYS)
    assert turns(busy, 20)
    assert not turns(busy, 1, ready=100)
    assert not busy.again()
    assert not turns(busy, 20, ready=100)


def test_bulk_is_slept_for() -> None:
    busy = BusyPolling(ALWAYS)
    assert turns(busy, 20)
    assert not turns(busy, 1, bulk=True)
    assert not busy.again()


def test_what_comes_late_is_slept_for() -> None:
    """Every clock has gone on by then."""
    busy = BusyPolling(1e-12)
    assert not turns(busy, 100)
    assert not busy.again()


def test_never() -> None:
    busy = BusyPolling(0)
    assert not turns(busy, 100)
    assert not busy.again()
