"""The backend on trio."""

from __future__ import annotations

from typing import Any

import trio  # noqa: F401

from .backend import AnyioBackend

__all__ = ["TrioBackend"]


class TrioBackend(AnyioBackend):
    """`AnyioBackend`, on trio."""

    runner: tuple[str, dict[str, Any]] = ("trio", {})
