"""Hypothesis's profiles for exploring."""

from __future__ import annotations

from hypothesis import settings

__all__ = ["LONG", "register_profiles"]

LONG = 200_000
"""Scripts for each type of channel in the profile ``long``, which take most of an hour."""


def register_profiles() -> None:
    """Register the profile ``long``, so that ``pytest --hypothesis-profile=long`` works.

    Call it in a ``conftest.py``. Without that option, Hypothesis's default profile performs 100
    scripts for each type of channel. Idempotent.
    """
    settings.register_profile("long", max_examples=LONG, derandomize=False, deadline=None)
