"""What discovery reads. Importing it imports no event loop."""

from __future__ import annotations

import sys

from halfclose import BackendSpec, hookimpl

__all__ = ["halfclose_backends"]


def _runs() -> bool:
    loop = sys.modules.get("stranger_loop.loop")
    return loop is not None and loop.running() is not None


@hookimpl
def halfclose_backends() -> list[BackendSpec]:
    """One backend, and no variants."""
    return [
        BackendSpec(
            "stranger",
            "stranger_loop.backend:StrangerBackend",
            running=_runs,
            install="pip install stranger-loop",
            kinds="stranger_loop.testing:KINDS",
        )
    ]
