"""What discovery reads. Importing it imports no event loop."""

from __future__ import annotations

import sys

from halfclose import BackendSpec, hookimpl

__all__ = ["halfclose_backends"]


def _runs() -> bool:
    loop = sys.modules.get("example_loop.loop")
    return loop is not None and loop.running() is not None


@hookimpl
def halfclose_backends() -> list[BackendSpec]:
    """One backend, and no variants."""
    return [
        BackendSpec(
            "example",
            "example_loop.backend:ExampleBackend",
            running=_runs,
            install="pip install example-loop",
            channel_types="example_loop.testing:CHANNEL_TYPES",
        )
    ]
