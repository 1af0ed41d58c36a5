"""Builds the wheels, installs them where nothing else is, and runs the contract from there.

``.ci/wheels`` runs it; with names of jobs, only these. One that fails shows why.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

from wheels.environments import Environment, build, run

ROOT = Path(__file__).parents[2]

PROJECTS = {
    "halfclose": ROOT / "core",
    "halfclose-twisted": ROOT / "backends" / "twisted",
    "halfclose-anyio": ROOT / "backends" / "anyio",
}

CORE = "halfclose[cli,testing]"
TWISTED = "halfclose-twisted[uvloop]"
ANYIO = "halfclose-anyio[trio,uvloop]"

TWISTED_VARIANTS = tuple(
    f"twisted+{reactor}" for reactor in ("select", "poll", "epoll", "asyncio", "uvloop")
)
ANYIO_VARIANTS = ("anyio+asyncio", "anyio+uvloop", "anyio+trio")

ONLY = ("EVT-05", "FLU-09", "ERR-10", "END-01")
"""What a variant is held to that is not held to the whole contract."""

LOWEST_PYTHON = "3.11"


@dataclass(frozen=True)
class Wheels:
    """The wheels, by their distribution's name, and a folder for what is made from them."""

    paths: dict[str, Path]
    folder: Path

    def environment(self, name: str, *wanted: str) -> Environment:
        """A fresh environment with *wanted*, wheels such as "NAME" or "NAME[EXTRA,...]"."""
        made = Environment(self.folder / name)
        made.install(*self._requirements(wanted))
        return made

    def lowest(self, name: str, *wanted: str) -> Environment:
        """The same on the oldest Python, with the oldest of each thing that they depend on."""
        folder = self.folder / name
        try:
            made = Environment(folder, LOWEST_PYTHON)
        except AssertionError:
            print(f"wheels: there is no Python {LOWEST_PYTHON}; the lowest versions on this one")
            made = Environment(folder)
        bounds = [bound for one in wanted for bound in dependencies(self._wheel(one))]
        # Said here, so that they count as direct.
        options = ["--resolution", "lowest-direct"]
        made.install(*self._requirements(wanted), *bounds, options=options)
        for package, lowest in (bound.split(">=") for bound in bounds):
            code = f"import importlib.metadata as m; print(m.version({package!r}))"
            there = say(made.python, "-c", code).strip()
            # A bound below what can be had is one that nobody has tried.
            assert _parts(there) == _parts(lowest), f"{package}>={lowest}: {there} is the lowest"
        return made

    def _wheel(self, wanted: str) -> Path:
        return self.paths[wanted.partition("[")[0]]

    def _requirements(self, wanted: Sequence[str]) -> list[str]:
        return [f"{one} @ {self._wheel(one).as_uri()}" for one in wanted]


def _parts(version: str) -> list[str]:
    return version.removesuffix(".0").removesuffix(".0").split(".")


def dependencies(wheel: Path) -> list[str]:
    """What *wheel* depends on, with any of its extras, but for the other wheels."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
    found = [line.partition(";")[0].strip() for line in metadata.get_all("Requires-Dist", [])]
    return [requirement for requirement in found if not requirement.startswith("halfclose")]


# -- steps -------------------------------------------------------------------------------------


def say(*command: str | Path, cwd: Path | None = None) -> str:
    """What *command* prints, run in *cwd*, or else in a folder far from every source."""
    with tempfile.TemporaryDirectory() as away:
        done = run(*command, cwd=cwd or Path(away))
    if done.returncode:
        shown = " ".join(str(part) for part in command)
        raise AssertionError(f"{shown}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def check_imported(environment: Environment, *modules: str) -> None:
    """Each of *modules* is imported from where it was installed."""
    code = "import importlib, sys; print(importlib.import_module(sys.argv[1]).__file__)"
    for module in modules:
        file = say(environment.python, "-c", code, module).strip()
        assert Path(file).is_relative_to(environment.folder), f"{file} is not what was installed"
        assert "site-packages" in file, file


def check_absent(environment: Environment, *modules: str) -> None:
    """None of *modules* is there."""
    code = "import importlib.util as u, sys; print(*filter(u.find_spec, sys.argv[1:]))"
    found = say(environment.python, "-c", code, *modules).strip()
    assert not found, f"there is {found}"


def check_contract(environment: Environment, *backends: str, only: tuple[str, ...] = ()) -> None:
    """Each of *backends* keeps the rules *only*, or all of them."""
    chosen = [part for rule in only for part in ("--only", rule)]
    say(environment.command("halfclose"), "contract", *backends, *chosen)


# -- jobs --------------------------------------------------------------------------------------


def core(wheels: Wheels) -> None:
    """Core alone: without its extras it is imported, and its command says what it needs."""
    bare = wheels.environment("bare", "halfclose")
    check_imported(bare, "halfclose")
    check_absent(bare, "click", "rich", "pytest", "hypothesis", "twisted", "anyio")
    with tempfile.TemporaryDirectory() as away:
        command = run(bare.command("halfclose"), "backends", cwd=Path(away))
    assert command.returncode == 2, command
    assert command.stderr.count("\n") == 1, command.stderr
    assert "'halfclose[cli]'" in command.stderr, command.stderr
    # What is told to be typed is typed, and helps.
    say("bash", "-c", told(command.stderr))
    say(bare.command("halfclose"), "backends")

    whole = wheels.environment("core", CORE)
    check_imported(whole, "halfclose", "halfclose.testing")
    check_absent(whole, "twisted", "anyio", "trio", "uvloop")
    check_contract(whole, "memory")


def twisted(wheels: Wheels) -> None:
    """Twisted's backend alone, without uvloop."""
    made = wheels.environment("twisted", CORE, "halfclose-twisted")
    check_imported(made, "halfclose", "halfclose_twisted")
    check_absent(made, "anyio", "trio", "uvloop", "halfclose_anyio")
    check_contract(made, "twisted+epoll")


