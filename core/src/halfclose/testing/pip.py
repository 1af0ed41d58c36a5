"""PIP rules."""

from __future__ import annotations

__all__ = ["PipeRules"]


class PipeRules:
    """To come."""
