"""Makes a module the plugin of an installed distribution, for programs that a test starts."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["install"]


def install(site: Path, name: str, module: str) -> dict[str, str]:
    """Install the plugin *module*, a file in the folder *site*.

    :param name: the name of the entry point; the distribution has it too.
    :returns: the environment of a program in which the distribution is installed.
    """
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[halfclose.plugins]\n{name} = {module}\n")
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path}
