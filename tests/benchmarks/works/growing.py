"""Cost grows with work only: each a curve, over ours, that must stay where it began."""

from __future__ import annotations

import socket
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ..catalogue import Server
from ..load.bulk import receive_all
from ..load.connections import end_all, greet_all, opened
from ..load.echoing import echo
from ..load.round import undisturbed
from ..metric import Figures, Metric
from ..running_server import RunningServer
from ..servers.sizes import AHEAD
from .work import Work

__all__ = ["CloseByPeers", "CloseByUs", "IdleBesideBusy", "SmallPieces", "StalledReader"]

_MIB = 1 << 20


class _Curve(Work):
    """Figures are named by the point at which they were measured."""

    ours_only = True
    in_turns = False
    service = "echo"
    steps: tuple[int, ...]

    @property
    def chosen(self) -> tuple[int, ...]:
        """The steps that are taken."""
        return self.steps[: self.scale.growth]

    def measure(self, server: Server) -> Figures:
        return {str(step): self.at(server, step) for step in self.chosen}

    @abstractmethod
    def at(self, server: Server, step: int) -> float:
        """The figure at one point, such as the cost of a unit."""


class IdleBesideBusy(_Curve):
    """Idle connections cost nothing per message of the busy ones."""

    name = "idle-beside-busy"
    title = "64 busy connections beside idle ones"
    metrics = (Metric("cpu", "server CPU per message", "µs"),)
    points = "idle connections"
    steps = (0, 1000, 2000)
    more_rounds = 6

    @contextmanager
    def prepared(self, server: Server) -> Iterator[None]:
        """A process for each point, so that a round has all of them within half a second."""
        self._busy: dict[int, tuple[RunningServer, list[socket.socket]]] = {}
        with ExitStack() as stack:
            for step in self.chosen:
                running = RunningServer(server, self.service, self.cores.server)
                stack.enter_context(running)
                greet_all(stack.enter_context(opened(running.port, step)))
                socks = stack.enter_context(opened(running.port, 64))
                greet_all(socks)
                echo(socks, self.scale.seconds)
                self._busy[step] = running, socks
            yield

    def at(self, server: Server, step: int) -> float:
        running, socks = self._busy[step]
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
    more_rounds = 2
    most_rounds = 5

    @contextmanager
    def prepared(self, server: Server) -> Iterator[None]:
        with RunningServer(server, self.service, self.cores.server) as self._running:
            self._cpu(self.steps[0] * _MIB)
            yield

    def at(self, server: Server, step: int) -> float:
        return 1e6 * (self._cpu(step * _MIB) - self._cpu(0)) / step

    def _cpu(self, size: int) -> float:
        """What it takes to write so many bytes in pieces, and some ahead of them."""
        before = self._running.cpu()
        # Nothing is read before all is written: the pieces pile up, as they do behind a slow peer.
        receive_all(self._running.port, AHEAD + size, lambda: _wait_for_rest(self._running))
        return self._running.cpu() - before


class StalledReader(_Curve):
    """A peer that does not read bounds the memory, however much there is to be sent."""

    name = "stalled-reader"
    title = "Sending to a peer that does not read"
    metrics = (Metric("memory", "server's memory grows by", "MiB"),)
    points = "MiB to be sent"
    service = "fresh-source"
    steps = (1, 16, 64, 256)
    most_rounds = 1

    def at(self, server: Server, step: int) -> float:
        with RunningServer(server, self.service, self.cores.server) as running:
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


class _Close(_Curve):
    """Many connections that end at once; a fresh process for each point, in each round."""

    metrics = (Metric("cpu", "server CPU per connection", "µs"),)
    points = "connections"
    # All above the number that linger at once, past which each costs a little more.
    steps = (2000, 5000, 10_000)
    more_rounds = 2
    most_rounds = 5

    def measure(self, server: Server) -> Figures:
        """All points are prepared before the first is measured: to open so many takes far longer
        than to close them, and meanwhile the machine may become another."""
        self._open: dict[int, tuple[RunningServer, list[socket.socket]]] = {}
        with ExitStack() as stack:
            for step in self.chosen:
                running = RunningServer(server, self.service, self.cores.server)
                stack.enter_context(running)
                socks = stack.enter_context(opened(running.port, step))
                self.greet(socks)
                self._open[step] = running, socks
            return super().measure(server)

    def at(self, server: Server, step: int) -> float:
        running, socks = self._open[step]
        before = running.cpu()
        with undisturbed():
            self.close(socks)
            # The end of stream comes before the server has let go of the last one.
            _wait_for_rest(running)
        return 1e6 * (running.cpu() - before) / step

    @abstractmethod
    def greet(self, socks: list[socket.socket]) -> None:
        """Make sure that the server has accepted all."""

    @abstractmethod
    def close(self, socks: list[socket.socket]) -> None:
        """Have all be closed."""


class CloseByPeers(_Close):
    """Connections that all end at once."""

    name = "close-by-peers"
    title = "Every peer closes at once"

    def greet(self, socks: list[socket.socket]) -> None:
        greet_all(socks)

    def close(self, socks: list[socket.socket]) -> None:
        end_all(socks)


class CloseByUs(_Close):
    """A server that closes everything at once, and drains what its peers still send."""

    name = "close-by-us"
    title = "The server closes every connection at once"
    service = "close-all"

    def greet(self, socks: list[socket.socket]) -> None:
        # The server says a word to each that it has accepted.
        for sock in socks:
            sock.recv(1)

    def close(self, socks: list[socket.socket]) -> None:
        socks[0].sendall(b"!")
        end_all(socks)
