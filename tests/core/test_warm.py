"""A program that is forked is in every way that a test sees one that an interpreter begins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import warm

pytestmark = pytest.mark.skipif(not warm.POSSIBLE, reason="forks are for Linux alone")


def environment() -> dict[str, str]:
    # With this, which an interpreter reads before all else, streams are other ones.
    return {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"} | {"MINE": "\udcff"}


def forked(code: str, cwd: Path, arguments: Sequence[str] = ()) -> warm.Fork:
    streams = (subprocess.DEVNULL, subprocess.PIPE, subprocess.PIPE)
    return warm.fork(arguments, environment(), str(cwd), streams, code)


def begun(code: str, cwd: Path, arguments: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=environment(),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.exit(7)",
        "import sys; sys.exit('no')",
        "import os; os._exit(3)",
        "import os; os.abort()",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import atexit; atexit.register(print, 'at the end')",
        "import threading; threading.Timer(0.05, print, ['in a thread']).start()",
        "import sys; sys.stdout.write('not flushed')",
        "import os; print(sorted(os.listdir('/proc/self/fd')))",
        "import os; print(os.getcwd(), os.environb[b'MINE'], os.getpgid(0), os.getsid(0))",
        "import os, resource as r; print(os.umask(0), [r.getrlimit(n) for n in range(16)])",
        "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))",
        "import signal as s; print([s.getsignal(n) for n in s.valid_signals()])",
        "import sys; print(__name__, sys.argv, sys.path[0], sys.stdin.read())",
        "import sys; print(*((s.encoding, s.errors, s.line_buffering)"
        " for s in (sys.stdin, sys.stdout, sys.stderr)))",
        "import gc, sys; print(gc.isenabled(), gc.get_threshold(), sys.gettrace())",
        "import sys; print('twisted.internet.reactor' in sys.modules)",
        "import threading, warnings; print(threading.active_count(), warnings.filters)",
    ],
)
def test_it_is_as_one_that_an_interpreter_begins(code: str, tmp_path: Path) -> None:
    seen: list[Any] = []
    begins: tuple[Any, Any] = (forked, begun)
    for begin in begins:
        with begin(code, tmp_path, ["one", "two"]) as program:
            seen.append((*program.communicate(timeout=60), program.returncode))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it(number: signal.Signals, tmp_path: Path) -> None:
    with forked("print('here', flush=True); import time; time.sleep(60)", tmp_path) as program:
        assert program.stdout is not None
        assert program.stdout.read(5) == b"here\n"
        assert program.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(0.01)
        program.send_signal(number)
        assert program.wait(60) == -number
        program.send_signal(number)  # which reaches nobody


def test_a_signal_that_comes_as_it_ends_is_no_error(tmp_path: Path) -> None:
    for _ in range(20):
        with forked("import os; os._exit(0)", tmp_path) as program:
            while program.poll() is None:
                program.send_signal(signal.Signals.SIGCONT)
            assert program.returncode == 0


ALONE = """
import os, subprocess, sys
import warm
streams = subprocess.DEVNULL, subprocess.PIPE, None
program = warm.fork([], os.environ, "/", streams, "import os; print(os.getppid())")
print(program.communicate()[0].decode(), end="", flush=True)
exec(sys.stdin.read())
"""


@pytest.fixture
def alone() -> Any:
    """Another process of tests, which has one fork behind it; and who forks for it."""
    with subprocess.Popen(
        [sys.executable, "-c", ALONE],
        env=dict(os.environ, PYTHONPATH=str(Path(warm.__file__).parent)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        server = int(process.stdout.readline())
        try:
            yield process, server
        finally:
            process.kill()


def test_who_forks_ends_with_the_tests_however_they_end(alone: Any) -> None:
    process, _ = alone
    process.kill()
    # Who forks has its standard error, of which this is the end.
    process.communicate(timeout=60)


def test_where_nobody_forks_any_more_that_is_said(alone: Any) -> None:
    process, server = alone
    os.kill(server, signal.SIGKILL)
    code = """
for _ in range(2):
    try:
        warm.fork([], os.environ, "/", [0, 1, 2], "pass")
    except RuntimeError as error:
        print(error)
"""
    out, err = process.communicate(code, timeout=60)
    assert out.count("tests/warm.py, which forks, has ended") == 2, out + err
    assert not err
