"""(b) bulk echo and (c) one-way bulk, over one connection."""

from __future__ import annotations

import socket
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import ClassVar

from ..catalogue import Server
from ..contention import Contention
from ..load.bulk import back_and_forth, receive_all, send_all
from ..load.connections import opened
from ..load.round import Round
from ..metric import BUSY, LOAD_BUSY, Figures, Metric
from ..running_server import RunningServer
from .work import Serving, busy

__all__ = ["BulkEcho", "BulkIn", "BulkOut"]

_MIB = 1 << 20

_WARM = 16 * _MIB


_THROUGHPUT = Metric("throughput", "throughput", "MiB/s", more_is_better=True)
_CPU = Metric("cpu", "server CPU", "µs/MiB")
_CAPACITY = Metric("capacity", "for each second of CPU", "MiB", more_is_better=True)


class _Bulk(Serving):
    metrics: ClassVar[tuple[Metric, ...]] = (_THROUGHPUT, _CPU, BUSY, LOAD_BUSY)
    # What memory and its caches give differs by a third from one second to the next.
    more_rounds = 5

    @abstractmethod
    def transfer(self, running: RunningServer, size: int) -> Round: ...

    def warm_up(self, running: RunningServer) -> None:
        self.transfer(running, _WARM)

    def round(self, running: RunningServer) -> Figures:
        return self.figures(running, self.scale.bulk)

    def figures(self, running: RunningServer, size: int) -> Figures:
        """Of one transfer of *size* bytes."""
        before = running.cpu()
        round = self.transfer(running, size)
        cpu = running.cpu() - before
        mib = round.count / _MIB
        return {
            _CAPACITY.name: mib / cpu,
            _THROUGHPUT.name: mib / round.seconds,
            _CPU.name: 1e6 * cpu / mib,
            **busy(round, cpu),
        }


class _Contended(_Bulk):
    """Measured under CPU contention."""

    @contextmanager
    def begun(self) -> Iterator[None]:
        with Contention(self.cores.server) as self._contention:
            yield

    def contended(self, running: RunningServer) -> Figures:
        """Of half a transfer."""
        with self._contention.applied():
            return self.figures(running, self.scale.bulk // 2)


class BulkEcho(_Contended):
    """Both ways at once, and once more under CPU contention: by itself the generator is no faster
    than a good server, and that takes less CPU where it has more time. All rounds share a
    connection."""

    name = "bulk-echo"
    title = "Bulk echo, one connection"
    metrics = (_THROUGHPUT, _CAPACITY, *_Bulk.metrics[1:])
    service = "bulk-echo"

    @contextmanager
    def begun(self) -> Iterator[None]:
        self._socks: dict[Server, socket.socket] = {}
        with super().begun(), ExitStack() as self._stack:
            yield

    def warm_up(self, running: RunningServer) -> None:
        [self._socks[running.server]] = self._stack.enter_context(opened(running.port, 1))
        super().warm_up(running)

    def transfer(self, running: RunningServer, size: int) -> Round:
        return back_and_forth(self._socks[running.server], size)

    def round(self, running: RunningServer) -> Figures:
        figures = super().round(running)
        return {**figures, _CAPACITY.name: self.contended(running)[_CAPACITY.name]}


class BulkIn(_Contended):
    """To the server, which discards; under CPU contention only, since the kernel's half of the
    sending is as much work as that."""

    name = "bulk-in"
    title = "Bulk to the server, one connection, under CPU contention"
    metrics = (_CAPACITY, *_Bulk.metrics)
    service = "discard"

    def transfer(self, running: RunningServer, size: int) -> Round:
        return send_all(running.port, size)

    def round(self, running: RunningServer) -> Figures:
        return self.contended(running)


class BulkOut(_Bulk):
    """From the server, which writes 64 KiB at a time and minds back-pressure."""

    name = "bulk-out"
    title = "Bulk from the server, one connection"
    service = "source"

    def transfer(self, running: RunningServer, size: int) -> Round:
        return receive_all(running.port, size)
