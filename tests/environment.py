"""The environment of the programs that tests start."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["environment", "inherited"]

_NAMES = frozenset(
    (
        *("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV"),
        # How packages are fetched, and built.
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        *("LD_LIBRARY_PATH", "REQUESTS_CA_BUNDLE", "SOURCE_DATE_EPOCH"),
    )
)
_BEGINNINGS = ("LANG", "LC_", "PIP_", "PYENV_", "PYTHON", "SSL_CERT_", "UV", "XDG_")


def inherited() -> dict[str, str]:
    """What a program needs of the environment of the tests.

    Named one by one, because a service for continuous integration, a terminal and a developer set
    what changes the output of programs (``CI``, ``FORCE_COLOR``, ``PYTEST_ADDOPTS``), and no list
    of that is ever complete.
    """
    return {
        name: text
        for name, text in os.environ.items()
        if name in _NAMES or name.startswith(_BEGINNINGS)
    }


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """That of somebody who has activated the one that the tests run in, and has chosen no backend.

    :param more: variables beside, or in place of others.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**inherited(), "PATH": path, **(more or {})}
