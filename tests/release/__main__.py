"""Makes a release, or tells what is missing for one. ``.ci/release`` runs it.

By default nothing leaves this machine: it checks the commit, builds it twice and compares, writes
the sums and the bills of materials, and prints the commands that would publish. With ``--publish``
it runs them.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from email import message_from_string
from pathlib import Path

from release.bill import bill
from release.building import built_twice, sums
from release.checks import problems, unknown, version_of
from release.repository import git
from wheels.building import ROOT, files_of
from wheels.environments import uv
from wheels.steps import say

DIST = ROOT / "dist"


def commands(version: str, commit: str, packages: Sequence[Path]) -> list[list[str]]:
    """The commands that publish *packages*, and nothing else."""
    return [
        ["git", "tag", "--sign", f"v{version}", "--message", f"halfclose {version}", commit],
        ["git", "push", "origin", f"v{version}"],
        [*uv(), "publish", *sorted(map(str, packages))],
    ]


def empty(folder: Path) -> Path:
    """*folder*, in which nothing is. Only ``dist/`` is emptied for that: it has only what is made.

    :raises SystemExit: there is something in it.
    """
    if folder.resolve() == DIST:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SystemExit(f"{folder} is not empty")
    return folder


def make(commit: str, folder: Path) -> list[Path]:
    """Make everything that is published, in *folder*, and give the packages."""
    with tempfile.TemporaryDirectory(prefix="halfclose-release-") as temporary:
        built = built_twice(commit, Path(temporary))
        made = [Path(shutil.copy(path, folder)) for path in built]
        wheels = [path for path in made if path.suffix == ".whl"]
        bills = [bill(wheel, wheels, Path(temporary)) for wheel in wheels]
    say(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *made)
    (folder / "SHA256SUMS").write_text(sums(sorted([*made, *bills])))
    return made


def generator(folder: Path) -> str:
    """What has built the wheels in *folder*, which decides their bytes too."""
    (text,) = {
        text.decode()
        for wheel in folder.glob("*.whl")
        for name, text in files_of(wheel).items()
        if name.endswith(".dist-info/WHEEL")
    }
    return str(message_from_string(text)["Generator"])


def arguments_of(words: Sequence[str]) -> argparse.Namespace:
    # Without abbreviations, since "--p" is no way to ask for what cannot be taken back.
    parser = argparse.ArgumentParser(prog=".ci/release", description=__doc__, allow_abbrev=False)
    parser.add_argument("--publish", action="store_true", help="tag, push the tag, and upload")
    parser.add_argument(
        "--out", type=Path, default=DIST, help="an empty folder; by default dist/, which is emptied"
    )
    return parser.parse_args(words)


def main() -> int:
    arguments = arguments_of(sys.argv[1:])
    folder = ROOT / arguments.out
    version, commit = version_of(ROOT), git("rev-parse", "HEAD")
    print(f"halfclose {version}, of commit {commit}", flush=True)
    wrong = [*problems(ROOT), *unknown(ROOT)]
    for problem in wrong:
        print(f"- {problem}", flush=True)
    if wrong and arguments.publish:
        print("nothing was done")
        return 1
    packages = make(commit, empty(folder))
    print(f"In {folder}, built twice by {generator(folder)} with the same bytes:")
    print((folder / "SHA256SUMS").read_text())
    if wrong:
        print("It cannot be published: see above.")
        return 1
    for command in commands(version, commit, packages):
        print(shlex.join(command), flush=True)
        if arguments.publish:
            subprocess.run(command, cwd=ROOT, check=True)
    if not arguments.publish:
        print("None of these was run. With --publish, they are.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
