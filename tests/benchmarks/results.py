"""What was measured, as values and as JSON."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from .catalogue import Server
from .figures import Division, Summary

__all__ = ["Machine", "Measured", "Results", "Run", "describe_machine", "load", "save"]

Machine = dict[str, str]


@dataclass
class Measured:
    """One work.

    :param figures: by server, and by the metric's name.
    :param ratios: by server, and by the name of the `Division`: those that the bars need.
    :param without: by server, why there is no figure: not installed, unable, failed.
    """

    figures: dict[str, dict[str, Summary]] = field(default_factory=dict)
    ratios: dict[str, dict[str, Summary]] = field(default_factory=dict)
    without: dict[str, str] = field(default_factory=dict)

    def figure(self, server: str, metric: str) -> Summary | None:
        """One figure of one server; None if it has none."""
        return self.figures.get(server, {}).get(metric)

    def ratio(self, division: Division) -> Summary | None:
        """One figure by another; None if one of them was not measured."""
        return self.ratios.get(division.server, {}).get(division.name)


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
    """Write *results* as JSON: of each figure the lower quartile, the median, the upper one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {
        "command": results.command,
        "machine": results.machine,
        "runs": [
            {"works": {name: _plain(work) for name, work in run.works.items()}}
            for run in results.runs
        ],
    }
    text = json.dumps(found, indent=1)
    path.write_text(_INNERMOST.sub(_on_one_line, text) + "\n")


def _plain(work: Measured) -> dict[str, Any]:
    return {
        "figures": _numbers(work.figures),
        "ratios": _numbers(work.ratios),
        "without": work.without,
    }


def _numbers(summaries: Mapping[str, Mapping[str, Summary]]) -> dict[str, dict[str, list[float]]]:
    return {
        server: {
            name: [_rounded(found.low), _rounded(found.median), _rounded(found.high)]
            for name, found in by_name.items()
        }
        for server, by_name in summaries.items()
    }


def _rounded(value: float) -> float:
    return float(f"{value:.7g}")


_INNERMOST = re.compile(r"{[^{}]*}")
"""One server's figures: a number a line would be thousands of lines."""


def _on_one_line(found: re.Match[str]) -> str:
    # JSON escapes the newlines in strings: what is left of them is layout.
    return re.sub(r"\n\s*", " ", found[0])


def load(path: Path) -> Results:
    """What `save` wrote.

    :raises ValueError: it is something else.
    """
    try:
        found = json.loads(path.read_text())
        runs = [
            Run({name: _measured(work) for name, work in run["works"].items()})
            for run in found["runs"]
        ]
        return Results(found["command"], found["machine"], runs)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} has no results in it: {error!r}") from error


def _measured(work: Mapping[str, Any]) -> Measured:
    return Measured(_summaries(work["figures"]), _summaries(work["ratios"]), dict(work["without"]))


def _summaries(numbers: Mapping[str, Any]) -> dict[str, dict[str, Summary]]:
    return {
        server: {name: Summary(*found) for name, found in by_name.items()}
        for server, by_name in numbers.items()
    }
