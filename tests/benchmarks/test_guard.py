"""What a message costs is bounded, by counts that are the same on every machine."""

from __future__ import annotations

import halfclose
import pytest

from .catalogue import OURS
from .counting import count_calls

MESSAGE = 11
"""Calls for one echoed message."""

TURN = 80
"""Calls for a turn of the loop, the framework's own included; trio's are the most."""

SYSTEM = {"recv", "recv_into", "send", "sendmsg", "poll", "modify", "register", "unregister"}
"""Built-in functions, each of which is a system call."""


@pytest.mark.parametrize("variant", OURS)
def test_a_message_costs_no_more_calls_than_it_did(variant: str) -> None:
    calls = count_calls(variant)
    assert round(calls.total) <= MESSAGE, calls.message
    assert calls.turn <= TURN


@pytest.mark.parametrize("variant", OURS)
def test_a_message_is_one_receive_and_one_send(variant: str) -> None:
    calls = count_calls(variant).message
    system = {name: round(number) for name, number in calls.items() if name in SYSTEM}
    assert system == {"recv": 1, "send": 1}


def test_one_call_more_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    before = count_calls("anyio+asyncio").total
    write = halfclose.Connection.write

    def slower(self: halfclose.Connection, data: bytes) -> None:
        write(self, data)

    monkeypatch.setattr(halfclose.Connection, "write", slower)
    assert round(count_calls("anyio+asyncio").total - before, 1) == 1
