"""What discovery reads: the backends by name. Importing it imports nothing of Twisted."""

from __future__ import annotations

import inspect
import os
import sys
from typing import Any

from halfclose.hooks import BackendSpec, hookimpl

__all__ = ["VARIANTS", "halfclose_backends"]

_CHANNEL_TYPES = "halfclose_twisted.testing:CHANNEL_TYPES"
_HOSTS = "halfclose_twisted.hosts:HOSTS"

VARIANTS = ("select", "poll", "epoll", "asyncio", "uvloop")


def _reactor_runs() -> bool:
    ours = sys.modules.get("halfclose_twisted.reactors")
    if ours is not None and ours.current() is not None:
        return True
    # One that is installed counts: the main of task.react begins before its reactor does.
    return "twisted.internet.reactor" in sys.modules


_of_parent: Any = None
"""In a child that was forked inside the program's reactor, that one: it runs in the parent only."""


def _in_child() -> None:
    global _of_parent
    reactor = sys.modules.get("twisted.internet.reactor")
    _of_parent = reactor if getattr(reactor, "running", False) else None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def _has_called_us(reactor: Any) -> bool:
    """Whether the caller was called by *reactor*, from its ``run``.

    Twisted's ``isInIOThread`` does not say so: it names the thread that has begun to run a reactor
    last, which may be one in which `halfclose.run` runs, or has run, another.
    """
    code = getattr(getattr(type(reactor), "run", None), "__code__", None)
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code is code:
            return True
        frame = frame.f_back
    return False


def _is_in_io_thread() -> bool:
    """Twisted's answer, where no reactor of ours was run in this thread."""
    ours = sys.modules.get("halfclose_twisted.reactors")
    threadable = sys.modules.get("twisted.python.threadable")
    if threadable is None or (ours is not None and ours.has_run_here()):
        return False
    return bool(threadable.isInIOThread())


def _occupant() -> str | None:
    """The reactor that runs in this thread, the program's own too, or another's asyncio loop."""
    ours = sys.modules.get("halfclose_twisted.reactors")
    reactor = ours.current() if ours is not None else None
    if reactor is None:
        reactor = sys.modules.get("twisted.internet.reactor")
        if not getattr(reactor, "running", False) or reactor is _of_parent:
            reactor = None
        elif not _has_called_us(reactor) and not _is_in_io_thread():
            # It runs in another thread.
            reactor = None
    if reactor is not None:
        return f"a Twisted reactor ({type(reactor).__name__})"
    asyncio = sys.modules.get("asyncio")
    try:
        return "an asyncio event loop" if asyncio and asyncio.get_running_loop() else None
    except RuntimeError:
        return None


@hookimpl
def halfclose_backends() -> list[BackendSpec]:
    """``twisted``, the platform's best reactor or the one that runs, and one for each reactor."""
    default = BackendSpec(
        "twisted",
        "halfclose_twisted.backend:TwistedBackend",
        running=_reactor_runs,
        priority=20,
        install="pip install halfclose-twisted",
        channel_types=_CHANNEL_TYPES,
        hosts=_HOSTS,
        occupant=_occupant,
    )
    variants = [
        BackendSpec(
            f"twisted+{variant}",
            "halfclose_twisted.uvloop:UvloopBackend"
            if variant == "uvloop"
            else "halfclose_twisted.backend:TwistedBackend",
            priority=10,
            install="pip install 'halfclose-twisted[uvloop]'"
            if variant == "uvloop"
            else "pip install halfclose-twisted",
            channel_types=_CHANNEL_TYPES,
            hosts=_HOSTS,
            occupant=_occupant,
        )
        for variant in VARIANTS
    ]
    return [default, *variants]
