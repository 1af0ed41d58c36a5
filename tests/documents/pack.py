"""Packs a folder into an archive, the same bytes each time: ``python -m documents.pack FOLDER``.

The archive is put beside the folder: ``halfclose-docs-VERSION.tar.gz``.
"""

from __future__ import annotations

import gzip
import os
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

__all__ = ["pack"]


def pack(folder: Path, archive: Path) -> None:
    """Put all files of *folder* into *archive*, in a folder that is called as the archive is.

    Order, owners, permissions and times are the same on every machine. The time is that of
    ``SOURCE_DATE_EPOCH``, or the beginning of 1980.
    """
    time = int(os.environ.get("SOURCE_DATE_EPOCH", "315532800"))
    top = archive.name.removesuffix(".tar.gz")
    with (
        archive.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=time) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = tarfile.TarInfo(f"{top}/{path.relative_to(folder)}")
            entry.size, entry.mtime, entry.mode = path.stat().st_size, time, 0o644
            with path.open("rb") as text:
                tar.addfile(entry, text)


if __name__ == "__main__":
    site = Path(sys.argv[1]).resolve()
    pack(site, site.parent / f"halfclose-docs-{version('halfclose')}.tar.gz")
