"""``halfclose demo``: holds one conversation on every variant, and shows them side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, cast

from rich.text import Text

from .. import running
from ..backend import Backend
from ..discovery import available_backends, find_backend, none_installed
from ..endpoints import TCP
from ..examples import Ask, Echo
from ..interfaces import HalfCloseableProtocol, Transport
from ..reasons import BackendError
from .ladder import Entry, Events, Step, ladder, present
from .listing import load_error
from .report import FAILED, Problem, one_line
from .screen import console, marks
from .signals import Signals

__all__ = ["demo"]

_TIMEOUT = 10.0
"""Seconds after which a conversation is over, even if it has not ended."""

_ACROSS = 4
"""How many names of variants are on one line at most."""

_VERBS = frozenset({"write", "loseWriteConnection", "loseConnection", "abortConnection"})
_DATA = frozenset({"dataReceived", "write"})


class _Record:
    """What one end did and saw.

    How the network divides the data differs by chance, so data in a row is joined.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[str, object, bool]] = []

    def add(self, name: str, detail: object = "", *, verb: bool = False) -> None:
        """Add an event, or with *verb* a call to the transport."""
        if name in _DATA:
            for index in reversed(range(len(self._entries))):
                earlier, data, _ = self._entries[index]
                if earlier not in _DATA:
                    break
                if earlier == name:
                    self._entries[index] = (name, cast(bytes, data) + cast(bytes, detail), verb)
                    return
        self._entries.append((name, detail, verb))

    def entries(self) -> tuple[Entry, ...]:
        """All that was added, in a form that can be compared."""
        return tuple(
            Entry(name, repr(detail) if isinstance(detail, bytes) else str(detail), verb)
            for name, detail, verb in self._entries
        )


class _Spy:
    """A transport that records the calls of its protocol, and passes them on."""

    def __init__(self, transport: Transport, record: _Record) -> None:
        self._transport = transport
        self._record = record

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        # A connection treats another transport as a producer in a special way, which it knows by
        # the type (rule PRD-09). So it gets the real transport.
        self._transport.registerProducer(
            self._transport if producer is self else producer, streaming
        )

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._transport, name)
        if name not in _VERBS:
            return method

        def recorded(*arguments: Any) -> Any:
            self._record.add(name, *(bytes(data) for data in arguments), verb=True)
            return method(*arguments)

        return recorded


class _Watched(HalfCloseableProtocol):
    """Records each event, and passes it on to the protocol that is watched."""

    def __init__(self, protocol: HalfCloseableProtocol, ended: Callable[[], object]) -> None:
        self._protocol = protocol
        self._ended = ended
        self.record = _Record()

    def makeConnection(self, transport: Transport) -> None:
        self.record.add("connectionMade")
        self._protocol.makeConnection(cast(Transport, _Spy(transport, self.record)))

    def dataReceived(self, data: bytes) -> None:
        self.record.add("dataReceived", data)
        self._protocol.dataReceived(data)

    def readConnectionLost(self) -> None:
        self.record.add("readConnectionLost")
        self._protocol.readConnectionLost()

    def writeConnectionLost(self) -> None:
        self.record.add("writeConnectionLost")
        self._protocol.writeConnectionLost()

    def connectionLost(self, reason: BaseException) -> None:
        self.record.add("connectionLost", type(reason).__name__)
        self._protocol.connectionLost(reason)
        self._ended()


async def _converse(backend: Backend, signals: Signals) -> Events:
    """Hold the conversation on *backend*, and give what both ends recorded."""
    signals.attach(backend)
    over = backend.create_event()
    open_ends = [True, True]

    def ended() -> None:
        open_ends.pop()
        if not open_ends:
            over.set()

    client, server = _Watched(Ask(), ended), _Watched(Echo(), ended)
    timer = backend.call_later(_TIMEOUT, over.set)
    async with await backend.listen(TCP("127.0.0.1", 0), lambda: server) as listener:
        await backend.connect(listener.endpoint, lambda: client)
        await over.wait()
    timer.cancel()
    return Events(client.record.entries(), server.record.entries())


def _variants() -> list[str]:
    """The names of the variants, and of the backends that have none."""
    names = [name for name in available_backends() if _is_real(name)]
    parents = {name.partition("+")[0] for name in names if "+" in name}
    return [name for name in names if name not in parents]


def _is_real(name: str) -> bool:
    """Whether programs run on the backend. One for tests, such as memory, is left out."""
    try:
        return find_backend(name).automatic
    except BackendError:
        return True  # It stays in the list, so that the user learns that it does not load.


