"""TLS: messages, bulk, handshakes and memory, beside the frameworks' own TLS."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from ..catalogue import Server
from ..load.over_tls import connected_tls, echo_tls, receive_tls, send_tls, shake_hands
from ..load.round import Round
from ..metric import BUSY, CPU, LOAD_BUSY, Figures, Metric
from ..running_server import RunningServer
from .work import Serving, Work, busy, check_room

__all__ = ["Handshakes", "TLSBulkIn", "TLSBulkOut", "TLSEcho", "TLSMemory"]

_MIB = 1 << 20

_RATE = Metric("rate", "messages/s", "/s", more_is_better=True)


class TLSEcho(Serving):
    """What a message costs a server that is busy."""

    tls = True
    name = "tls-echo-64"
    title = "64-byte echo over 64 connections with TLS"
    metrics: ClassVar[tuple[Metric, ...]] = (CPU, _RATE, BUSY, LOAD_BUSY)
    more_rounds = 6
    service = "tls-echo"
    connections = 64

    def warm_up(self, running: RunningServer) -> None:
        with connected_tls(running.port, self.connections) as socks:
            echo_tls(socks, self.scale.seconds)

    def round(self, running: RunningServer) -> Figures:
        with connected_tls(running.port, self.connections) as socks:
            before = running.cpu()
            round = echo_tls(socks, self.scale.seconds)
            cpu = running.cpu() - before
        return {
            CPU.name: 1e6 * cpu / round.count,
            _RATE.name: round.count / round.seconds,
            **busy(round, cpu),
        }


class _Bulk(Serving):
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("cpu", "server CPU", "µs/MiB"), BUSY, LOAD_BUSY)
    more_rounds = 3

    @abstractmethod
    def transfer(self, running: RunningServer, size: int) -> Round: ...

    def warm_up(self, running: RunningServer) -> None:
        self.transfer(running, 16 * _MIB)

    def round(self, running: RunningServer) -> Figures:
        before = running.cpu()
        round = self.transfer(running, self.scale.bulk)
        cpu = running.cpu() - before
        return {"cpu": 1e6 * cpu / (round.count / _MIB), **busy(round, cpu)}


class TLSBulkIn(_Bulk):
    """To the server, which discards."""

    tls = True
    name = "tls-bulk-in"
    title = "Bulk to the server over TLS, one connection"
    service = "tls-discard"

    def transfer(self, running: RunningServer, size: int) -> Round:
        return send_tls(running.port, size)


class TLSBulkOut(_Bulk):
    """From the server, which writes 64 KiB at a time and minds back-pressure."""

    tls = True
    name = "tls-bulk-out"
    title = "Bulk from the server over TLS, one connection"
    service = "tls-source"

    def transfer(self, running: RunningServer, size: int) -> Round:
        return receive_tls(running.port, size)


class Handshakes(Serving):
    """A full handshake of TLS 1.3, one message and its echo, close; one by one."""

    tls = True
    name = "tls-handshakes"
    title = "Connect, TLS handshake, one message, close"
    metrics: ClassVar[tuple[Metric, ...]] = (CPU, BUSY, LOAD_BUSY)
    more_rounds = 5
    service = "tls-echo"

    def warm_up(self, running: RunningServer) -> None:
        shake_hands(running.port, 20)

    def round(self, running: RunningServer) -> Figures:
        before = running.cpu()
        round = shake_hands(running.port, self.scale.connections // 10)
        cpu = running.cpu() - before
        return {CPU.name: 1e6 * cpu / round.count, **busy(round, cpu)}


class TLSMemory(Work):
    """What the server's memory grows by, divided by the connections; each was served once."""

    tls = True
    name = "tls-memory"
    title = "Memory per idle connection with TLS"
    metrics = (Metric("memory", "per connection", "B"),)
    most_rounds = 1

    def measure(self, server: Server) -> Figures:
        count = self.scale.idle // 10
        check_room(server, count)
        with (
            RunningServer(server, "tls-echo", self.cores.server) as running,
            connected_tls(running.port, 10),
        ):
            before = running.memory()
            with connected_tls(running.port, count):
                after = running.memory()
                # The server first, since the end of so many is not what is measured here.
                running.close()
        return {"memory": (after - before) / count}
