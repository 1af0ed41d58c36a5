"""VRB rules."""

from __future__ import annotations

__all__ = ["VerbRules"]


class VerbRules:
    """To come."""
