"""What was measured, as values and as JSON."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from .catalogue import Server
from .metric import Figures

__all__ = ["Machine", "Measured", "Results", "Run", "describe_machine", "load", "save"]

Machine = dict[str, str]


@dataclass
class Measured:
    """One work.

    :param rounds: by server, the figures of each round.
    :param without: by server, why there is no figure: not installed, unable, failed.
    """

    rounds: dict[str, list[Figures]] = field(default_factory=dict)
    without: dict[str, str] = field(default_factory=dict)

    def values(self, server: str, metric: str) -> list[float]:
        """One figure of one server, round by round; empty if it has none."""
        return [figures[metric] for figures in self.rounds.get(server, ()) if metric in figures]


@dataclass
class Run:
    """One run of every work that was asked for."""

    works: dict[str, Measured] = field(default_factory=dict)


@dataclass
class Results:
    """All runs of one command.

    :param command: what measures the same again.
    :param machine: what it ran on, and with what versions.
    """

    command: str
    machine: Machine
    runs: list[Run] = field(default_factory=list)


def describe_machine(servers: Iterable[Server], cores: str) -> Machine:
    """What the figures depend on."""
    packages = {package for server in servers for package in server.packages}
    versions = {}
    for package in sorted(packages):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "processor": _processor(),
        "cores": cores,
        **versions,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()}, {os.cpu_count()} cores"
    return platform.machine()


def save(results: Results, path: Path) -> None:
    """Write *results* as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_rounded(asdict(results)), indent=1)
    path.write_text(_INNERMOST.sub(_on_one_line, text) + "\n")


_INNERMOST = re.compile(r"{[^{}]*}")
"""One round's figures: a number a line would be tens of thousands of lines."""


def _on_one_line(found: re.Match[str]) -> str:
    # JSON escapes the newlines in strings: what is left of them is layout.
    return re.sub(r"\n\s*", " ", found[0])


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


def load(path: Path) -> Results:
    """What `save` wrote.

    :raises ValueError: it is something else.
    """
    try:
        found = json.loads(path.read_text())
        runs = [
            Run({name: Measured(**work) for name, work in run["works"].items()})
            for run in found["runs"]
        ]
        return Results(found["command"], found["machine"], runs)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} has no results in it: {error!r}") from error
