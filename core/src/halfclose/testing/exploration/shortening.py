"""Shortens a script that broke the contract, as far as it still does.

Hypothesis can shorten as well, but it does not know what a script is and needs many more tries:
here, taking a step away is one try.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from .script import Act, End, Reaction, Script, Step, Turns, Verb, Wait

__all__ = ["shorten"]

_NUMBERS = (0, 1, 2, 100, 70_000)
"""What a number of a verb is replaced by, if that is less."""


def shorten(script: Script, still_breaks: Callable[[Script], bool]) -> Script:
    """The shortest script that is found by taking things away from *script*, one by one.

    :param still_breaks: performs a shorter script, and returns whether that fails in the same way.
    """
    shortened = True
    while shortened:
        shortened = False
        index = 0
        while (shorter := next(islice(_shorter(script), index, None), None)) is not None:
            if still_breaks(shorter):
                # The index stays: at this place there is now something else to take away.
                script, shortened = shorter, True
            else:
                index += 1
    return script


def _shorter(script: Script) -> Iterator[Script]:
    """Scripts a little shorter or simpler than *script*, first those that leave out most."""
    for steps in _without_some(script.steps):
        yield replace(script, steps=steps)
    for end in _simpler_ends(script.a):
        yield replace(script, a=end)
    for end in _simpler_ends(script.b):
        yield replace(script, b=end)
    for simpler in (
        replace(script, water=None),
        replace(script, seed=0),
        replace(script, chunk=0),
    ):
        if simpler != script:
            yield simpler
    for index, step in enumerate(script.steps):
        for other in _simpler_steps(step):
            steps = (*script.steps[:index], other, *script.steps[index + 1 :])
            yield replace(script, steps=steps)


def _without_some(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    size = len(steps)
    while size:
        for start in range(0, len(steps), size):
            yield steps[:start] + steps[start + size :]
        size //= 2


def _simpler_ends(end: End) -> Iterator[End]:
    if end.protocol == "plain":
        yield replace(end, protocol="half")
    for index, reaction in enumerate(end.reactions):
        before, after = end.reactions[:index], end.reactions[index + 1 :]
        yield replace(end, reactions=before + after)
        for simpler in _simpler_reactions(reaction):
            yield replace(end, reactions=(*before, simpler, *after))


def _simpler_reactions(reaction: Reaction) -> Iterator[Reaction]:
    if reaction.after > 1:
        yield replace(reaction, after=1)
    for verbs in _simpler_verbs(reaction.verbs):
        yield replace(reaction, verbs=verbs)


def _simpler_steps(step: Step) -> Iterator[Step]:
    if isinstance(step, Act):
        for verbs in _simpler_verbs(step.verbs):
            yield replace(step, verbs=verbs)
    elif isinstance(step, Turns):
        yield Wait()
        if step.count > 1:
            yield Turns(1)


def _simpler_verbs(verbs: tuple[Verb, ...]) -> Iterator[tuple[Verb, ...]]:
    for index, verb in enumerate(verbs):
        before, after = verbs[:index], verbs[index + 1 :]
        if before or after:
            yield before + after
        if verb.name == "sequence":
            yield (*before, Verb("write", (sum(verb.numbers),)), *after)
        for place, number in enumerate(verb.numbers):
            for less in _NUMBERS:
                if less < number:
                    numbers = (*verb.numbers[:place], less, *verb.numbers[place + 1 :])
                    yield (*before, Verb(verb.name, numbers), *after)
