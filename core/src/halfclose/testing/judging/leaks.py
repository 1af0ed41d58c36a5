"""Finds what a program leaves behind: descriptors, threads, tasks, errors nobody could catch."""

from __future__ import annotations

import gc
import glob
import logging
import os
import sys
import threading
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["Footprint", "descriptors", "unheard"]

_PATIENCE = 1.0
"""Seconds that are waited for a thread to end, since it may be about to."""


def descriptors() -> set[str]:
    """The open descriptors of this process, each with the file behind it, as text."""
    found = set()
    for fd in os.listdir("/dev/fd"):
        try:
            found.add(f"descriptor {fd} ({os.readlink(f'/dev/fd/{fd}')})")
        except OSError:
            continue
    return found


def _children() -> set[str]:
    """The ids of this process's children; empty on a system that does not list them."""
    found: set[str] = set()
    for file in glob.glob("/proc/self/task/*/children"):
        with suppress(OSError), open(file) as children:
            found.update(children.read().split())
    return found


def _suspended() -> dict[int, Any]:
    """The coroutines and asynchronous generators that were begun and are waiting now, by id."""
    found = {}
    for thing in gc.get_objects():
        if isinstance(thing, types.CoroutineType):
            waits = thing.cr_frame is not None and not thing.cr_running
        elif isinstance(thing, types.AsyncGeneratorType):
            waits = thing.ag_frame is not None and not thing.ag_running
        else:
            continue
        if waits:
            found[id(thing)] = thing
    return found


class Footprint:
    """Notes what this process holds when it is made, and later tells what has been added."""

    def __init__(self) -> None:
        gc.collect()
        self._descriptors = descriptors()
        self._threads = set(threading.enumerate())
        self._children = _children()
        self._tasks = _suspended()

    def left(self) -> list[str]:
        """The names of new threads, tasks and processes, none of which may stay."""
        gc.collect()
        left = [f"thread {thread.name}" for thread in self._new_threads(daemon=False)]
        left += [f"task {task.__qualname__}" for task in self._new_tasks()]
        left += [f"process {number}" for number in _children() - self._children]
        return sorted(left)

    def kept(self) -> list[str]:
        """The names of new descriptors and daemon threads.

        A framework may keep them for its next run. So they are a leak only if more come with each
        run.
        """
        gc.collect()
        kept = [f"thread {thread.name}" for thread in self._new_threads(daemon=True)]
        return sorted(descriptors() - self._descriptors) + sorted(kept)

    def _new_threads(self, *, daemon: bool) -> Iterator[threading.Thread]:
        for thread in set(threading.enumerate()) - self._threads:
            if thread.daemon is daemon:
                if not daemon:
                    thread.join(_PATIENCE)
                if thread.is_alive():
                    yield thread

    def _new_tasks(self) -> list[Any]:
        return [task for key, task in _suspended().items() if key not in self._tasks]


@contextmanager
def unheard() -> Iterator[list[str]]:
    """Collect errors that would only be printed or logged, and so fail no test.

    These are errors in finalizers and threads, warnings about resources that were never closed and
    coroutines that were never awaited, and what an event loop logs about tasks that were dropped.
    """
    heard: list[str] = []

    def unraisable(args: Any) -> None:
        where = f" in {args.object!r}" if args.object is not None else ""
        heard.append(f"{type(args.exc_value).__name__}: {args.exc_value}{where}")

    def in_thread(args: Any) -> None:
        name = args.thread.name if args.thread is not None else "?"
        heard.append(f"{args.exc_type.__name__}: {args.exc_value} in thread {name}")

    class Collecting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if collecting[0] and record.levelno >= logging.ERROR:
                heard.append(f"logged by {record.name}: {record.getMessage()}")

    collecting = [False]
    handler = Collecting()
    before = sys.unraisablehook, threading.excepthook
    sys.unraisablehook, threading.excepthook = unraisable, in_thread
    logging.getLogger().addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            warnings.filterwarnings("error", ".*never awaited", RuntimeWarning)
            yield heard
            collecting[0] = True
            gc.collect()
    finally:
        logging.getLogger().removeHandler(handler)
        sys.unraisablehook, threading.excepthook = before
