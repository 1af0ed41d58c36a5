"""What a plugin's ``implementation`` and ``kinds`` name, and should not."""

from __future__ import annotations

from typing import Any

from halfclose import Backend

__all__ = ["KINDS", "NOT_A_CLASS", "Unfinished"]

NOT_A_CLASS = object()

KINDS = ["tcp", "unix"]


class Unfinished(Backend):
    """One method of many: no instance of it can be made."""

    run: Any = classmethod(lambda cls, name, options, main, args: cls(name, options))
