"""Reactors of our own, lent for one run and used again.

A reactor cannot be freed: each new instance leaves the two descriptors of its waker behind. One
that is ended with ``crash`` can be run again, so each variant keeps those that it made.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import select
import sys
import threading
from collections.abc import Callable
from typing import Any

from halfclose.io.standard import occupy
from twisted.python import threadable

__all__ = ["asyncio_task_runs", "borrow", "current", "give_back", "of_variant", "runs_on_uvloop"]

_idle: dict[str, list[Any]] = {}
_lock = threading.Lock()
_local = threading.local()


def _asyncio_reactor(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Any:
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor

    return AsyncioSelectorReactor(new_loop())


def _uvloop_reactor() -> Any:
    import uvloop

    # libuv aborts the process where it has to close a standard descriptor of its own.
    occupy()
    return _asyncio_reactor(uvloop.new_event_loop)


_CLASSES = {
    "select": ("twisted.internet.selectreactor", "SelectReactor"),
    "poll": ("twisted.internet.pollreactor", "PollReactor"),
    "epoll": ("twisted.internet.epollreactor", "EPollReactor"),
    "asyncio": ("twisted.internet.asyncioreactor", "AsyncioSelectorReactor"),
    "uvloop": ("twisted.internet.asyncioreactor", "AsyncioSelectorReactor"),
}


def _default_variant() -> str:
    if hasattr(select, "epoll"):
        return "epoll"
    return "poll" if hasattr(select, "poll") and sys.platform != "darwin" else "select"


def _make(variant: str) -> Any:
    if variant == "asyncio":
        return _asyncio_reactor(asyncio.SelectorEventLoop)
    if variant == "uvloop":
        return _uvloop_reactor()
    module, name = _CLASSES[variant]
    return getattr(importlib.import_module(module), name)()


def borrow(variant: str | None) -> tuple[str, Any]:
    """A reactor of that *variant* that nobody runs, and the variant's name."""
    variant = variant or _default_variant()
    with _lock:
        idle = _idle.setdefault(variant, [])
        if idle:
            return variant, idle.pop()
    return variant, _make(variant)


def give_back(variant: str, reactor: Any) -> None:
    """*reactor* has ended and may be lent again."""
    with _lock:
        _idle[variant].append(reactor)


def enter(reactor: Any) -> Any:
    """*reactor* is what runs in this thread now; give what ran before."""
    before = current()
    _local.reactor = reactor
    _local.has_run = True
    return before


def current() -> Any:
    """The reactor that `run` runs in this thread, or None."""
    return getattr(_local, "reactor", None)


def has_run_here() -> bool:
    """Whether `run` has ever run one in this thread."""
    return getattr(_local, "has_run", False)


def leave_io_thread() -> None:
    """A reactor of ours has begun, and Twisted takes its thread for the one of all reactors.

    A program whose own reactor runs in another thread may ask in which it is, and the answer
    is to stay right.
    """
    program: Any = sys.modules.get("twisted.internet.reactor")
    if program is not None and program is not current() and getattr(program, "running", False):
        program.callFromThread(threadable.registerAsIOThread)


def _after_fork() -> None:
    """The child shares the descriptors of the parent's reactors, and must use none of them."""
    global _lock, _local
    _idle.clear()
    _lock = threading.Lock()
    # The one that ran where the child was forked does not run in the child.
    _local = threading.local()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def of_variant(reactor: Any, variant: str) -> bool:
    """Whether *reactor*, which is running in this thread, is of that *variant*."""
    module, name = _CLASSES[variant]
    loaded = sys.modules.get(module)
    if loaded is None or not isinstance(reactor, getattr(loaded, name)):
        return False
    if variant in ("asyncio", "uvloop"):
        return runs_on_uvloop() == (variant == "uvloop")
    return True


def runs_on_uvloop() -> bool:
    """Whether the event loop that is running in this thread is uvloop's."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return False
    return type(loop).__module__.partition(".")[0] == "uvloop"


def asyncio_task_runs() -> bool:
    """Whether the caller is a task of asyncio's, which can await nothing of Twisted's."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def waits_for_its_loop(reactor: Any) -> bool:
    """Whether *reactor* is asyncio's, and its loop does not run yet, as in callWhenRunning."""
    module, name = _CLASSES["asyncio"]
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(reactor, getattr(loaded, name)) and not loop_runs()


def loop_runs() -> bool:
    """Whether an asyncio loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
