"""What is said where the arguments, the terminal or the installation are not as they should be."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import halfclose
import pytest
from cli.support import ECHO, LIMIT, halfclose_
from halfclose.cli import main
from halfclose.install_hints import install_command
from warm import PROGRAM

MODULES = {
    "raises": "raise RuntimeError('two\\nlines')",
    "quits": "raise SystemExit('bye')",
    "wrong": "def f(:",
    "needs": "import no_such_module",
    "mine": """\
import halfclose
class Abstract(halfclose.HalfCloseableProtocol): pass
class Needy(halfclose.Protocol):
    def __init__(self, x): pass
class Other: pass
other = Other()
def function(): pass
def needy(x): pass
""",
}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            "",
            "no command; there are: backends, connect, contract, demo, explore, listen, run (see ",
        ),
        ("nope", "No such command 'nope'"),
        ("--nope", "--nope"),
        ("run", "Missing argument 'MODULE:NAME' (see 'halfclose run --help')"),
        ("run mine:Other", "Missing argument 'ENDPOINT'"),
        ("run {echo} tcp:x:1 more", "more"),
        ("run {echo} tcp:", "endpoint 'tcp:': host and port are missing"),
        ("run {echo} tcp:127.0.0.1:65536", "65536"),
        ("run {echo} tcp:127.0.0.1:x", "'x'"),
        ("run {echo} unix:", "the path is missing"),
        ("run {echo} stdio:x", "nothing may follow 'stdio:'"),
        ("run {echo} http://x", "no kind of endpoint is called 'http'"),
        ("run {echo} stdio: --backend nope", "no backend 'nope' is installed"),
        ("run {echo} stdio: --backend anyio+tri", "Did you mean anyio+trio"),
        ("run {echo} stdio: --half-close-timeout -1", "'-1' is no number of seconds"),
        ("run {echo} stdio: --close-timeout soon", "'soon' is no number of seconds"),
        ("run {echo} stdio: --linger nan", "'nan' is no number of seconds"),
        ("run {echo} stdio: --log-level loud", "'loud'"),
        ("run {echo} stdio: --backend", "--backend"),
        ("run Echo stdio:", "'Echo' names no protocol"),
        ("run mine: stdio:", "'mine:' names no protocol"),
        ("run :Echo stdio:", "':Echo' names no protocol"),
        ("run no.such:Echo stdio:", "No module named 'no'"),
        ("run ./none.py:Echo stdio:", "No such file or directory"),
        ("run ./:Echo stdio:", "cannot import './'"),
        ("run ..up:Echo stdio:", "cannot import '..up'"),
        ("run needs:Echo stdio:", "No module named 'no_such_module' (needs.py, line 1)"),
        ("run raises:Echo stdio:", "RuntimeError: two lines (raises.py, line 1)"),
        ("run ./raises.py:Echo stdio:", "RuntimeError: two lines (raises.py, line 1)"),
        ("run quits:Echo stdio:", "SystemExit: bye"),
        ("run wrong:Echo stdio:", "SyntaxError: invalid syntax (wrong.py, line 1)"),
        ("run mine:Missing stdio:", "module 'mine' has no 'Missing'"),
        ("run mine:other stdio:", "'mine:other' is no protocol class, but an object of Other; "),
        ("run mine:Other stdio:", "is not its base; a function without arguments that makes a"),
        ("run mine:needy stdio:", "'mine:needy' cannot be called without arguments: missing a re"),
        ("run mine:Abstract stdio:", "it lacks readConnectionLost, writeConnectionLost"),
        ("run mine:Needy stdio:", "missing a required argument: 'x'; a function without argumen"),
        ("connect", "Missing argument 'ENDPOINT'"),
        ("connect tcp:127.0.0.1", "the port is missing"),
        ("connect stdio:", "connect carries stdio: to another endpoint"),
        ("connect tcp:127.0.0.1:1 --timeout -1", "'-1' is no number of seconds"),
        ("connect tcp:127.0.0.1:1 --timeout x", "'x' is no number of seconds"),
        ("connect tcp:127.0.0.1:1 --backend nope", "no backend 'nope'"),
        ("connect tcp:127.0.0.1:1 --idle-timeout 0", "'0' is no number of seconds, more than 0"),
        ("connect tcp:127.0.0.1:1 --unix-mode 660", "--unix-mode"),
        ("connect tcp:*:1", "cannot connect to tcp:*:1: it is to listen on; name the host"),
        ("connect memory:x", "memory:x is inside of one process; name an endpoint of tcp:, unix:"),
        ("connect tcp:127.0.0.1:1 --backend memory", "the backend 'memory' is for tests"),
        ("listen memory:x --backend memory", "memory:x is inside of one process; name an"),
        ("run {echo} stdio: --backend memory", "the backend 'memory' is for tests"),
        ("run {echo} memory:x", "memory:x is inside of one process; name an endpoint of tcp:"),
        ("listen", "Missing argument 'ENDPOINT'"),
        ("listen stdio:", "listen carries stdio: to another endpoint"),
        ("listen tcp:127.0.0.1:0 --timeout 0", "'0' is no number of seconds, more than 0"),
        (
            "listen tcp:127.0.0.1:0 --unix-mode 600",
            "--unix-mode is not for tcp:127.0.0.1:0: only",
        ),
        ("run {echo} stdio: --unix-mode 600", "--unix-mode is not for stdio:: only a file has"),
        (
            "run {echo} unix:@x --unix-mode 600",
            "--unix-mode is not for unix:@x: it is no file",
        ),
        ("run {echo} unix:x --unix-mode 1000", "'1000' is no mode in octal"),
        ("run {echo} unix:x --unix-mode 0x1b0", "'0x1b0' is no mode in octal"),
        ("run {echo} unix:x --unix-mode 668", "'668' is no mode in octal"),
        ("run {echo} unix:x --unix-mode -1", "'-1' is no mode in octal"),
        ("run {echo} unix:x --unix-mode u+rw", "'u+rw' is no mode in octal"),
        *(
            (f"contract memory --jobs {number}", f"'{number}' is no whole number from 1 to 1000")
            for number in ("0", "-1", "1.5", "x", "99999999999999999999", "9" * 5000)
        ),
        ("explore memory --seed x", "'x' is no whole number from 0 to"),
        ("backends --jso", "--jso"),
        ("backends all", "all"),
        ("demo all", "all"),
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: str, said: str) -> None:
    for name, source in MODULES.items():
        (tmp_path / f"{name}.py").write_text(source)
    result = halfclose_(*arguments.format(echo=ECHO).split(), cwd=tmp_path)
    assert said in result.problem
    assert (result.status, result.out) == (2, b"")


def test_arguments_that_are_no_text() -> None:
    result = halfclose_("run", ECHO, "tcp:\udcff\n:1")
    assert result.status == 2
    assert result.problem


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", ["run", "connect", "listen", "backends", "demo", "contract", "explore", "--version"]),
        ("run", ["MODULE:NAME", "ENDPOINT", "--backend", "--half-close-timeout", "--linger"]),
        ("connect", ["ENDPOINT", "--backend", "--timeout", "--verbose", "--exit-on-close"]),
        ("listen", ["ENDPOINT", "--backend", "--timeout", "--unix-mode", "--idle-timeout"]),
        ("backends", ["--json"]),
        ("demo", []),
        ("contract", ["NAME...", "--only", "--json", "verdicts", "--verbose", "--time-limit"]),
        ("explore", ["NAME...", "--seconds", "--seed", "--replay"]),
    ],
)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(command: str, words: list[str], option: str) -> None:
    result = halfclose_(*command.split(), option)
    assert (result.status, result.err) == (0, "")
    for word in words:
        assert word in result.out.decode()


def test_every_command_is_told_in_a_whole_sentence() -> None:
    lines = halfclose_("--help", env={"COLUMNS": "80"}).out.decode().splitlines()
    told = lines[lines.index("Commands:") + 1 :]
    assert len(told) == 7
    for line in told:
        assert re.fullmatch(r"  [a-z]+ +[A-Z].*[^.]\.", line), line
        assert len(line) <= 80


def test_version() -> None:
    assert halfclose_("--version") == (0, f"halfclose {halfclose.__version__}\n".encode(), "")


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_its_extra(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["demo"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"halfclose: the command needs {missing}: {install_command('halfclose[cli]')}\n"
    )


CONTRACT = ["contract", "anyio+trio", "--only", "EVT-01"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["backends"],
        ["backends", "--json"],
        ["demo"],
        ["--help"],
        ["--version"],
        ["run", "--help"],
        CONTRACT,
        [*CONTRACT, "--json"],
    ],
)
def test_nobody_reads_the_output(arguments: list[str]) -> None:
    with subprocess.Popen(
        [PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=LIMIT)
    assert err == b""
    # As every filter dies.
    assert process.returncode == -signal.SIGPIPE


@pytest.mark.parametrize("arguments", [["backends"], ["demo"], ["--help"], CONTRACT])
def test_output_that_cannot_be_written(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        result = halfclose_(*arguments, stdout=full)
    assert result.status == 1
    assert result.problem == "halfclose: [Errno 28] No space left on device"


def test_importing_the_command_imports_no_framework() -> None:
    code = (
        "import sys, halfclose.cli, halfclose.cli.commands\n"
        "heavy = {'twisted', 'anyio', 'trio', 'uvloop', 'rich', 'pytest', 'hypothesis'}\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=LIMIT, check=True, text=True
    )
    assert done.stdout == "set()\n"
