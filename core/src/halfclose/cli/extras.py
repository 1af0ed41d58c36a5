"""Checks for packages that only some commands need."""

from __future__ import annotations

from importlib.util import find_spec

from ..install_hints import install_command
from .report import Problem

__all__ = ["need_testing"]


def need_testing() -> None:
    """Make sure that the contract suite can be imported.

    :raises Problem: pytest or Hypothesis is not installed; the message tells how to install it.
    """
    missing = [name for name in ("pytest", "hypothesis") if find_spec(name) is None]
    if missing:
        command = install_command("halfclose[testing]")
        raise Problem(f"the suite needs {' and '.join(missing)}: {command}")
