"""Reactors of our own, each of which is lent for one run and then used again.

A reactor cannot be freed: each new one leaves the two descriptors of its waker behind. But if it is
ended by ``crash``, it can be run again. So the reactors of each variant are kept.
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
"""The reactors of each variant that nobody runs now."""

_lock = threading.Lock()
_local = threading.local()


def _asyncio_reactor(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Any:
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor

    return AsyncioSelectorReactor(new_loop())


def _uvloop_reactor() -> Any:
    import uvloop

    # If a standard descriptor is closed, one of libuv's own may get its number, and to close that
    # makes libuv abort the process.
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
    """Take a reactor that nobody runs, or make one.

    :param variant: a name such as ``"epoll"``; None for the best one of the platform.
    :returns: the variant's name and the reactor, both for `give_back`.
    """
    variant = variant or _default_variant()
    with _lock:
        idle = _idle.setdefault(variant, [])
        if idle:
            return variant, idle.pop()
    return variant, _make(variant)


def give_back(variant: str, reactor: Any) -> None:
    """Keep *reactor*, which has ended, so that it can be lent again."""
    with _lock:
        _idle[variant].append(reactor)


def enter(reactor: Any) -> Any:
    """Note that *reactor* runs in this thread now; None if none does.

    :returns: the reactor that ran before, or None.
    """
    before = current()
    _local.reactor = reactor
    _local.has_run = True
    return before


def current() -> Any:
    """The reactor that `halfclose.run` runs in this thread, or None."""
    return getattr(_local, "reactor", None)


def has_run_here() -> bool:
    """Whether `halfclose.run` has ever run a reactor in this thread."""
    return getattr(_local, "has_run", False)


def leave_io_thread() -> None:
    """Make Twisted's ``isInIOThread`` right again for the program's own reactor.

    Twisted remembers only the thread in which a reactor was begun last. That is now a thread of
    ours, while the program's reactor may run in another one.
    """
    program: Any = sys.modules.get("twisted.internet.reactor")
    if program is not None and program is not current() and getattr(program, "running", False):
        program.callFromThread(threadable.registerAsIOThread)


def _after_fork() -> None:
    """Forget all reactors, in a forked child: they share their descriptors with the parent's."""
    global _lock, _local
    _idle.clear()
    _lock = threading.Lock()
    # The reactor in which the child was forked does not run in the child.
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
    """Whether a uvloop event loop is running in this thread."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return False
    return type(loop).__module__.partition(".")[0] == "uvloop"


def asyncio_task_runs() -> bool:
    """Whether the caller is a task of asyncio's, which cannot await a Deferred of Twisted's."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def waits_for_its_loop(reactor: Any) -> bool:
    """Whether *reactor* is one over an asyncio loop, and the loop does not run yet.

    So it is in a function that the reactor was given by ``callWhenRunning``.
    """
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
