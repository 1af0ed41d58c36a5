"""The backend on trio."""

from __future__ import annotations

from typing import Any, ClassVar

import trio  # noqa: F401

from .backend import AnyioBackend

__all__ = ["TrioBackend"]


class TrioBackend(AnyioBackend):
    """`AnyioBackend`, on trio."""

    runner: ClassVar[tuple[str, dict[str, Any]]] = ("trio", {})
