"""Compares a run with one of the backend ``memory``. If timing decides nothing in a script, its
ends must see the same on every backend (EVT-11)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..channels.channel_types import ChannelType
from .channel_types import MEMORY
from .performing import Outcome, perform
from .script import ENDS, Act, Script, Verb, Wait

__all__ = ["compare", "is_calm"]

_HARMLESS = frozenset({"write", "sequence", "lwc"})
"""Verbs that do the same in an event, whether that comes earlier or later."""

_PRODUCING = frozenset({"push", "pull"})


def _acting(script: Script) -> Iterator[Verb]:
    for step in script.steps:
        if isinstance(step, Act):
            yield from step.verbs


def is_calm(script: Script) -> bool:
    """Whether timing decides nothing in *script*: it waits after each step in which an end acts,
    and what it does inside events does the same at any time."""
    if script.a.protocol == "raw":
        return False
    reacting = [verb for name in ENDS for one in script.end(name).reactions for verb in one.verbs]
    if any(verb.name not in _HARMLESS for verb in reacting):
        return False
    if reacting and any(verb.name in _PRODUCING for verb in _acting(script)):
        # Whether a producer is done before the event is a matter of timing.
        return False
    after = (*script.steps[1:], Wait())
    return all(
        isinstance(step, Wait) or (isinstance(step, Act) and isinstance(then, Wait))
        for step, then in zip(script.steps, after)  # noqa: B905 - without steps, one is longer
    )


def compare(channel_type: ChannelType, script: Script, outcome: Outcome) -> Outcome:
    """Compare *outcome* of *script* with what the same script gives in memory.

    :returns: *outcome*, with the difference as what broke the contract if there is one.
    """
    if outcome.broken or outcome.free or channel_type.scheme == "memory" or not is_calm(script):
        return outcome
    if channel_type.scheme == "unix" and any(verb.name == "abort" for verb in _acting(script)):
        # PIP-01: a Unix socket has no reset, so that its peer sees another end.
        return outcome
    reference = perform("memory", MEMORY, replace(script, channel_type=MEMORY.name), 0.0)
    if reference.broken or reference.free or reference.seen == outcome.seen:
        return outcome
    mine, other = next(
        (mine, other)
        for mine, other in zip(outcome.seen, reference.seen, strict=True)
        if mine != other
    )
    return replace(outcome, broken=f"EVT-11: otherwise than in memory: {mine} (there: {other})")
