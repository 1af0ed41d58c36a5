"""Distributions that a test installs, as an installer leaves them, for programs that it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["distribution", "finding", "install"]


def distribution(
    site: Path,
    name: str,
    entries: Mapping[str, str],
    *,
    version: str = "1.0",
    group: str = "halfclose",
) -> None:
    """An installed distribution's metadata, in the folder *site*, with *entries* in *group*."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{entry} = {value}" for entry, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))


def finding(*sites: Path) -> dict[str, str]:
    """The environment of a program that finds what is installed in these folders."""
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([*map(str, sites), *([before] if before else [])])}


def install(site: Path, name: str, module: str) -> dict[str, str]:
    """Install the plugin *module*, a file in the folder *site*.

    :param name: the name of the entry point; the distribution has it too.
    :returns: the environment of a program in which the distribution is installed.
    """
    distribution(site, name, {name: module}, group="halfclose.plugins")
    return finding(site)
