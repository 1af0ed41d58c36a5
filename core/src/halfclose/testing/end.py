"""END rules."""

from __future__ import annotations

__all__ = ["EndRules"]


class EndRules:
    """To come."""
