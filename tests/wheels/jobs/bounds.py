"""Both ends of what the wheels say they work with: the lowest of each dependency, and the newest.

Each on the oldest and on the newest Python that this machine has, or on those that ``--python``
names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wheels.building import Wheels, dependencies
from wheels.environments import Environment
from wheels.interpreters import find
from wheels.names import ANYIO, ANYIO_VARIANTS, CORE, ONLY, TWISTED, TWISTED_VARIANTS
from wheels.steps import check_contract, say

__all__ = ["lowest", "newest"]


def lowest(wheels: Wheels) -> None:
    """The oldest of everything that the wheels depend on."""
    for version, python in _found(wheels):
        for name, wanted in (("twisted", TWISTED), ("anyio", ANYIO)):
            made = _environment(
                wheels, f"lowest-{name}-{version}", python, "lowest-direct", [CORE, wanted]
            )
            _check(made, name, whole=version in wheels.pythons[0])
            _tell("lowest", version, made, wheels, [CORE, wanted])


def newest(wheels: Wheels) -> None:
    """The newest of everything that can be had."""
    for version, python in _found(wheels):
        wanted = [CORE, TWISTED, ANYIO]
        made = _environment(wheels, f"newest-{version}", python, "highest", wanted)
        for name in ("twisted", "anyio"):
            _check(made, name, whole=False)
        _tell("newest", version, made, wheels, wanted)


def _found(wheels: Wheels) -> Iterator[tuple[str, str]]:
    """The interpreters that there are, of those that are asked for."""
    tried = False
    for versions in wheels.pythons:
        for version in versions:
            python = find(version)
            if python is not None:
                tried = True
                yield version, str(python)
                break
            print(f"wheels: there is no Python {version}; not tried on it", flush=True)
    assert tried, "there is none of these versions of Python"


def _environment(
    wheels: Wheels, name: str, python: str, resolution: str, wanted: Sequence[str]
) -> Environment:
    made = Environment(wheels.folder / name, python)
    # The bounds are said here, so that they count as direct.
    bounds = [bound for one in wanted for bound in dependencies(wheels.wheel(one))]
    options = ["--resolution", resolution, "--upgrade"]
    made.install(*wheels.requirements(wanted), *bounds, options=options)
    if resolution == "lowest-direct":
        for bound, there in _versions(made, bounds).items():
            # A bound below what can be had is one that nobody has tried.
            low = bound.partition(">=")[2]
            assert _parts(there) == _parts(low), f"{bound}: {there} is the lowest"
    return made


def _check(made: Environment, name: str, *, whole: bool) -> None:
    """Hold the variants of a backend to some rules, and one of them to all.

    :param whole: whether also that.
    """
    variants = TWISTED_VARIANTS if name == "twisted" else ANYIO_VARIANTS
    if whole:
        check_contract(made, *(("memory", "twisted+epoll") if name == "twisted" else variants[:1]))
    check_contract(made, *variants, only=ONLY)


def _versions(made: Environment, bounds: Sequence[str]) -> dict[str, str]:
    code = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
    names = [bound.partition(">=")[0] for bound in bounds]
    return dict(zip(bounds, say(made.python, "-c", code, *names).split(), strict=True))


def _parts(version: str) -> list[str]:
    return version.removesuffix(".0").removesuffix(".0").split(".")


def _tell(end: str, version: str, made: Environment, wheels: Wheels, wanted: Sequence[str]) -> None:
    bounds = [bound for one in wanted for bound in dependencies(wheels.wheel(one))]
    there = {bound.partition(">=")[0]: found for bound, found in _versions(made, bounds).items()}
    print(f"wheels: {end} on Python {version}:", *(f"{n} {v}" for n, v in sorted(there.items())))
