"""Keeps a forked child process away from the connections of its parent.

A child of fork(2) gets a copy of the memory and of every descriptor. What is behind the descriptors
is not copied but shared: the connections, the listening sockets, the epoll instances and what is
registered there, the settings of a terminal. If the child closed them in the usual way, it would
change them for the parent. If it kept them open, peers would not see the parent's end of stream.

So in the child, every backend that was in use belongs to the parent (rule ERR-18;
docs/how-to/forking.md). The child sees its connections as closed, /dev/null takes the place of its
descriptors, and a child that comes back to its loop is ended.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterable
from contextlib import suppress
from typing import NoReturn
from typing import Protocol as Interface
from weakref import ReferenceType, ref

__all__ = ["Inherited", "Running", "end", "has_forked", "note", "vacate"]


class Running(Interface):
    """The part of a backend that `end` uses."""

    name: str
    foreign: int | None


class Inherited(Interface):
    """The part of a backend that is used at a fork."""

    @property
    def in_use(self) -> bool:
        """Whether a child that is forked now must leave this backend alone."""

    def disown(self, parent: int) -> None:
        """Give everything up, in a forked child, because it belongs to the process *parent*."""


_backends: set[ReferenceType[Inherited]] = set()
_parent = 0
_has_forked = False


def note(backend: Inherited) -> None:
    """Have *backend* disowned in each child that is forked while it is in use.

    The backend is not kept alive by this.
    """
    # No WeakSet, because it calls a Python function when a backend is freed. If ^C came in that
    # function, the interpreter would print the KeyboardInterrupt and drop it.
    _backends.add(ref(backend, _backends.discard))


def has_forked() -> bool:
    """Whether this process has forked, so that children may hold copies of its descriptors.

    Programs that were run with `subprocess` do not count, because they inherit only the descriptors
    that they are given.
    """
    return _has_forked


def _before() -> None:
    # Set before the fork, because other threads may run between the fork and a call after it.
    global _parent, _has_forked
    _parent = os.getpid()
    _has_forked = True


def _in_child() -> None:
    """Disown every backend that was in use in the parent."""
    global _has_forked
    # No other process has a copy of what this process opens from now on.
    _has_forked = False
    known = [reference() for reference in _backends.copy()]
    inherited = [backend for backend in known if backend is not None and backend.in_use]
    if not inherited:
        return
    # This descriptor is shared with the parent: a signal of the child would wake the parent's loop.
    with suppress(ValueError):
        signal.set_wakeup_fd(-1)
    for backend in inherited:
        backend.disown(_parent)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_child=_in_child)


def vacate(descriptors: Iterable[int]) -> None:
    """Close this process's copies of *descriptors*, and open /dev/null at their numbers.

    Objects such as a framework's transport still hold the numbers, and will close them. If the
    numbers were free, a file that is opened later could get one of them and be closed by mistake.
    """
    try:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        # The copies stay open. Peers still see the parent's ends, because a process that has forked
        # shuts its sockets down before it closes them (`syscalls.reset`, `syscalls.let_go`).
        return
    for fd in descriptors:
        if fd >= 0 and fd != null:
            with suppress(OSError):
                os.dup2(null, fd, inheritable=False)
    os.close(null)


def end(backend: Running, error: BaseException | None) -> NoReturn:
    """End this process, which was forked inside *backend* and has come back to it.

    The child cannot go on, because the loop is the parent's: to leave the loop in the usual way
    would unregister the descriptors that the parent waits for. So the child ends as a child of
    `multiprocessing` does, without the exit handlers, which are for the parent.

    :param error: the exception with which the child came back, if any. The code of a SystemExit is
        the status of the process. Otherwise the exception, or the reason of the end, is shown on
        stderr, and the status is 1.
    """
    status = 1
    try:
        if isinstance(error, SystemExit):
            status = _status(error.code)
        else:
            if error is not None:
                traceback.print_exception(error)
            print(
                f"halfclose: process {os.getpid()} was forked inside the backend {backend.name!r} "
                f"of process {backend.foreign}, and ends where it came back to it",
                file=sys.stderr,
            )
    finally:
        try:
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):
                    stream.flush()
        finally:
            os._exit(status)


def _status(code: object) -> int:
    """The status with which `sys.exit` would end a process for *code*, printed as it would be."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1
