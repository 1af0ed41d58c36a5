"""One kind of work, done on every server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from ..catalogue import Server
from ..cores import Cores
from ..load.round import Round
from ..metric import BUSY, LOAD_BUSY, Figures, Metric
from ..running_server import RunningServer

__all__ = ["Scale", "Serving", "Unable", "Work", "busy"]


@dataclass(frozen=True)
class Scale:
    """How much is measured; where a work takes half or several times of it, the work says so.

    :param seconds: how long each round of small messages lasts.
    :param bulk: bytes that are transferred in each round of bulk.
    :param connections: how many connections one after the other make a round.
    :param idle: how many idle connections the memory is divided by.
    :param growth: how many steps of a curve are taken, from the smallest; None: all.
    """

    seconds: float = 0.1
    bulk: int = 1 << 26
    connections: int = 1000
    idle: int = 10_000
    growth: int | None = None


class Unable(Exception):
    """A server cannot do this work, for the reason given."""


class Work(ABC):
    """Measures one server at a time; an instance serves all runs.

    A subclass gives `name`, `title`, `metrics` (the first is what the chart shows), and `measure`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    most_rounds: ClassVar[int | None] = None
    """How many rounds are enough, where each takes long or differs little from the next."""
    more_rounds: ClassVar[int] = 1
    """So many for each that is asked for. Many that are short, in place of few that are long: what
    are compared then come soon after each other, before the machine has become another."""
    ours_only: ClassVar[bool] = False
    in_turns: ClassVar[bool] = True
    """Whether servers are compared with each other, and not each with itself."""
    points: ClassVar[str] = ""
    """For a curve: what the figures' names, which are numbers, count."""

    def __init__(self, scale: Scale, cores: Cores) -> None:
        self.scale = scale
        self.cores = cores

    @contextmanager
    def begun(self) -> Iterator[None]:
        """What all rounds of all servers need."""
        yield

    @contextmanager
    def prepared(self, server: Server) -> Iterator[None]:
        """What `measure` of *server* needs, for all rounds.

        :raises Unable: the server cannot do this work.
        """
        yield

    @abstractmethod
    def measure(self, server: Server) -> Figures:
        """One round."""


class Serving(Work):
    """A work for which one process of each server serves all rounds."""

    service: ClassVar[str]
    connections: ClassVar[int] = 1

    def __init__(self, scale: Scale, cores: Cores) -> None:
        super().__init__(scale, cores)
        self._running: dict[Server, RunningServer] = {}

    @contextmanager
    def prepared(self, server: Server) -> Iterator[None]:
        check_room(server, self.connections)
        with RunningServer(server, self.service, self.cores.server) as running:
            self._running[server] = running
            try:
                self.warm_up(running)
                yield
            finally:
                del self._running[server]

    def measure(self, server: Server) -> Figures:
        return self.round(self._running[server])

    @abstractmethod
    def warm_up(self, running: RunningServer) -> None:
        """A little of the work, before anything is measured."""

    @abstractmethod
    def round(self, running: RunningServer) -> Figures:
        """One round on a server's process."""


def check_room(server: Server, connections: int) -> None:
    """Make sure that *server* can hold so many.

    :raises Unable: it cannot.
    """
    if server.most is not None and connections > server.most:
        raise Unable(f"holds no more than {server.most} connections")


def busy(round: Round, cpu: float) -> Figures:
    """How busy the server, which used *cpu* seconds, and the generator were, in percent."""
    return {
        BUSY.name: 100 * cpu / round.seconds,
        LOAD_BUSY.name: 100 * round.cpu / round.seconds,
    }
