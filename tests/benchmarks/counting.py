"""How many calls the serving thread makes for one echoed message: a cost that no clock measures.

The messages are with the kernel before the loop looks, and no more than it serves in one turn,
whatever else the machine does; and what a turn costs by itself is the same for few as for many.
"""

from __future__ import annotations

import gc
import socket
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from types import FrameType
from typing import Any

import halfclose

__all__ = ["Calls", "count_calls"]

_FEW, _MANY = 16, 112


@dataclass(frozen=True)
class Calls:
    """Calls of Python and of built-in functions, by name; the protocol's own are left out.

    :param message: how many each message costs.
    :param turn: how many a turn of the loop costs beside them, all together.
    """

    message: dict[str, float]
    turn: float

    @property
    def total(self) -> float:
        """All calls of a message."""
        return sum(self.message.values())


class _Echo(halfclose.Protocol):
    def __init__(self, meeting: _Meeting) -> None:
        self._meeting = meeting

    def connectionMade(self) -> None:
        self._meeting.one_more()

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)
        self._meeting.one_more()


class _Meeting:
    """Waits until so many have come; counts the calls until then."""

    def __init__(self, backend: halfclose.Backend) -> None:
        self._backend = backend
        self.calls: Counter[str] = Counter()
        self.expect(0)

    def expect(self, count: int) -> None:
        self._left = count
        self._all = self._backend.create_event()

    def one_more(self) -> None:
        self._left -= 1
        if not self._left:
            sys.setprofile(None)
            self._all.set()

    async def come(self) -> None:
        await self._all.wait()

    def count(self) -> None:
        self.calls = Counter()
        sys.setprofile(self._called)

    def _called(self, frame: FrameType, event: str, function: Any) -> None:
        if event == "call":
            code = frame.f_code
            if code.co_filename == __file__:
                return
            self.calls[f"{code.co_filename.rpartition('/')[2]}:{code.co_name}"] += 1
        elif event == "c_call":
            self.calls[function.__name__] += 1


def count_calls(variant: str) -> Calls:
    """Count them on one backend, over sockets on loopback."""
    # What others have left would be finalized meanwhile, and counted.
    gc.collect()
    gc.disable()
    try:
        few, many = halfclose.run(_echo, backend=variant)
    finally:
        gc.enable()
    between = _MANY - _FEW
    message = {name: (many[name] - few[name]) / between for name in many}
    turn = sum(few.values()) - _FEW * sum(message.values())
    return Calls({name: calls for name, calls in message.items() if round(calls, 1)}, turn)


async def _echo(backend: halfclose.Backend) -> tuple[Counter[str], Counter[str]]:
    meeting = _Meeting(backend)
    listener = await backend.listen("tcp:127.0.0.1:0", lambda: _Echo(meeting))
    assert isinstance(listener.endpoint, halfclose.TCP)
    address = (listener.endpoint.host, listener.endpoint.port)
    with ExitStack() as stack:
        meeting.expect(_MANY)
        socks = [stack.enter_context(socket.create_connection(address)) for _ in range(_MANY)]
        await meeting.come()
        found = []
        # The first time, something may be made that is there from then on.
        for count in (_MANY, _FEW, _MANY):
            meeting.expect(count)
            for sock in socks[:count]:
                sock.send(b"x" * 64)
            meeting.count()
            try:
                await meeting.come()
            finally:
                sys.setprofile(None)
            for sock in socks[:count]:
                assert len(sock.recv(65)) == 64
            found.append(meeting.calls)
    return found[1], found[2]