def anyio(wheels: Wheels) -> None:
    """anyio's backend alone, without uvloop and trio."""
    made = wheels.environment("anyio", CORE, "halfclose-anyio")
    check_imported(made, "halfclose", "halfclose_anyio")
    check_absent(made, "twisted", "trio", "uvloop", "halfclose_twisted")
    check_contract(made, "anyio+asyncio")


def together(wheels: Wheels) -> None:
    """All three with every extra, on every variant."""
    made = wheels.environment("together", CORE, TWISTED, ANYIO)
    check_imported(made, "halfclose", "halfclose_twisted", "halfclose_anyio")
    check_contract(made, *TWISTED_VARIANTS, *ANYIO_VARIANTS, only=ONLY)


def checkout(wheels: Wheels) -> None:
    """What the README says to type in a checkout, and what the command says there."""
    source = wheels.folder / "checkout"
    skipped = shutil.ignore_patterns(".*", "__pycache__", "tests")
    shutil.copytree(ROOT, source, ignore=skipped)
    readme = (source / "README.md").read_text()
    # uv's environments have no pip, so with the Python that is below this one.
    path = f"{sys.base_prefix}/bin:{os.environ['PATH']}"

    def typed(command: str) -> str:
        return say("env", f"PATH={path}", "bash", "-c", command, cwd=source)

    uv = re.search(r"^(python3 -m pip install \S.* --target \.uv uv) &&", readme, re.MULTILINE)
    assert uv is not None, "README.md no longer says how to get uv"
    typed(uv[1])
    for way in ("install", "install without venv"):
        found = re.search(f"<!-- {way}: begin -->\n```sh\n(.+)\n```", readme)
        assert found is not None, f"README.md no longer has {way}"
        place = wheels.folder / way.replace(" ", "-")
        typed(found[1].replace("~/halfclose", str(place)))
        say(place / "bin" / "halfclose", "demo")
        say(place / "bin" / "halfclose", "contract", "anyio+trio", "--only", "EVT-01")

    # The core alone, and then only what the command asks for.
    place = wheels.folder / "asked"
    typed(f"python3 -m venv {place} && {place}/bin/pip install -q ./core")
    asked = (("demo",), ("contract", "anyio+trio", "--only", "EVT-01"))
    for command in asked:
        for _ in range(4):
            done = run(place / "bin" / "halfclose", *command, cwd=wheels.folder)
            if not done.returncode:
                break
            typed(told(done.stderr))
        assert not done.returncode, done


def told(problem: str) -> str:
    """The first command that one line of the command's tells to type."""
    return problem.strip().rpartition(": ")[2].partition(" or ")[0]


def lowest(wheels: Wheels) -> None:
    """The oldest Python, and the oldest of everything that the wheels say they work with."""
    made = wheels.lowest("lowest-twisted", CORE, TWISTED)
    check_contract(made, "memory", "twisted+epoll")
    check_contract(made, *TWISTED_VARIANTS, only=ONLY)
    made = wheels.lowest("lowest-anyio", CORE, ANYIO)
    check_contract(made, "anyio+asyncio")
    check_contract(made, *ANYIO_VARIANTS, only=ONLY)


JOBS: dict[str, Callable[[Wheels], None]] = {
    job.__name__: job for job in (core, twisted, anyio, together, checkout, lowest)
}


# -- building ----------------------------------------------------------------------------------


def contents(wheel: Path) -> dict[str, bytes]:
    """The files of *wheel*."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def build_all(folder: Path) -> dict[str, Path]:
    """The wheels, each compared with what its source distribution builds."""
    paths = {}
    for name, source in PROJECTS.items():
        paths[name] = build(source, folder / "wheels")
        sdist = build(source, folder / "sdists", kind="sdist")
        with tarfile.open(sdist) as archive:
            assert any(path.endswith("/LICENSE") for path in archive.getnames()), sdist
        again = build(sdist, folder / "again")
        ours, theirs = contents(paths[name]), contents(again)
        different = sorted(
            file for file in ours.keys() | theirs.keys() if ours.get(file) != theirs.get(file)
        )
        assert not different, f"{sdist.name} builds another wheel: {', '.join(different)}"
    return paths


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", choices=[[], *JOBS], help="all, by default")
    chosen = parser.parse_args().jobs or list(JOBS)
    with tempfile.TemporaryDirectory(prefix="halfclose-wheels-") as temporary:
        folder = Path(temporary)
        wheels = Wheels({}, folder)
        steps: list[tuple[str, Callable[[], object]]] = [
            ("build", lambda: wheels.paths.update(build_all(folder)))
        ]
        steps += [(name, lambda name=name: JOBS[name](wheels)) for name in chosen]  # type: ignore[misc]
        failed = False
        for name, step in steps:
            begun = time.monotonic()
            try:
                step()
            except AssertionError as failure:
                print(f"wheels: {name} failed: {failure}", file=sys.stderr, flush=True)
                failed = True
                if name == "build":
                    break
            else:
                print(f"wheels: {name} passed in {time.monotonic() - begun:.0f} s", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
