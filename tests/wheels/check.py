"""Builds the wheels, installs them where nothing else is, and runs the contract from there.

``.ci/wheels`` runs it; with names of jobs, only these. One that fails shows why.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from wheels.building import Wheels, build_all
from wheels.jobs.bounds import lowest, newest
from wheels.jobs.documented import checkout
from wheels.jobs.hints import hints
from wheels.jobs.installed import anyio, core, together, twisted
from wheels.jobs.published import index
from wheels.jobs.reproducible import reproducible
from wheels.jobs.typed import types

JOBS: dict[str, Callable[[Wheels], None]] = {
    job.__name__: job
    for job in (
        index,
        reproducible,
        core,
        twisted,
        anyio,
        together,
        types,
        checkout,
        hints,
        lowest,
        newest,
    )
}

PYTHONS = (("3.11",), ("3.14", "3.13", "3.12"))
"""The oldest and the newest Python that the wheels say they work with; where a machine has not the
newest, the next one."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", choices=[[], *JOBS], help="all, by default")
    parser.add_argument(
        "--python",
        action="append",
        metavar="VERSION",
        help="on which lowest and newest run; by default the oldest, and the newest that is found",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="halfclose-wheels-") as temporary:
        pythons = [(version,) for version in arguments.python or ()]
        wheels = Wheels(Path(temporary), pythons or PYTHONS)
        if not _passes("build", lambda: build_all(wheels)):
            return 1
        chosen = arguments.jobs or list(JOBS)
        # A list, so that each runs, whether or not one before it has failed.
        passed = [_passes(name, lambda name=name: JOBS[name](wheels)) for name in chosen]  # type: ignore[misc]
    return 0 if all(passed) else 1


def _passes(name: str, step: Callable[[], None]) -> bool:
    """Run *step*, and tell how it went."""
    begun = time.monotonic()
    try:
        step()
    except AssertionError as failure:
        print(f"wheels: {name} failed: {failure}", file=sys.stderr, flush=True)
        return False
    print(f"wheels: {name} passed in {time.monotonic() - begun:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
