"""docs/how-to/docker.md: what the Dockerfile says is done here, in namespaces where they can be."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from cli.support import LIMIT, refusing
from documents.blocks import ROOT, example
from documents.containers import check, serve_and_stop
from documents.deployment import FILES, here
from environment import environment

PAGE = "docs/how-to/docker.md"

DOCKERFILE = (FILES / "Dockerfile").read_text().replace("\\\n", "")


def words(text: str, instruction: str) -> list[str]:
    """What *instruction* starts, which has to be a list: without one, a shell starts it."""
    (found,) = re.findall(rf"^{instruction}.*?(\[.+\])$", text, re.MULTILINE)
    words = json.loads(found)
    assert isinstance(words, list)
    return words


COMMAND = words(DOCKERFILE, "ENTRYPOINT") + words(DOCKERFILE, "CMD")
HEALTH = words(re.sub(r"^HEALTHCHECK.*?CMD", "HEALTH", DOCKERFILE, flags=re.MULTILINE), "HEALTH")


def test_the_server_and_its_check() -> None:
    assert serve_and_stop(COMMAND, HEALTH).status == 0


def test_the_check_fails_without_a_server() -> None:
    with refusing() as endpoint:
        # Docker reserves 2.
        assert check(HEALTH, endpoint).status == 1


def test_the_times_fit() -> None:
    """docker stop waits ten seconds; a check is given more than it may take."""
    assert int(COMMAND[COMMAND.index("--grace") + 1]) < 10
    most = sum(
        int(HEALTH[HEALTH.index(name) + 1]) for name in ("--timeout", "--half-close-timeout")
    )
    (given,) = re.findall(r"^HEALTHCHECK .*--timeout=(\d+)s", DOCKERFILE, re.MULTILINE)
    assert most < int(given)
    text = example(PAGE, "draining")
    _, seconds = words(text, "CMD")
    assert int(seconds) + 5 < 10


def test_all_that_is_copied_is_there() -> None:
    """And the build is given it."""
    ignored = (FILES / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in ignored if line.startswith("!")]
    text = DOCKERFILE + example(PAGE, "draining")
    copied = re.findall(r"^COPY (\S+) (\S+)$", text, re.MULTILINE)
    assert len(copied) == 4
    for source, target in copied:
        assert (ROOT / source).exists()
        assert any(Path(source).match(pattern) for pattern in allowed), source
        if target.startswith("/srv"):
            assert target == f"/srv/sums/{os.path.basename(source)}"


INSIDE = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"]


def test_draining_as_process_1() -> None:
    """A signal that is blocked reaches process 1 too, where one that nobody handles does not."""
    if shutil.which(INSIDE[0]) is None:
        pytest.skip(f"{INSIDE[0]} is not installed")
    can = subprocess.run([*INSIDE, "true"], capture_output=True, timeout=LIMIT, check=False)
    if can.returncode:
        pytest.skip(f"no namespace for processes: {can.stderr.decode().strip()}")
    text = example(PAGE, "draining")
    command = here(
        words(text, "ENTRYPOINT") + words(text, "CMD"), {"tcp:*:8000": "tcp:127.0.0.1:0"}
    )
    with subprocess.Popen([*INSIDE, *command], stderr=subprocess.PIPE, env=environment()) as outer:
        try:
            assert outer.stderr is not None
            assert outer.stderr.readline().startswith(b"listening on ")
            (inner,) = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
            os.kill(int(inner), signal.SIGTERM)
            _, said = outer.communicate(timeout=LIMIT)
        finally:
            outer.kill()
    assert (outer.returncode, said) == (0, b"stopping; open conversations: 0\n")
