"""Lets the suite's assertions show the values that they compare, as those of a test file do."""

from __future__ import annotations

import os
import pathlib
import pkgutil
import sys
import tempfile
from collections.abc import Iterator
from unittest import mock

import pytest

__all__ = ["demand_assertions", "explain_assertions", "explain_outside_of_pytest"]

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


def explain_outside_of_pytest() -> None:
    """The same where pytest is not running: it rewrites what is imported while it does."""
    if "PYTEST_VERSION" in os.environ or f"{__package__}.suite" in sys.modules:
        return

    class Import:
        def pytest_configure(self) -> None:
            from .. import ContractSuite  # noqa: F401

    alone = {"PYTEST_ADDOPTS": "", "PYTEST_PLUGINS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    # The first two write, the third needs a stderr.
    without = ("cacheprovider", "terminal", "faulthandler")
    plugins = [word for name in without for word in ("-p", f"no:{name}")]
    with tempfile.TemporaryDirectory() as nowhere, mock.patch.dict(os.environ, alone):
        options = ["--noconftest", "-c", os.devnull, "--rootdir", nowhere, nowhere]
        status = pytest.main([*plugins, *options], [Import()])
    if status == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
