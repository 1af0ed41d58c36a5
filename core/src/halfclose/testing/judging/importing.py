"""Imports the suite in a program that pytest does not run, such as ``halfclose contract``."""

from __future__ import annotations

import os
import sys
import tempfile
from unittest import mock

import pytest

from .explaining import explain_assertions

__all__ = ["import_explained"]


def import_explained() -> None:
    """Import the suite so that its failed assertions show the values that they compared.

    Only pytest can rewrite the assertions, and only of modules that are imported while it runs. If
    it is not running, this starts it for the import alone.
    """
    if "PYTEST_VERSION" in os.environ or f"{__package__}.suite" in sys.modules:
        return

    class Import:
        def pytest_configure(self) -> None:
            explain_assertions()
            from . import suite  # noqa: F401

    alone = {"PYTEST_ADDOPTS": "", "PYTEST_PLUGINS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    # The first two would write files and a report; the third fails without a stderr.
    without = ("cacheprovider", "terminal", "faulthandler")
    plugins = [word for name in without for word in ("-p", f"no:{name}")]
    with tempfile.TemporaryDirectory() as nowhere, mock.patch.dict(os.environ, alone):
        options = ["--noconftest", "-c", os.devnull, "--rootdir", nowhere, nowhere]
        status = pytest.main([*plugins, *options], [Import()])
    if status == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
