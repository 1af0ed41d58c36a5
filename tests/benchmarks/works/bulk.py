"""(b) bulk echo and (c) one-way bulk, over one connection."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from ..cores import crowded
from ..load.bulk import back_and_forth, receive_all, send_all
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

    @abstractmethod
    def transfer(self, port: int, size: int) -> Round: ...

    def warm_up(self, running: RunningServer) -> None:
        self.transfer(running.port, _WARM)

    def round(self, running: RunningServer) -> Figures:
        return self.figures(running, self.scale.bulk)

    def figures(self, running: RunningServer, size: int) -> Figures:
        """Of one transfer of *size* bytes."""
        before = running.cpu()
        round = self.transfer(running.port, size)
        cpu = running.cpu() - before
        mib = round.count / _MIB
        return {
            _CAPACITY.name: mib / cpu,
            _THROUGHPUT.name: mib / round.seconds,
            _CPU.name: 1e6 * cpu / mib,
            **busy(round, cpu),
        }


class BulkEcho(_Bulk):
    """Both ways at once, and once more in a crowd: by itself the generator is no faster than a good
    server, and that takes less CPU where it has more time."""

    name = "bulk-echo"
    title = "Bulk echo, one connection"
    metrics = (_THROUGHPUT, _CAPACITY, *_Bulk.metrics[1:])
    service = "bulk-echo"

    def transfer(self, port: int, size: int) -> Round:
        return back_and_forth(port, size)

    def round(self, running: RunningServer) -> Figures:
        figures = super().round(running)
        with crowded(self.cores):
            saturated = self.figures(running, self.scale.bulk // 8)
        return {**figures, _CAPACITY.name: saturated[_CAPACITY.name]}


class BulkIn(_Bulk):
    """To the server, which discards; in a crowd only, since the kernel's half of the sending is as
    much work as that."""

    name = "bulk-in"
    title = "Bulk to the server, one connection, in a crowd"
    metrics = (_CAPACITY, *_Bulk.metrics)
    service = "discard"
    # What memory and its caches give differs by a third from one second to the next.
    more_rounds = 3

    def transfer(self, port: int, size: int) -> Round:
        return send_all(port, size)

    def round(self, running: RunningServer) -> Figures:
        with crowded(self.cores):
            return self.figures(running, self.scale.bulk // 2)


class BulkOut(_Bulk):
    """From the server, which writes 64 KiB at a time and minds back-pressure."""

    name = "bulk-out"
    title = "Bulk from the server, one connection"
    service = "source"

    def transfer(self, port: int, size: int) -> Round:
        return receive_all(port, size)
