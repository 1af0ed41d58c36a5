"""What discovery reads: the backends by name. Importing it imports no event loop."""

from __future__ import annotations

import os
import sys
from typing import Any

from halfclose.hooks import BackendSpec, hookimpl

__all__ = ["halfclose_backends"]

_CHANNEL_TYPES = "halfclose_anyio.testing:CHANNEL_TYPES"


_of_parent: Any = None
"""In a child that was forked inside a trio run, that run, which goes on in the parent only."""


def _trio_run() -> Any:
    """The trio run of this thread, or None."""
    trio = sys.modules.get("trio")
    if trio is None or not trio.lowlevel.in_trio_run():
        return None
    return trio.lowlevel.current_trio_token()


def _trio_runs() -> bool:
    run = _trio_run()
    return run is not None and run is not _of_parent


def _in_child() -> None:
    global _of_parent
    _of_parent = _trio_run()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def _asyncio_loop() -> str | None:
    """The package of the asyncio loop of which a task is running in this thread."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        # A coroutine of another framework on such a loop sees a loop, and no task of it.
        if asyncio.current_task() is None:
            return None
    except RuntimeError:
        return None
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def _uvloop_runs() -> bool:
    return _asyncio_loop() == "uvloop"


def _asyncio_runs() -> bool:
    return _asyncio_loop() not in (None, "uvloop")


def _occupant() -> str | None:
    if _trio_runs():
        return "a trio run"
    asyncio = sys.modules.get("asyncio")
    try:
        loop = asyncio.get_running_loop() if asyncio is not None else None
    except RuntimeError:
        loop = None
    if loop is None:
        return None
    package = type(loop).__module__.partition(".")[0]
    return "a uvloop event loop" if package == "uvloop" else "an asyncio event loop"


@hookimpl
def halfclose_backends() -> list[BackendSpec]:
    """``anyio``, asyncio or the loop that runs, and one for each loop."""
    return [
        BackendSpec(
            "anyio",
            "halfclose_anyio.backend:AnyioBackend",
            priority=40,
            install="pip install halfclose-anyio",
            channel_types=_CHANNEL_TYPES,
            hosts="halfclose_anyio.hosts:ASYNCIO",
            occupant=_occupant,
        ),
        BackendSpec(
            "anyio+asyncio",
            "halfclose_anyio.backend:AnyioBackend",
            running=_asyncio_runs,
            priority=30,
            install="pip install halfclose-anyio",
            channel_types=_CHANNEL_TYPES,
            hosts="halfclose_anyio.hosts:ASYNCIO",
            occupant=_occupant,
        ),
        BackendSpec(
            "anyio+uvloop",
            "halfclose_anyio.uvloop:UvloopBackend",
            running=_uvloop_runs,
            priority=30,
            install="pip install 'halfclose-anyio[uvloop]'",
            channel_types=_CHANNEL_TYPES,
            hosts="halfclose_anyio.hosts:UVLOOP",
            occupant=_occupant,
        ),
        BackendSpec(
            "anyio+trio",
            "halfclose_anyio.trio:TrioBackend",
            running=_trio_runs,
            priority=30,
            install="pip install 'halfclose-anyio[trio]'",
            channel_types="halfclose_anyio.testing:TRIO_CHANNEL_TYPES",
            hosts="halfclose_anyio.hosts:TRIO",
            occupant=_occupant,
        ),
    ]
