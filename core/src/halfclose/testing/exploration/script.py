"""What two ends of a connection do, as values and as one line of text.

``tcp; b plain; a on read: write 5, lwc; a: write 100, lwc; wait; b: lose`` is: on TCP, end *b* has
a plain protocol; at its ``readConnectionLost`` *a* writes 5 bytes and ends its half; *a* writes
100 bytes and ends its half in one turn; all that must come of it is waited for; *b* closes.
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
"""*a* connects, *b* listens."""

PROTOCOLS = {"a": ("half", "plain", "raw"), "b": ("half", "plain")}
"""What can be at an end: a half-closeable protocol, a plain one, or a raw peer by no backend."""

EVENTS = ("made", "data", "read", "write", "lost")
"""The events, by their first word: ``read`` is ``readConnectionLost``.

``data N`` is the first ``dataReceived`` after which N bytes have come.
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

``write 5`` is 5 bytes, ``sequence 1 2`` a ``writeSequence`` of two pieces. ``push 3 100`` registers
a streaming producer of three pieces of 100 bytes, which unregisters itself after them, and
``pull 3 100`` likewise one that is asked for each; with 0 pieces they only wait. ``stop`` is
``stopProducing``. ``raise`` raises an exception in the event, and ends its verbs.

A raw peer knows ``write``, ``lwc``, ``lose``, ``abort`` (a reset), ``pause`` and ``resume``.
"""

FAULTS = {"reset": True, "delay": True, "stall": False, "release": False}
"""What can be done to a simulated network, and whether it takes a number.

``reset up 5`` breaks the connection once 5 bytes have arrived; ``delay up 2`` has the end of
stream take 2 seconds longer; ``stall up`` has the reader of that way read nothing until
``release up``.
"""

WAYS = {"up": "a", "down": "b"}
"""The ways, and who sends on each."""

LIMIT = 1 << 24
"""No number in a script is bigger."""


@dataclass(frozen=True)
class Verb:
    """One call of a transport's method, under the name that `VERBS` has for it."""

    name: str
    numbers: tuple[int, ...] = ()

    def __str__(self) -> str:
        return " ".join((self.name, *map(str, self.numbers)))


@dataclass(frozen=True)
class Reaction:
    """What an end does inside an event, the first time that it comes.

    :param event: one of `EVENTS`.
    :param verbs: what is called, in order.
    :param after: for ``data``, how many bytes must have come.
    """

    event: str
    verbs: tuple[Verb, ...]
    after: int = 1

    def __str__(self) -> str:
        after = f" {self.after}" if self.after != 1 else ""
        return f"on {self.event}{after}: {', '.join(map(str, self.verbs))}"


@dataclass(frozen=True)
class End:
    """One end: the protocol there, and what it does inside its events."""

    protocol: str = "half"
    reactions: tuple[Reaction, ...] = ()


@dataclass(frozen=True)
class Act:
    """The verbs of one end, in one turn."""

    end: str
    verbs: tuple[Verb, ...]

    def __str__(self) -> str:
        return f"{self.end}: {', '.join(map(str, self.verbs))}"


@dataclass(frozen=True)
class Wait:
    """Wait for all that must come."""

    def __str__(self) -> str:
        return "wait"


@dataclass(frozen=True)
class Turns:
    """Let the loop go round that often, and wait for nothing."""

    count: int

    def __str__(self) -> str:
        return f"turns {self.count}"


@dataclass(frozen=True)
class Fault:
    """Something that the simulated network does to one way of the connection.

    :param name: one of `FAULTS`.
    :param way: one of `WAYS`.
    :param number: bytes or seconds; 0 for a fault that takes none.
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
    """A whole run of two ends.

    :param channel_type: the name of the `halfclose.testing.ChannelType` of channel, such as "tcp".
    :param a: the end that connects.
    :param b: the end that listens.
    :param water: the low and the high water mark of both ends, or None: the usual ones.
    :param seed: of what a simulated network decides; 0: first come, first served.
    :param chunk: bytes that most reads from a simulated network give at most; 0: as the seed says.
    :param steps: what happens once both ends are there, in order.
    """

    channel_type: str = "tcp"
    a: End = End()
    b: End = End()
    water: tuple[int, int] | None = None
    seed: int = 0
    chunk: int = 0
    steps: tuple[Step, ...] = ()

    def end(self, name: str) -> End:
        """The end of that name."""
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
        """One line, without quotes: `parse_script` gives the script back."""
        return "; ".join(self._parts())
