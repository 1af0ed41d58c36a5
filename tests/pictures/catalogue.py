"""Every picture, by the name of its file in docs/pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .half_close import half_close

__all__ = ["FOLDER", "PICTURES"]

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"

PICTURES: dict[str, Callable[[], str]] = {
    "half-close": half_close,
}
