"""A mutant: the library with one mistake in it, and the rule that must catch it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from mutants.patching import Patch

__all__ = ["Change", "Mutant", "mutant"]

Change = Callable[[Patch], None]

BACKENDS = {"memory": "memory"}
"""By type of channel, the backend on which mistakes are looked for."""

OTHERWISE = "anyio+asyncio"
"""Where they are that need descriptors to show."""


@dataclass(frozen=True)
class Mutant:
    """One mistake that the author of a channel or a backend, or a maintainer of core, could make.

    :param rule: the id of the rule that must catch it.
    :param change: makes the mistake; its docstring says what it is, its name is the mutant's.
    :param channel_type: the type of channel on which it is to be caught.
    :param silent: what never comes, in the words of the wait for it, where that is all that can
        be seen of the mistake; empty, where the rule has to see it without waiting in vain.
    """

    rule: str
    change: Change
    channel_type: str
    silent: str

    @property
    def name(self) -> str:
        """The name of the change."""
        return self.change.__name__

    @property
    def description(self) -> str:
        """What the mistake is."""
        return " ".join((self.change.__doc__ or "").split())

    @property
    def backend(self) -> str:
        """The backend on which it is to be caught."""
        return BACKENDS.get(self.channel_type, OTHERWISE)

    def __str__(self) -> str:
        return f"{self.rule}-{self.name}"

    @contextmanager
    def applied(self) -> Iterator[Patch]:
        """Have the mistake made in this process, and in those that it forks.

        :raises LookupError: what it changes is not there.
        :raises AttributeError: likewise.
        """
        with pytest.MonkeyPatch.context() as monkeypatch:
            patch = Patch(monkeypatch)
            self.change(patch)
            yield patch


def mutant(rule: str, on: str = "memory", silent: str = "") -> Callable[[Change], Mutant]:
    """Make a mutant of *rule* from the function that patches it; see `Mutant`.

    :param on: the type of channel: in memory, unless the mistake is made where only descriptors
        come.
    """
    return lambda change: Mutant(rule, change, on, silent)
