"""All the mutants, in the order of the rules."""

from __future__ import annotations

import importlib

from mutants.mutant import Mutant

__all__ = ["MUTANTS"]

_CHAPTERS = ("events", "verbs", "flushing", "producers", "failures", "endings", "pipes", "loop")


def _mutants(chapter: str) -> list[Mutant]:
    module = importlib.import_module(f"mutants.rules.{chapter}")
    return [value for value in vars(module).values() if isinstance(value, Mutant)]


MUTANTS: tuple[Mutant, ...] = tuple(one for chapter in _CHAPTERS for one in _mutants(chapter))
