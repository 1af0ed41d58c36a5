"""The backend ``memory`` as the reference: where timing decides nothing, all see the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..channels.channel_types import ChannelType
from .channel_types import MEMORY
from .performing import Outcome, perform
from .script import ENDS, Act, Script, Verb, Wait

__all__ = ["compare", "is_calm"]

_HARMLESS = frozenset({"write", "sequence", "lwc"})
"""Verbs that do the same whether they come sooner or later within one event."""

_PRODUCING = frozenset({"push", "pull"})


def _acting(script: Script) -> Iterator[Verb]:
    for step in script.steps:
        if isinstance(step, Act):
            yield from step.verbs


def is_calm(script: Script) -> bool:
    """Whether *script* waits after whatever it does, and decides nothing within events."""
    if script.a.protocol == "raw":
        return False
    reacting = [verb for name in ENDS for one in script.end(name).reactions for verb in one.verbs]
    if any(verb.name not in _HARMLESS for verb in reacting):
        return False
    if reacting and any(verb.name in _PRODUCING for verb in _acting(script)):
        # A producer may be done before the event, or not.
        return False
    after = (*script.steps[1:], Wait())
    return all(
        isinstance(step, Wait) or (isinstance(step, Act) and isinstance(then, Wait))
        for step, then in zip(script.steps, after)  # noqa: B905 - without steps, one is longer
    )


def compare(channel_type: ChannelType, script: Script, outcome: Outcome) -> Outcome:
    """*outcome*, or how it differs from what comes of *script* in memory."""
    if outcome.broken or outcome.free or channel_type.scheme == "memory" or not is_calm(script):
        return outcome
    if channel_type.scheme == "unix" and any(verb.name == "abort" for verb in _acting(script)):
        # It has no reset, and says something else instead (PIP-01).
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
