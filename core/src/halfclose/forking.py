"""Forks: what a child process inherits of its parent's connections, and must leave alone.

A child of fork(2) gets a copy of every descriptor, and of all that is in memory. What is behind
the descriptors is not copied but shared: the connections, the listening sockets, the epoll
instances and what is registered there, the settings of a terminal. To close in the child what
the parent uses would change it for the parent, and to hold on to it keeps a peer from seeing an
end. So in the child every backend that was in use is its parent's (rule ERR-18; docs/forking.md):
its connections are over, its descriptors are replaced, and who would come back to its loop ends.
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
    """A backend, as far as `end` looks at it."""

    name: str
    foreign: int | None


class Inherited(Interface):
    """A backend, as far as a fork concerns it."""

    @property
    def in_use(self) -> bool:
        """Whether a child that is forked now must leave it alone."""

    def disown(self, parent: int) -> None:
        """In a child: everything in it belongs to the process *parent*."""


_backends: set[ReferenceType[Inherited]] = set()
_parent = 0
_has_forked = False


def note(backend: Inherited) -> None:
    """A child is to be told that *backend* is its parent's, if it is in use then."""
    # What is called when a backend is freed must not be Python: ^C would be raised in it, where
    # nobody hears of it (a WeakSet loses it so).
    _backends.add(ref(backend, _backends.discard))


def has_forked() -> bool:
    """Whether this process has forked, so that children may hold copies of its descriptors.

    To run a program does not count (`subprocess`): it inherits what it is given, and no more.
    """
    return _has_forked


def _before() -> None:
    # Not afterwards: other threads may run between the fork and that.
    global _parent, _has_forked
    _parent = os.getpid()
    _has_forked = True


def _in_child() -> None:
    global _has_forked
    # What it opens from now on, nobody else has.
    _has_forked = False
    known = [reference() for reference in _backends.copy()]
    inherited = [backend for backend in known if backend is not None and backend.in_use]
    if not inherited:
        return
    # Or each signal of the child would wake the parent's loop, as if it had been the parent's.
    with suppress(ValueError):
        signal.set_wakeup_fd(-1)
    for backend in inherited:
        backend.disown(_parent)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_child=_in_child)


def vacate(descriptors: Iterable[int]) -> None:
    """Let go of this process's copies of *descriptors*, and let /dev/null have their numbers.

    Whoever holds a number, a framework's transport for one, can close it as ever, and closes no
    stranger's descriptor by it.
    """
    try:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        # The copies stay. What the parent ends, it ends for them too (`syscalls.reset`).
        return
    for fd in descriptors:
        if fd >= 0 and fd != null:
            with suppress(OSError):
                os.dup2(null, fd, inheritable=False)
    os.close(null)


def end(backend: Running, error: BaseException | None) -> NoReturn:
    """End this process, which was forked inside *backend* and has come back to it.

    There is no way on: the loop is the parent's, and to leave it would unregister there what the
    parent waits for. So the child ends as those of `multiprocessing` do: without what the parent
    has to do at its own end.

    :param error: what it came back with: SystemExit tells the status; any other exception, or
        None, is shown, and the status is 1.
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
    """What `sys.exit` makes of *code*."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1
