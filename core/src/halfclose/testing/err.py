"""ERR rules."""

from __future__ import annotations

__all__ = ["FailureRules"]


class FailureRules:
    """To come."""
