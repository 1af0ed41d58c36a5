"""Makes the suite's failed assertions show the values that they compared, as in a test file."""

from __future__ import annotations

import pathlib
import pkgutil
import sys
from collections.abc import Iterator

import pytest

__all__ = ["demand_assertions", "explain_assertions"]

_KIT = __package__.rpartition(".")[0]

_FOLDERS = ("rules", "tools")
"""The folders whose modules contain the assertions of rules."""


def demand_assertions() -> None:
    """Make sure that Python executes assertions, since without them every rule would pass.

    :raises RuntimeError: Python was told to leave them out.
    """
    if not __debug__:
        raise RuntimeError(
            "the suite is made of assertions: run Python without -O and without PYTHONOPTIMIZE"
        )


def explain_assertions() -> None:
    """Have pytest, if it is running, rewrite the assertions of modules that are not yet imported.

    A module that was imported before keeps its assertions as they are.
    """
    pytest.register_assert_rewrite(*(name for name in _modules() if name not in sys.modules))


def _modules() -> Iterator[str]:
    above = pathlib.Path(__file__).parents[1]
    for folder in _FOLDERS:
        for module in pkgutil.iter_modules([str(above / folder)]):
            yield f"{_KIT}.{folder}.{module.name}"
