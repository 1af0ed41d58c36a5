"""What two ends of a connection do, as values and as one line of text.

An example: ``tcp; b plain; a on read: write 5, lwc; a: write 100, lwc; wait; b: lose``. Its parts
mean, in order:

- The connection is made by TCP.
- End *b* has a protocol that is not half-closeable.
- When ``readConnectionLost`` comes to *a*, *a* writes 5 bytes and ends its half.
- As the first step, *a* writes 100 bytes and ends its half, both in one turn of the loop.
- Then wait until all has come that must come.
- Then *b* closes the connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "ENDS",
    "EVENTS",
    "FAULTS",
    "LIMIT",
    "PROTOCOLS",
    "VERBS",
    "WAYS",
    "Act",
    "End",
    "Fault",
    "Reaction",
    "Script",
    "Step",
    "Turns",
    "Verb",
    "Wait",
]

ENDS = ("a", "b")
"""The names of the ends: *a* connects, *b* listens."""

PROTOCOLS = {"a": ("half", "plain", "raw"), "b": ("half", "plain")}
"""What can be at each end: a half-closeable protocol, one that is not ("plain"), or a raw peer,
which uses the channel without a backend."""

EVENTS = ("made", "data", "read", "write", "lost")
"""The short names of the events: ``read`` is ``readConnectionLost``, and so on.

A script can say ``data N`` for the ``dataReceived`` by which at least N bytes have come in all.
"""

VERBS: dict[str, tuple[int, int]] = {
    "write": (1, 1),
    "sequence": (0, 4),
    "lwc": (0, 0),
    "lose": (0, 0),
    "abort": (0, 0),
    "pause": (0, 0),
    "resume": (0, 0),
    "stop": (0, 0),
    "push": (2, 2),
    "pull": (2, 2),
    "unregister": (0, 0),
    "raise": (0, 0),
}
"""How many numbers each verb takes, at least and at most.

- ``write 5`` writes 5 bytes; ``sequence 1 2`` calls ``writeSequence`` with pieces of 1 and 2 bytes.
- ``lwc`` is ``loseWriteConnection``; ``lose``, ``abort`` and ``unregister`` are short as well.
- ``pause``, ``resume`` and ``stop`` are the transport's ``pauseProducing``, ``resumeProducing`` and
  ``stopProducing``.
- ``push 3 100`` registers a streaming producer, which writes three pieces of 100 bytes and then
  unregisters itself. ``pull 3 100`` registers one that is asked for each piece. With 0 pieces, a
  producer writes nothing and stays registered.
- ``raise`` raises an exception out of the event; verbs behind it are not called.

A raw peer knows ``write``, ``lwc``, ``lose``, ``abort`` (a reset), ``pause`` and ``resume``.
"""

FAULTS = {"reset": True, "delay": True, "stall": False, "release": False}
"""What a simulated network can do to one way of a connection, and whether that takes a number.

- ``reset up 5`` breaks the connection once 5 bytes have arrived.
- ``delay up 2`` makes the end of stream take 2 seconds longer.
- ``stall up`` keeps the reader from reading anything until ``release up``.
"""

WAYS = {"up": "a", "down": "b"}
"""The two ways of a connection, and the end that sends on each."""

LIMIT = 1 << 24
"""The biggest number that a script may have."""


@dataclass(frozen=True)
class Verb:
    """One call of a transport's method.

    :param name: one of `VERBS`.
    :param numbers: as many as that verb takes.
    """

    name: str
    numbers: tuple[int, ...] = ()

    def __str__(self) -> str:
        return " ".join((self.name, *map(str, self.numbers)))


@dataclass(frozen=True)
class Reaction:
    """What an end does inside an event, once: the first time that the event comes.

    :param event: one of `EVENTS`.
    :param verbs: what the end calls, in order.
    :param after: for ``data``, how many bytes must have come in all.
    """

    event: str
    verbs: tuple[Verb, ...]
    after: int = 1

    def __str__(self) -> str:
        after = f" {self.after}" if self.after != 1 else ""
        return f"on {self.event}{after}: {', '.join(map(str, self.verbs))}"


@dataclass(frozen=True)
class End:
    """One end of a script.

    :param protocol: one of `PROTOCOLS`.
    :param reactions: what the end does inside its events.
    """

    protocol: str = "half"
    reactions: tuple[Reaction, ...] = ()


@dataclass(frozen=True)
class Act:
    """A step in which one end calls verbs, all in one turn of the loop."""

    end: str
    verbs: tuple[Verb, ...]

    def __str__(self) -> str:
        return f"{self.end}: {', '.join(map(str, self.verbs))}"


@dataclass(frozen=True)
class Wait:
    """A step that waits until all has come that must come."""

    def __str__(self) -> str:
        return "wait"


@dataclass(frozen=True)
class Turns:
    """A step that lasts *count* turns of the loop, whatever comes."""

    count: int

    def __str__(self) -> str:
        return f"turns {self.count}"


@dataclass(frozen=True)
class Fault:
    """A step in which the simulated network does something to one way of the connection.

    :param name: one of `FAULTS`.
    :param way: one of `WAYS`.
    :param number: bytes or seconds, as the fault takes; 0 if it takes no number.
    """

    name: str
    way: str
    number: int = 0

    def __str__(self) -> str:
        number = f" {self.number}" if FAULTS[self.name] else ""
        return f"{self.name} {self.way}{number}"


Step: TypeAlias = "Act | Wait | Turns | Fault"


@dataclass(frozen=True)
class Script:
    """All that two ends of one connection do.

    :param channel_type: the name of a `halfclose.testing.ChannelType`, such as "tcp".
    :param a: the end that connects.
    :param b: the end that listens.
    :param water: the low and the high water mark of both ends, in bytes; None for the default ones.
    :param seed: what the simulated network's choices are drawn from; 0 for first come, first
        served.
    :param chunk: the most bytes that nearly every read from a simulated network gives; 0 to let
        the seed choose.
    :param steps: what happens once both ends are connected, in order.
    """

    channel_type: str = "tcp"
    a: End = End()
    b: End = End()
    water: tuple[int, int] | None = None
    seed: int = 0
    chunk: int = 0
    steps: tuple[Step, ...] = ()

    def end(self, name: str) -> End:
        """The end named *name*: "a" or "b"."""
        return self.a if name == "a" else self.b

    def _parts(self) -> Iterator[str]:
        yield self.channel_type
        for name in ENDS:
            if self.end(name).protocol != "half":
                yield f"{name} {self.end(name).protocol}"
        if self.water is not None:
            yield f"water {self.water[0]} {self.water[1]}"
        if self.seed:
            yield f"seed {self.seed}"
        if self.chunk:
            yield f"chunk {self.chunk}"
        for name in ENDS:
            for reaction in self.end(name).reactions:
                yield f"{name} {reaction}"
        yield from map(str, self.steps)

    def __str__(self) -> str:
        """The script as one line without quotes, from which `parse_script` makes an equal one."""
        return "; ".join(self._parts())
