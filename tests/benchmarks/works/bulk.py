"""(b) bulk echo and (c) one-way bulk, over one connection."""

from __future__ import annotations

from abc import abstractmethod

from ..load.bulk import back_and_forth, receive_all, send_all
from ..load.round import Round
from ..metric import BUSY, LOAD_BUSY, Figures, Metric
from ..running_server import RunningServer
from .work import Serving, busy

__all__ = ["BulkEcho", "BulkIn", "BulkOut"]

_MIB = 1 << 20

_WARM = 16 * _MIB


class _Bulk(Serving):
    metrics = (
        Metric("throughput", "throughput", "MiB/s", more_is_better=True),
        Metric("cpu", "server CPU", "µs/MiB"),
        BUSY,
        LOAD_BUSY,
    )
    most_rounds = 3

    @abstractmethod
    def transfer(self, port: int, size: int) -> Round: ...

    def warm_up(self, running: RunningServer) -> None:
        self.transfer(running.port, _WARM)

    def round(self, running: RunningServer) -> Figures:
        before = running.cpu()
        round = self.transfer(running.port, self.scale.bulk)
        cpu = running.cpu() - before
        size = round.count / _MIB
        return {"throughput": size / round.seconds, "cpu": 1e6 * cpu / size, **busy(round, cpu)}


class BulkEcho(_Bulk):
    """Both ways at once."""

    name = "bulk-echo"
    title = "Bulk echo, one connection"
    service = "bulk-echo"

    def transfer(self, port: int, size: int) -> Round:
        return back_and_forth(port, size)


class BulkIn(_Bulk):
    """To the server, which discards."""

    name = "bulk-in"
    title = "Bulk to the server, one connection"
    service = "discard"

    def transfer(self, port: int, size: int) -> Round:
        return send_all(port, size)


class BulkOut(_Bulk):
    """From the server, which writes 64 KiB at a time and minds back-pressure."""

    name = "bulk-out"
    title = "Bulk from the server, one connection"
    service = "source"

    def transfer(self, port: int, size: int) -> Round:
        return receive_all(port, size)
