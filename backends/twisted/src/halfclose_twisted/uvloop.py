"""The backend on a uvloop reactor; importing it imports uvloop, so that its lack is told early."""

from __future__ import annotations

import uvloop  # noqa: F401

from .backend import TwistedBackend

__all__ = ["UvloopBackend"]


class UvloopBackend(TwistedBackend):
    """`TwistedBackend`, where uvloop is known to be there."""
