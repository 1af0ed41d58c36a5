"""Lets the suite's assertions show the values that they compare, as those of a test file do."""

from __future__ import annotations

import pathlib
import pkgutil
import sys
from collections.abc import Iterator

import pytest

__all__ = ["demand_assertions", "explain_assertions"]

_KIT = __package__.rpartition(".")[0]

_FOLDERS = ("rules", "tools")
"""Where the assertions of rules stand."""


def demand_assertions() -> None:
    """The suite is made of assertions.

    :raises RuntimeError: Python was told to leave them out.
    """
    if not __debug__:
        raise RuntimeError(
            "the suite is made of assertions: run Python without -O and without PYTHONOPTIMIZE"
        )


def explain_assertions() -> None:
    """Have pytest, if it is running, rewrite the assertions of modules not imported yet."""
    pytest.register_assert_rewrite(*(name for name in _modules() if name not in sys.modules))


def _modules() -> Iterator[str]:
    above = pathlib.Path(__file__).parents[1]
    for folder in _FOLDERS:
        for module in pkgutil.iter_modules([str(above / folder)]):
            yield f"{_KIT}.{folder}.{module.name}"
