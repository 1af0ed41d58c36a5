"""FLU rules."""

from __future__ import annotations

__all__ = ["FlushingRules"]


class FlushingRules:
    """To come."""
