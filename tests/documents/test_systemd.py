"""docs/how-to/systemd.md: its units, by systemd's own tools where they are installed."""

from __future__ import annotations

import configparser
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from cli.support import LIMIT, ask, dial, refusing, start
from documents.blocks import ROOT
from documents.deployment import FILES, here
from documents.sessions import Folder

PAGE = "docs/how-to/systemd.md"

UNITS = sorted(
    path.name for path in FILES.iterdir() if path.suffix in (".service", ".socket", ".timer")
)


def unit(name: str) -> configparser.ConfigParser:
    """The settings of a unit; of one that comes twice, the last."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string((FILES / name).read_text())
    return parser


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name}, which is part of systemd, is not installed")
    return found


def test_the_units_are_what_systemd_understands(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze")
    for name in UNITS:
        # Also looked at is whether the programs that it starts are there.
        (tmp_path / name).write_text("".join(here([(FILES / name).read_text()])))
    done = subprocess.run(
        [analyze, "verify", *(str(tmp_path / name) for name in UNITS if "@" not in name)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert str(tmp_path) not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_what_the_service_starts() -> None:
    """It answers, and ends in order within the time that the unit gives it."""
    service = unit("sums.service")["Service"]
    words = service["ExecStart"].split()
    grace = float(words[words.index("--grace") + 1])
    assert grace + 5 <= float(service["TimeoutStopSec"])
    assert service["RestartPreventExitStatus"] == "2"
    with start(*here(words)[1:-1], "tcp:127.0.0.1:0") as command:
        with dial(command.endpoint()) as peer:
            assert len(ask(peer, b"hello\n")) == 65
        command.send(signal.SIGTERM)
        assert command.finish().status == 0


def test_the_two_units_for_each_connection_fit() -> None:
    assert unit("sums-each.socket")["Socket"]["Accept"] == "yes"
    service = unit("sums-each@.service")["Service"]
    assert service["ExecStart"].endswith(" stdio:")
    assert (service["StandardInput"], service["StandardOutput"]) == ("socket", "socket")


@pytest.mark.parametrize("answers", [True, False])
def test_the_health_check(answers: bool) -> None:
    """It succeeds with the service's own server, and fails without one."""
    service = unit("sums-check.service")["Service"]
    assert service["Type"] == "oneshot"
    command = here(service["ExecStart"].split())
    assert command[-1].rpartition(":")[2] == unit("sums.service")["Service"]["ExecStart"][-4:]
    with (
        refusing() as nobody,
        start("run", "./sums.py:Sum", "tcp:127.0.0.1:0", cwd=FILES) as server,
        start(
            *command[1:-1], server.endpoint() if answers else nobody, stdin=subprocess.DEVNULL
        ) as check,
    ):
        assert check.finish().status == (0 if answers else 1)
        server.send(signal.SIGTERM)
        assert server.finish().status == 0


def test_what_the_page_copies_is_there() -> None:
    copied = re.findall(r"^cp (.+) /etc/systemd/system/$", (ROOT / PAGE).read_text(), re.MULTILINE)
    paths = [path for line in copied for path in line.split()]
    assert sorted(Path(path).name for path in paths) == UNITS
    assert all((ROOT / path).is_file() for path in paths)


def test_what_it_says_of_draining_fits_the_unit() -> None:
    """The program's own seconds, and then those of leaving the backend."""
    assert "draining.py tcp:*:8000 20`, which ends after 25\n" in (ROOT / PAGE).read_text()
    assert float(unit("sums.service")["Service"]["TimeoutStopSec"]) > 25


def test_session(folder: Folder) -> None:
    """That of "systemd.md": "activate"."""
    tool("systemd-socket-activate")
    shutil.copy(FILES / "sums.py", folder.path)
    folder.play(PAGE, "activate", any_order=True)
