"""The environment of the programs that tests start."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["environment"]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """That of somebody who has activated the one that the tests run in, and has chosen no backend.

    :param more: variables beside, or in place of others.
    """
    kept = {name: text for name, text in os.environ.items() if not name.startswith("HALFCLOSE_")}
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**kept, **(more or {})}
