"""Writes the software bill of materials of each distribution, in CycloneDX.

It names what the distribution, with all its extras, was installed with on the day of the release:
what it was tested beside. The wheels hold nothing but our own files, so none is put into them
(PEP 770 is for what is bundled).
"""

from __future__ import annotations

import sys
from pathlib import Path

from wheels.building import files_of, metadata_of
from wheels.environments import Environment
from wheels.steps import say

__all__ = ["bill"]


def bill(wheel: Path, beside: list[Path], folder: Path) -> Path:
    """The bill of *wheel*, in *folder*. The same packages give the same bytes.

    :param beside: the wheels of the same release, of which it may need some.
    """
    metadata = metadata_of(wheel)
    name, version = str(metadata["Name"]), str(metadata["Version"])
    extras = ",".join(metadata.get_all("Provides-Extra", []))
    made = Environment(folder / f"environment of {name}")
    wheels = {str(metadata_of(other)["Name"]): other for other in beside}
    wanted = [f"{name}[{extras}] @ {wheel.as_uri()}"]
    if name != "halfclose":
        wanted.append(f"halfclose @ {wheels['halfclose'].as_uri()}")
    made.install(*wanted)
    for record in made.folder.glob("lib/python*/site-packages/halfclose*/direct_url.json"):
        # Where they were on this machine is nobody's concern.
        record.unlink()
    folder.mkdir(exist_ok=True)
    described = folder / f"{name}.toml"
    dynamic, static = 'dynamic = ["version"]', f'version = "{version}"'
    text = files_of(_sdist(wheel))["pyproject.toml"].decode()
    assert dynamic in text, f"{name}: the version is not dynamic"
    described.write_text(text.replace(dynamic, static))
    bill = wheel.with_name(f"{name}-{version}.cdx.json")
    options = ["--mc-type", "library", "--output-reproducible", "--output-file", bill]
    options += ["--pyproject", described, made.python]
    say(sys.executable, "-m", "cyclonedx_py", "environment", *map(str, options))
    return bill


def _sdist(wheel: Path) -> Path:
    """The source distribution beside *wheel*."""
    return wheel.with_name("-".join(wheel.name.split("-")[:2]) + ".tar.gz")
