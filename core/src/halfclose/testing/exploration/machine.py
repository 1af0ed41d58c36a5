"""The Hypothesis state machine: it writes scripts, and has each performed at its end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ..channels.channel_types import ChannelType
from .channel_types import serves_both
from .script import ENDS, FAULTS, WAYS, Act, End, Fault, Reaction, Script, Step, Turns, Verb, Wait

__all__ = ["STEPS", "machine"]

STEPS = 12
"""Steps of a script, at most: more find no more, but take longer."""

_SIZES = st.sampled_from((1, 2, 5, 0, 7, 100, 1448, 5000, 65536, 65537, 200_000, 700_000))
_PIECES = st.sampled_from((1, 5, 0, 100, 1448, 20_000, 70_000))
_COUNTS = st.integers(0, 4)


def _verbs_named(*names: str) -> st.SearchStrategy[Verb]:
    return st.sampled_from([Verb(name) for name in names])


def _verb(name: str, *numbers: st.SearchStrategy[int]) -> st.SearchStrategy[Verb]:
    return st.builds(Verb, st.just(name), st.tuples(*numbers))


_WRITING = st.one_of(
    _verb("write", _SIZES),
    st.builds(Verb, st.just("sequence"), st.lists(_PIECES, max_size=3).map(tuple)),
)
_HARMLESS = st.one_of(_WRITING, _verbs_named("lwc"))
_VERBS = st.one_of(
    _WRITING,
    _verbs_named("lwc", "lose", "pause", "resume", "unregister", "stop", "abort"),
    _verb("push", _COUNTS, _PIECES),
    _verb("pull", _COUNTS, _PIECES),
)
_RAISING = st.lists(_VERBS, max_size=1).map(lambda some: [*some, Verb("raise")])


def _reactions(verbs: st.SearchStrategy[list[Verb]]) -> st.SearchStrategy[Reaction]:
    names = st.sampled_from(("read", "data", "write", "made", "lost"))
    first = st.builds(Reaction, names, verbs.map(tuple))
    later = st.builds(Reaction, st.just("data"), verbs.map(tuple), st.sampled_from((2, 100, 65536)))
    return st.one_of(first, first, later)


def _ends(reaction: st.SearchStrategy[Reaction]) -> st.SearchStrategy[End]:
    protocols = st.sampled_from(("half", "half", "half", "plain"))
    return st.builds(End, protocols, st.lists(reaction, max_size=3).map(tuple))


_ANY_END = _ends(
    st.one_of(_reactions(st.lists(_VERBS, min_size=1, max_size=3)), _reactions(_RAISING))
)
_CALM_END = _ends(_reactions(st.lists(_HARMLESS, min_size=1, max_size=3)))
_WATER = st.one_of(st.none(), st.sampled_from(((0, 1), (10, 100), (1000, 30_000))))
_FAULTS = st.builds(
    lambda name, way, number: Fault(name, way, number if FAULTS[name] else 0),
    st.sampled_from(sorted(FAULTS)),
    st.sampled_from(sorted(WAYS)),
    st.sampled_from((0, 1, 2, 100, 70_000)),
).map(lambda fault: Fault("delay", fault.way, fault.number % 5) if fault.name == "delay" else fault)


def _first_ends(
    channel_type: ChannelType, reaching: st.SearchStrategy[End]
) -> st.SearchStrategy[End]:
    raw = st.just(End("raw"))
    return st.one_of(reaching, reaching, raw) if serves_both(channel_type) else raw


def machine(
    channel_type: ChannelType, check: Callable[[Script], None]
) -> type[RuleBasedStateMachine]:
    """The state machine whose scripts, on that *channel_type* of channel, are given to *check*."""
    simulated = channel_type.scheme == "memory"

    class TwoEnds(RuleBasedStateMachine):
        """Two ends of one connection, and what they do with each other."""

        def __init__(self) -> None:
            super().__init__()
            self._calm = False
            self._first = Script(channel_type.name)
            self._steps: list[Step] = []

        @initialize(
            a=_first_ends(channel_type, _ANY_END),
            b=_ANY_END,
            calm=st.one_of(st.none(), st.none(), st.tuples(_CALM_END, _CALM_END)),
            water=_WATER,
            seed=st.integers(0, 1000) if simulated else st.just(0),
            chunk=st.sampled_from((0, 0, 1, 7, 1448)) if simulated else st.just(0),
        )
        def begin(
            self,
            a: End,
            b: End,
            calm: tuple[End, End] | None,
            water: tuple[int, int] | None,
            seed: int,
            chunk: int,
        ) -> None:
            """Choose what is at the ends, and what it does within its events."""
            if calm is not None and serves_both(channel_type):
                # Such a script ends alike wherever it is performed, and is compared.
                self._calm = True
                a, b = calm
            self._first = Script(channel_type.name, a, b, water, seed, chunk)

        @rule(end=st.sampled_from(ENDS), verbs=st.lists(_VERBS, min_size=1, max_size=3))
        def act(self, end: str, verbs: list[Verb]) -> None:
            """Call some verbs in one turn."""
            self._steps.append(Act(end, tuple(verbs)))
            if self._calm:
                self._steps.append(Wait())

        @rule()
        def wait(self) -> None:
            """Wait for all that must come."""
            self._steps.append(Wait())

        @precondition(lambda self: not self._calm)
        @rule(count=st.integers(1, 3))
        def turns(self, count: int) -> None:
            """Wait for nothing in particular."""
            self._steps.append(Turns(count))

        if simulated:

            @rule(fault=_FAULTS)
            def fault(self, fault: Fault) -> None:
                """Let the network fail."""
                self._steps.append(fault)

        def teardown(self) -> None:
            """Perform the script, unless Hypothesis gives it up."""
            if sys.exc_info()[0] is None:
                check(replace(self._first, steps=tuple(self._steps)))

    return TwoEnds
