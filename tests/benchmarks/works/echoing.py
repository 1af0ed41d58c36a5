"""(a) 64-byte messages, echoed over 1, 64 and 1000 connections."""

from __future__ import annotations

import statistics
from typing import ClassVar

from ..load.connections import connected
from ..load.echoing import echo
from ..metric import BUSY, CPU, LOAD_BUSY, Figures, Metric
from ..running_server import RunningServer
from .work import Serving, busy

__all__ = ["EchoOverMany", "EchoOverOne", "EchoOverSome"]

_RATE = Metric("rate", "messages/s", "/s", more_is_better=True)


class EchoOverSome(Serving):
    """Over 64: what a message costs a server that is busy."""

    name = "echo-64"
    title = "64-byte echo over 64 connections"
    metrics: ClassVar[tuple[Metric, ...]] = (CPU, _RATE, BUSY, LOAD_BUSY)
    more_rounds = 12
    service = "echo"
    connections = 64

    @property
    def seconds(self) -> float:
        """How long a round lasts."""
        return self.scale.seconds

    def warm_up(self, running: RunningServer) -> None:
        with connected(running.port, self.connections) as socks:
            echo(socks, self.seconds)

    def round(self, running: RunningServer) -> Figures:
        with connected(running.port, self.connections) as socks:
            before = running.cpu()
            round = echo(socks, self.seconds)
            cpu = running.cpu() - before
        figures = {
            CPU.name: 1e6 * cpu / round.count,
            _RATE.name: round.count / round.seconds,
            **busy(round, cpu),
        }
        if round.trips:
            trips = sorted(round.trips)
            figures["trip"] = statistics.median(trips) / 1000
            figures["slow_trip"] = trips[len(trips) * 99 // 100] / 1000
        return figures


class EchoOverOne(EchoOverSome):
    """Over one: how soon the answer is back."""

    name = "echo-1"
    title = "64-byte echo over one connection"
    metrics = (
        Metric("trip", "round trip", "µs"),
        Metric("slow_trip", "99th percentile", "µs"),
        CPU,
        BUSY,
        LOAD_BUSY,
    )
    more_rounds = 6
    connections = 1


class EchoOverMany(EchoOverSome):
    """Over a thousand."""

    name = "echo-1000"
    title = "64-byte echo over 1000 connections"
    more_rounds = 1
    connections = 1000

    @property
    def seconds(self) -> float:
        # To connect so many takes as long.
        return 4 * self.scale.seconds
