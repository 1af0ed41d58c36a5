"""What a plugin's ``implementation`` and ``channel_types`` name, and should not."""

from __future__ import annotations

from typing import Any

from halfclose import Backend

__all__ = ["CHANNEL_TYPES", "NOT_A_CLASS", "Unfinished"]

NOT_A_CLASS = object()

CHANNEL_TYPES = ["tcp", "unix"]


class Unfinished(Backend):
    """One method of many: no instance of it can be made."""

    run: Any = classmethod(lambda cls, name, options, main, args: cls(name, options))
