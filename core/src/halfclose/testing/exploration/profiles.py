"""Profiles of Hypothesis for exploring."""

from __future__ import annotations

from hypothesis import settings

__all__ = ["LONG", "register_profiles"]

LONG = 200_000
"""Scripts for each type of channel in the profile ``long``: most of an hour."""


def register_profiles() -> None:
    """Register the profile ``long``, for ``pytest --hypothesis-profile=long``.

    For a ``conftest.py``. Without it the profile that is loaded decides, by default 100 scripts
    for each type of channel. Idempotent.
    """
    settings.register_profile("long", max_examples=LONG, derandomize=False, deadline=None)
