"""PRD rules."""

from __future__ import annotations

__all__ = ["ProducerRules"]


class ProducerRules:
    """To come."""
