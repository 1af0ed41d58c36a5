"""Cost grows with work only: each a curve, over ours, whose unit cost must stay where it began."""

from __future__ import annotations

import time
from abc import abstractmethod

from ..catalogue import Server
from ..load.bulk import receive_all
from ..load.connections import connected, end_all, greet_all, opened
from ..load.echoing import echo
from ..load.round import undisturbed
from ..metric import Figures, Metric
from ..running_server import RunningServer
from .work import Work

__all__ = ["CloseByPeers", "CloseByUs", "IdleBesideBusy", "SmallPieces", "StalledReader"]

_MIB = 1 << 20


class _Curve(Work):
    """Figures are named by the point at which they were measured."""

    ours_only = True
    most_rounds = 1
    service = "echo"
    steps: tuple[int, ...]

    def measure(self, server: Server) -> Figures:
        return {str(step): self.at(server, step) for step in self.steps[: self.scale.growth]}

    def at(self, server: Server, step: int) -> float:
        """The unit cost at one point, of a fresh process."""
        with RunningServer(server, self.service, self.cores.server) as running:
            return self.cost(running, step)

    @abstractmethod
    def cost(self, running: RunningServer, step: int) -> float: ...


class IdleBesideBusy(_Curve):
    """Idle connections cost nothing per message of the busy ones."""

    name = "idle-beside-busy"
    title = "64 busy connections beside idle ones"
    metrics = (Metric("cpu", "server CPU per message", "µs"),)
    points = "idle connections"
    steps = (0, 1000, 2000)
    most_rounds = 5

    def cost(self, running: RunningServer, step: int) -> float:
        with connected(running.port, step), connected(running.port, 64) as socks:
            echo(socks, self.scale.seconds / 5)
            before = running.cpu()
            round = echo(socks, self.scale.seconds)
            return 1e6 * (running.cpu() - before) / round.count


class SmallPieces(_Curve):
    """A big write in small pieces costs what its bytes cost: no quadratic copies."""

    name = "small-pieces"
    title = "A write in 64-byte pieces, all in one event"
    metrics = (Metric("cpu", "server CPU per MiB", "µs"),)
    points = "MiB written"
    service = "pieces"
    steps = (4, 16, 64)

    def cost(self, running: RunningServer, step: int) -> float:
        before = running.cpu()
        receive_all(running.port, step * _MIB)
        return 1e6 * (running.cpu() - before) / step


class StalledReader(_Curve):
    """A peer that does not read bounds the memory, however much there is to be sent."""

    name = "stalled-reader"
    title = "Sending to a peer that does not read"
    metrics = (Metric("memory", "server's memory grows by", "MiB"),)
    points = "MiB to be sent"
    service = "source"
    steps = (1, 16, 64, 256)

    def cost(self, running: RunningServer, step: int) -> float:
        receive_all(running.port, _MIB)
        before = running.memory()
        with opened(running.port, 1) as [sock]:
            sock.sendall(str(step * _MIB).encode())
            _wait_for_rest(running)
            return (running.memory() - before) / _MIB


def _wait_for_rest(running: RunningServer) -> None:
    """Until the server does nothing any more."""
    used = -1.0
    # To answer costs it something too.
    while (now := running.cpu()) - used > 0.001:
        used = now
        time.sleep(0.05)


class CloseByPeers(_Curve):
    """Connections that all end at once."""

    name = "close-by-peers"
    title = "Every peer closes at once"
    metrics = (Metric("cpu", "server CPU per connection", "µs"),)
    points = "connections"
    # All above the number that linger at once, past which each costs a little more.
    steps = (2000, 5000, 10_000)
    most_rounds = 2

    def cost(self, running: RunningServer, step: int) -> float:
        with opened(running.port, step) as socks:
            greet_all(socks)
            before = running.cpu()
            with undisturbed():
                end_all(socks)
            return 1e6 * (running.cpu() - before) / step


class CloseByUs(_Curve):
    """A server that closes everything at once, and drains what its peers still send."""

    name = "close-by-us"
    title = "The server closes every connection at once"
    metrics = CloseByPeers.metrics
    points = "connections"
    service = "close-all"
    steps = CloseByPeers.steps
    most_rounds = 2

    def cost(self, running: RunningServer, step: int) -> float:
        with opened(running.port, step) as socks:
            # The server says a word to each that it has accepted.
            for sock in socks:
                sock.recv(1)
            before = running.cpu()
            with undisturbed():
                socks[0].sendall(b"!")
                end_all(socks)
                _wait_for_rest(running)
            return 1e6 * (running.cpu() - before) / step
