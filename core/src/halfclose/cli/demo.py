"""``halfclose demo``: one conversation on every variant, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from rich.table import Table
from rich.text import Text

from .. import running
from ..backend import Backend
from ..endpoints import TCP
from ..examples import Ask, Echo
from ..interfaces import HalfCloseableProtocol, Transport
from ..plugins import available_backends, find_backend, none_installed
from ..reasons import BackendError
from .ladder import Entry, Events, Step, ladder, present
from .listing import load_error
from .report import FAILED, Problem, one_line
from .screen import console, marks
from .signals import Signals

__all__ = ["demo"]

_TIMEOUT = 10.0
_VERBS = frozenset({"write", "loseWriteConnection", "loseConnection", "abortConnection"})
_DATA = frozenset({"dataReceived", "write"})


class _Record:
    """What one end did and saw. How the network cut the data is luck, so it is joined."""

    def __init__(self) -> None:
        self._entries: list[tuple[str, object, bool]] = []

    def add(self, name: str, detail: object = "", *, verb: bool = False) -> None:
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
        return tuple(
            Entry(name, repr(detail) if isinstance(detail, bytes) else str(detail), verb)
            for name, detail, verb in self._entries
        )


class _Spy:
    """A transport that records what its protocol does to it."""

    def __init__(self, transport: Transport, record: _Record) -> None:
        self._transport = transport
        self._record = record

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        # A transport that is a producer is known by its type (rule PRD-09).
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
    """Records each event and hands it on to the protocol that is being watched."""

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
    names = [name for name in available_backends() if _is_real(name)]
    parents = {name.partition("+")[0] for name in names if "+" in name}
    return [name for name in names if name not in parents]


def _is_real(name: str) -> bool:
    """Whether it is a backend that a program would be given, rather than one for its tests."""
    try:
        return find_backend(name).automatic
    except BackendError:
        return True  # It is told of as one that does not load.


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
        out.print(_legend(list(seen)))
        out.print()
        out.print(_table(ladder(reference), reference, list(seen.values())))
        notes += [_difference(name, events) for name, events in seen.items() if events != reference]
    for note in notes:
        out.print(f"\n{note}", soft_wrap=True)
    out.print("\n" + _verdict(agreeing, len(seen) + failed, unloaded), soft_wrap=True)
    return 0 if seen and agreeing == len(seen) and not failed else FAILED


def _legend(names: list[str]) -> Table:
    across = 4
    grid = Table.grid(padding=(0, 3, 0, 0))
    labels = [f"{number} {name}" for number, name in enumerate(names, 1)]
    for start in range(0, len(labels), across):
        grid.add_row(*labels[start : start + across])
    return grid


def _table(steps: list[Step], reference: Events, seen: list[Events]) -> Table:
    tick, cross = marks()
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("client: Ask", no_wrap=True)
    table.add_column("server: Echo", no_wrap=True)
    for number in range(1, len(seen) + 1):
        table.add_column(str(number), justify="right", no_wrap=True)
    there = [
        (present(reference.server, events.server), present(reference.client, events.client))
        for events in seen
    ]
    for step in steps:
        text = Text(str(step.entry), "dim" if step.entry.verb else "")
        cells = [
            Text(tick, "green") if both[step.of_client][step.place] else Text(cross, "bold red")
            for both in there
        ]
        ends = (text, Text()) if step.of_client else (Text(), text)
        table.add_row(*ends, *cells)
    return table


def _difference(name: str, events: Events) -> str:
    ends = (
        f"{end}: {', '.join(str(entry).strip() for entry in entries)}"
        for end, entries in zip(("client", "server"), events, strict=True)
    )
    return f"{name} differs: " + "; ".join(ends)


def _verdict(agreeing: int, ran: int, unloaded: int) -> str:
    rest = f" ({unloaded} not loaded)" if unloaded else ""
    if agreeing < ran or not ran:
        return f"They do not agree: {agreeing} of {ran} variants went as above{rest}."
    if ran == 1:
        return f"Only 1 variant ran{rest}: there is nothing to compare."
    return f"All {ran} variants agree{rest}."
