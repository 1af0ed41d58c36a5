"""The two ways in: start a backend's framework, or use the one that runs already."""

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

    May be called again, as often as you like; nothing is left behind. When ``main`` has
    returned, every connection is closed and waited for (rule END-03); if it raises, they are
    aborted.

    :param main: an asynchronous function.
    :param backend: the backend's name; by default ``HALFCLOSE_BACKEND``, or the only one
        installed, or that with the highest priority.
    :param options: see `Backend` and the backend's own documentation.
    :raises BackendNotFound: no such backend is installed.
    :raises BackendLoadError: it does not load.
    :raises RuntimeError: an event loop runs in this thread already, of whatever framework, and
        would stand still meanwhile: use `open_backend` there, or another thread. Only the backend
        ``memory`` runs inside of another framework's loop.
    :raises KeyboardInterrupt: on SIGINT, after ``main`` was cancelled.
    :raises BaseException: whatever ``main`` raised, bare.
    """
    name = select_backend(backend, running=False)
    implementation = load_backend(name)
    if not implementation.runs_inside:
        occupant = find_occupant()
        if occupant is not None:
            raise already_runs(name, occupant)
    return implementation.run(name, options, main, args)


def already_runs(name: str, occupant: str) -> RuntimeError:
    """The error of `run` where the backend of that *name* cannot be run.

    :param occupant: what runs in this thread, in words.
    """
    return RuntimeError(
        f"halfclose.run cannot run the backend {name!r} here: {occupant} runs in this thread "
        "already; inside of it, use `async with halfclose.open_backend() as backend:`"
    )


def open_backend(name: str | None = None, options: Mapping[str, Any] | None = None) -> Backend:
    """A backend in the program's own running event loop: ``async with open_backend() as backend``.

    Leaving the block closes every connection and waits for them (rule END-03); where its body
    raised or was cancelled, it aborts them at once. The body's exception comes out bare.

    Where the framework allows it, one task may enter it and another leave it, as fixtures and
    pairs of ``start`` and ``stop`` methods do; where not, leaving raises RuntimeError and says
    what to do.

    :param name: the backend's name; by default the one whose framework is running.
    :param options: see `Backend` and the backend's own documentation.
    :raises BackendNotFound: no such backend is installed.
    :raises BackendLoadError: it does not load.
    :raises RuntimeError: on entering, where its framework is not running.
    """
    chosen = select_backend(name, running=True)
    return load_backend(chosen)(chosen, options)
