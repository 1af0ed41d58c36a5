"""`run` starts a backend's framework; `open_backend` uses a framework that runs already."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from .backend import Backend
from .discovery import find_occupant, load_backend, select_backend

__all__ = ["already_runs", "open_backend", "run"]

T = TypeVar("T")


def run(
    main: Callable[..., Awaitable[T]],
    *args: object,
    backend: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> T:
    """Run ``main(backend, *args)`` in an event loop of its own and return its result.

    It can be called as often as you like, and leaves nothing behind. When ``main`` has returned,
    every connection is closed, and the call waits for them to end (rule END-03). If ``main``
    raises, every connection is aborted.

    :param main: an asynchronous function.
    :param args: what ``main`` gets after the backend.
    :param backend: the backend's name; by default the value of ``HALFCLOSE_BACKEND``, or the only
        backend that is installed, or the one with the highest priority.
    :param options: see `Backend` and the backend's own documentation.
    :raises BackendNotFound: no such backend is installed.
    :raises BackendLoadError: the backend does not load, or two distributions offer it.
    :raises RuntimeError: an event loop of any framework runs in this thread already, and would
        stand still during the call. Use `open_backend` there, or another thread. Only the backend
        ``memory`` can run while another framework's loop does.
    :raises TypeError: the backend does not know one of the *options*.
    :raises ValueError: the value of one of the *options* is out of range.
    :raises KeyboardInterrupt: on SIGINT, after ``main`` was cancelled.
    :raises BaseException: whatever ``main`` raised, in no exception group.
    """
    name = select_backend(backend, running=False)
    implementation = load_backend(name)
    if not implementation.runs_inside:
        occupant = find_occupant()
        if occupant is not None:
            raise already_runs(name, occupant)
    return implementation.run(name, options, main, args)


def already_runs(name: str, occupant: str) -> RuntimeError:
    """The error that `run` raises because an event loop runs in this thread already.

    :param name: the backend that cannot run here.
    :param occupant: what runs in this thread, in words.
    """
    return RuntimeError(
        f"halfclose.run cannot run the backend {name!r} here: {occupant} runs in this thread "
        "already; inside of it, use `async with halfclose.open_backend() as backend:`"
    )


def open_backend(name: str | None = None, options: Mapping[str, Any] | None = None) -> Backend:
    """A backend in the program's own running event loop: ``async with open_backend() as backend``.

    Leaving the block closes every connection and waits for them to end (rule END-03). If the body
    of the block raised or was cancelled, leaving aborts every connection instead. The exception of
    the body is raised as it is, in no exception group.

    If the framework allows it, one task can enter the block and another leave it, as test fixtures
    and pairs of ``start`` and ``stop`` methods do. Otherwise leaving raises RuntimeError, whose
    message says what to do.

    :param name: the backend's name; by default that of the framework that is running.
    :param options: see `Backend` and the backend's own documentation.
    :raises BackendNotFound: no such backend is installed.
    :raises BackendLoadError: the backend does not load, or two distributions offer it.
    :raises TypeError: the backend does not know one of the *options*.
    :raises ValueError: the value of one of the *options* is out of range.
    :raises RuntimeError: on entering, if the backend's framework is not running.
    """
    chosen = select_backend(name, running=True)
    return load_backend(chosen)(chosen, options)
