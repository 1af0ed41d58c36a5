"""The columns of the scorecard: what each stands for, and what has no counterpart there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from halfclose.testing.judging.case import Case
from halfclose.testing.judging.runner import plan

from .outcomes import Outcome

__all__ = ["CHANNEL_TYPES", "COLUMNS", "Column", "Telling"]

CHANNEL_TYPES = ("tcp", "unix", "stdio")
"""The types of channel that are compared, by name and in the table's order."""

OF_CORE = {
    "ERR-12": "the rule's test breaks a channel of halfclose from inside",
    "ERR-14": "the rule is about backends of halfclose, and what they are given",
    "LOOP": "the rules are about the loop that a backend of halfclose offers to its connections",
    "VRB-10": "the rule's test is made of a channel of halfclose that cannot half-close",
}
"""Rules and chapters of which the test never comes to the framework, and why."""

NO_STDIO = "anyio has no stream for standard input and output, but threads that block in a read"


@dataclass(frozen=True)
class Telling:
    """What is seen where it is not the rule itself that is broken.

    :param pattern: of what was seen.
    :param outcome: ABSENT or HIDDEN.
    :param because: what is not there, or is broken first.
    :param channel_types: on which types of channel.
    :param rules: of which rules; by default all but the one that *because* names.
    """

    pattern: str
    outcome: Outcome
    because: str
    channel_types: tuple[str, ...] = CHANNEL_TYPES
    rules: tuple[str, ...] = ()

    def tells(self, rule: str, channel_type: str, what: str) -> bool:
        """Whether *what* was seen of *rule* is no more than this."""
        if channel_type not in self.channel_types or self.because.startswith(rule):
            return False
        return (not self.rules or rule in self.rules) and bool(re.search(self.pattern, what))


SOCKETS = ("tcp", "unix")

NO_LAST_EVENT = "EVT-05: both halves have ended, and no connectionLost comes"

LATE_WRITE = "VRB-05: a late write raises"

OF_ASYNCIO = (
    Telling(
        "^writeConnectionLost did not come",
        Outcome.ABSENT,
        "there is no event that tells that our end of stream was sent",
        channel_types=SOCKETS,
    ),
    Telling(
        "^connectionLost did not come .*readConnectionLost>",
        Outcome.HIDDEN,
        NO_LAST_EVENT,
        channel_types=SOCKETS,
    ),
    Telling(
        "bytes came and",
        Outcome.HIDDEN,
        "PRD-03: the end of stream does not wait for a producer",
        rules=("PRD-01",),
    ),
    Telling(
        "push: assert 0 == 1$",
        Outcome.HIDDEN,
        "PRD-06: nobody tells a producer to stop",
        rules=("PRD-08",),
    ),
)

OF_UVLOOP = (
    *OF_ASYNCIO,
    Telling(
        "ConnectionLost'?>? is .*ConnectionDone",
        Outcome.HIDDEN,
        "EVT-05: write_eof on a pipe ends in [Errno 88] Socket operation on non-socket",
        channel_types=("stdio",),
    ),
    Telling(
        "the handler is closed",
        Outcome.HIDDEN,
        LATE_WRITE,
        channel_types=SOCKETS,
        rules=("FLU-09", "PIP-04"),
    ),
)

OF_TWISTED = (
    Telling(
        "^connectionLost did not come .*(read.*, write|write.*, read)ConnectionLost>",
        Outcome.HIDDEN,
        NO_LAST_EVENT,
    ),
    Telling(
        "no end came within|of the half-closed connection did not happen",
        Outcome.HIDDEN,
        "PIP-02: descriptor 1 stays open, and its reader sees no end",
        channel_types=("stdio",),
    ),
    Telling(
        "ConnectionDone'?>? is .*ConnectionAborted",
        Outcome.ABSENT,
        "StandardIO has no abortConnection",
        channel_types=("stdio",),
    ),
    Telling(
        "resumeProducing inside the verb registerProducer",
        Outcome.HIDDEN,
        "PRD-02: registerProducer itself asks a pull producer",
    ),
    Telling(
        "no end came within|'writeConnectionLost'.* == ",
        Outcome.HIDDEN,
        "PRD-03: the end of stream does not wait for a producer, or is never sent",
        rules=("PRD-01", "PRD-07", "PRD-08", "PRD-09"),
    ),
)

OF_ANYIO = (
    Telling(
        r"Group\(.*Boom\(.*\bgrace\b",
        Outcome.HIDDEN,
        "END-03: the exception of the program's body comes out in a group",
    ),
    Telling(
        r"Group: ClosedResourceError\(\) \(",
        Outcome.HIDDEN,
        LATE_WRITE,
        rules=("ERR-01", "FLU-09", "PIP-04"),
    ),
)

NO_PRODUCERS = {"PRD-07": "no producer is registered with a transport there"}


@dataclass(frozen=True)
class Column:
    """One framework on one loop.

    :param title: the column's head.
    :param backends: on what the suite runs; the rule is kept if it is on all of them.
    :param distributions: whose versions the table names.
    :param absent: rules and chapters without a counterpart, and why.
    :param telling: what is seen where it is not the rule itself that is broken.
    """

    title: str
    backends: tuple[str, ...]
    distributions: tuple[str, ...]
    absent: Mapping[str, str] = field(default_factory=OF_CORE.copy)
    telling: tuple[Telling, ...] = ()

    def cases(self, only: tuple[str, ...] = ()) -> list[Case]:
        """What is to be judged: every rule that has a counterpart, on every type of channel."""
        return [
            case
            for backend in self.backends
            for case in plan(backend, only)
            if case.channel_type.name in CHANNEL_TYPES
            and self._absent(case.rule.identifier) is None
        ]

    def why_absent(self, rule: str) -> str:
        """Why *rule* has no case at all here."""
        return self._absent(rule) or NO_STDIO

    def _absent(self, rule: str) -> str | None:
        return self.absent.get(rule, self.absent.get(rule.partition("-")[0]))


COLUMNS = (
    Column(
        "halfclose",
        ("twisted+epoll", "anyio+asyncio", "anyio+uvloop", "anyio+trio"),
        ("halfclose",),
        absent={},
    ),
    Column("Twisted", ("stock-twisted",), ("twisted",), telling=OF_TWISTED),
    Column(
        "asyncio",
        ("stock-asyncio",),
        (),
        absent={**OF_CORE, **NO_PRODUCERS},
        telling=OF_ASYNCIO,
    ),
    Column(
        "uvloop",
        ("stock-uvloop",),
        ("uvloop",),
        absent={**OF_CORE, **NO_PRODUCERS},
        telling=OF_UVLOOP,
    ),
    Column("anyio, asyncio", ("stock-anyio-asyncio",), ("anyio",), telling=OF_ANYIO),
    Column("anyio, uvloop", ("stock-anyio-uvloop",), ("anyio", "uvloop"), telling=OF_ANYIO),
    Column("anyio, trio", ("stock-anyio-trio",), ("anyio", "trio"), telling=OF_ANYIO),
)
"""From left to right."""
