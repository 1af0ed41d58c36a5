"""Lets the suite's assertions show the values that they compare, as those of a test file do."""

from __future__ import annotations

import os
import sys
import tempfile
from unittest import mock

import pytest

__all__ = ["demand_assertions", "explain_assertions", "explain_outside_of_pytest"]

_KIT = __package__.rpartition(".")[0]

_RULES = (
    *("events", "verbs", "flushing", "producers", "failures", "closing", "pipes"),
    *("loops", "instead"),
)

_WITH_ASSERTIONS = (*(f"{_KIT}.rules.{module}" for module in _RULES), f"{_KIT}.tools.waiting")


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
    pytest.register_assert_rewrite(*(name for name in _WITH_ASSERTIONS if name not in sys.modules))


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
