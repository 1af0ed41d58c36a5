"""The backend on a reactor over uvloop.

It imports uvloop, so that the program is told early if that is not installed.
"""

from __future__ import annotations

import uvloop  # noqa: F401

from .backend import TwistedBackend

__all__ = ["UvloopBackend"]


class UvloopBackend(TwistedBackend):
    """`TwistedBackend`, on a reactor over uvloop."""
