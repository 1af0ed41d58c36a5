"""``halfclose explore``: performs random scripts until one breaks the contract."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from random import SystemRandom

from ..reasons import BackendError
from ..testing.exploration.exploring import explore as search
from ..testing.exploration.exploring import replay as perform
from ..testing.exploration.parsing import ScriptError
from ..text import one_line
from .listing import installed, load_error
from .progress import progress
from .report import FAILED, USAGE, Problem, say
from .screen import console
from .stopping import Stopped, stoppable

__all__ = ["explore", "replay"]


def explore(names: Sequence[str], seconds: float, seed: int | None) -> int:
    """Search each backend for a script that breaks the contract, and print the shortest found.

    :param names: names of the backends; a name that comes twice counts once.
    :param seconds: how long to search each backend.
    :param seed: decides which scripts are tried; None: a random seed.
    :returns: the exit status: 0 if every backend loads, and no script broke the contract.
    :raises BackendNotFound: a backend is not installed; nothing has run.
    :raises Problem: the search itself failed.
    :raises Stopped: a signal came.
    """
    drawn = SystemRandom().randrange(1 << 32) if seed is None else seed
    return _each(names, lambda name: _explored(name, seconds, drawn))


def replay(names: Sequence[str], script: str) -> int:
    """Perform one script on each backend, and print whether the contract was kept.

    :param names: names of the backends; a name that comes twice counts once.
    :param script: the script, as `explore` has printed it.
    :returns: the exit status: 0 if every backend loads and keeps the contract.
    :raises BackendNotFound: a backend is not installed; nothing has run.
    :raises Problem: *script* is no script, or cannot be performed on that backend.
    :raises Stopped: a signal came.
    """

    def replayed(name: str) -> tuple[str, bool]:
        report = perform(name, script)
        return str(report), report.passed

    return _each(names, replayed)


def _each(names: Sequence[str], do: Callable[[str], tuple[str, bool]]) -> int:
    """Call *do* with each backend that loads, and print its text.

    :param do: gives a text, and whether all is well.
    :returns: the exit status.
    """
    status = 0
    out = console()
    for name in installed(names):
        error = load_error(name)
        said, passed = "", False
        try:
            if error is None:
                with stoppable():
                    said, passed = do(name)
        except Stopped:
            out.print(f"{name}: interrupted", soft_wrap=True)
            raise
        except BackendError as failed:
            error = one_line(failed)
        except ScriptError as wrong:
            raise Problem(one_line(wrong), USAGE) from None
        except Exception as problem:
            raise Problem(f"{name}: {type(problem).__name__}: {one_line(problem)}") from problem
        if error is not None:
            say(f"halfclose: {error}")
        else:
            out.print(said, soft_wrap=True)
        if not passed:
            status = FAILED
    return status


def _explored(name: str, seconds: float, seed: int) -> tuple[str, bool]:
    """Search one backend; give what to print, and whether no script broke the contract."""
    begun = time.monotonic()
    performed = 0
    with progress(seconds, " s") as advance:
        before = begun

        def count() -> None:
            nonlocal performed, before
            performed += 1
            now = time.monotonic()
            advance(f"{name}, {performed} scripts", by=now - before)
            before = now

        found = search(name, seconds, seed, count)
    took = f"{performed} scripts in {time.monotonic() - begun:.1f} s, seed {seed}"
    if found is None and not performed:
        return f"{name}: {took}, which proves nothing: give it more with --seconds", False
    if found is None:
        return f"{name}: {took}: none broke a rule.", True
    return f"{found}\n\n{name}: {took}: this is the shortest that breaks a rule.", False
