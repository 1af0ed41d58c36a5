"""A plugin whose hook raises."""

from __future__ import annotations

from halfclose import BackendSpec, hookimpl

__all__ = ["halfclose_backends"]


@hookimpl
def halfclose_backends() -> list[BackendSpec]:
    """Fail."""
    raise ZeroDivisionError("a hook of tests/third_party/broken that fails when it is called")