def demo() -> int:
    """Run the conversation on every variant, and print what both ends saw on each.

    :returns: the exit status: 0 if all variants that load agree.
    :raises Problem: there is no variant.
    :raises Stopped: a signal came.
    """
    seen: dict[str, Events] = {}
    notes: list[str] = []
    failed = unloaded = 0
    for name in _variants():
        error = load_error(name)
        if error is not None:
            unloaded += 1
            notes.append(f"{name}: {error}")
            continue
        try:
            with Signals() as signals:
                seen[name] = running.run(_converse, signals, backend=name)
        except Exception as problem:
            failed += 1
            notes.append(f"{name} failed: {type(problem).__name__}: {one_line(problem)}")
    if not seen and not notes:
        raise Problem(none_installed())
    out = console()
    agreeing = 0
    if seen:
        reference, agreeing = Counter(seen.values()).most_common(1)[0]
        # With soft_wrap rich cuts no line that is wider than the screen.
        for text in _legend(list(seen), out.width):
            out.print(text, soft_wrap=True)
        out.print()
        for line in _table(ladder(reference), reference, list(seen.values()), out.width):
            line.rstrip()
            out.print(line, soft_wrap=True)
        notes += [_difference(name, events) for name, events in seen.items() if events != reference]
    for note in notes:
        out.print(f"\n{note}", soft_wrap=True)
    out.print("\n" + _verdict(agreeing, len(seen) + failed, unloaded), soft_wrap=True)
    return 0 if seen and agreeing == len(seen) and not failed else FAILED


def _legend(names: list[str], room: int) -> Iterator[str]:
    """The lines that tell the number of each variant, as many on a line as fit."""
    labels = [f"{number} {name}" for number, name in enumerate(names, 1)]
    width = max(map(len, labels)) + 3
    # The last one needs no space after it.
    across = max(1, min(_ACROSS, (room + 3) // width))
    for start in range(0, len(labels), across):
        line = "".join(label.ljust(width) for label in labels[start : start + across])
        yield line.rstrip()


def _table(steps: list[Step], reference: Events, seen: list[Events], room: int) -> Iterator[Text]:
    """The lines of the table. On a narrow screen it is divided into several, one below another."""
    headings = ("client: Ask", "server: Echo")
    told = [(step.of_client, str(step.entry)) for step in steps]
    sides = [
        max(len(heading), *(len(text) for of_client, text in told if of_client is client)) + 1
        for heading, client in zip(headings, (True, False), strict=True)
    ]
    cell = len(str(len(seen))) + 1
    beside = sum(sides) + cell * len(seen) - 1 <= room
    if not beside:
        # The client and the server share one column, which needs half of the room.
        told = [
            (True, f"{'client' if of_client else 'server'}  {text}") for of_client, text in told
        ]
        headings = ("Ask and Echo", "")
        sides = [max(len(text) for _, text in told) + 1, 0]
    there = [
        (present(reference.server, events.server), present(reference.client, events.client))
        for events in seen
    ]
    tick, cross = marks()
    most = max(1, (room + 1 - sum(sides)) // cell)
    for first in range(0, len(seen), most):
        part = range(first, min(first + most, len(seen)))
        if first:
            yield Text()
        line = Text("".join(each.ljust(side) for each, side in zip(headings, sides, strict=True)))
        line.stylize("bold")
        for number in part:
            line.append(str(number + 1).rjust(cell - 1) + " ", "bold")
        yield line
        for step, (left, text) in zip(steps, told, strict=True):
            line = Text("" if left else " " * sides[0])
            line.append(text, "dim" if step.entry.verb else "")
            line.pad_right(sum(sides) - line.cell_len)
            for number in part:
                good = there[number][step.of_client][step.place]
                mark = (tick if good else cross).rjust(cell - 1) + " "
                line.append(mark, "green" if good else "bold red")
            yield line


def _difference(name: str, events: Events) -> str:
    """A line with all that both ends saw on a variant that differs."""
    ends = (
        f"{end}: {', '.join(str(entry).strip() for entry in entries)}"
        for end, entries in zip(("client", "server"), events, strict=True)
    )
    return f"{name} differs: " + "; ".join(ends)


def _verdict(agreeing: int, ran: int, unloaded: int) -> str:
    """The last line: how many variants agree."""
    rest = f" ({unloaded} not loaded)" if unloaded else ""
    if agreeing < ran or not ran:
        return f"They do not agree: {agreeing} of {ran} variants went as above{rest}."
    if ran == 1:
        return f"Only 1 variant ran{rest}: there is nothing to compare."
    return f"All {ran} variants agree{rest}."
