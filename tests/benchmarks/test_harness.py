"""The benchmark itself: its servers do what the works take them to do, and its figures add up."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .bars import BARS, Bar, Growth, Most, Versus
from .catalogue import CATALOGUE, Server, named
from .contention import Contention
from .cores import Cores
from .document import BEGIN, END, write_document
from .figures import Summary, ratio, summary
from .headline import HEADLINE
from .measuring import measure
from .metric import Figures
from .results import Measured, Results, Run, load, save
from .rounds import Rounds
from .running_server import HERE, BenchmarkError, RunningServer, python
from .servers.sizes import HOST
from .words import bound_by_generator
from .works.resting import Imports
from .works.work import Scale, Work

REPRESENTATIVE = ["floor", "asyncio", "anyio-trio", "trio", "twisted-epoll", "anyio+asyncio"]

DATA = os.urandom(300_000)


def ask(port: int, request: bytes, *, end: bool) -> bytes:
    """What comes back for *request*, to the end of stream; *end*: after we have ended our half."""
    with socket.create_connection((HOST, port), 20) as sock:
        sock.sendall(request)
        if end:
            sock.shutdown(socket.SHUT_WR)
        reply = b""
        while data := sock.recv(1 << 16):
            reply += data
        return reply


@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_services(name: str) -> None:
    for service, reply in (("reply", DATA), ("discard", b"")):
        with RunningServer(named(name), service, None) as server:
            assert ask(server.port, DATA, end=True) == reply
            assert server.cpu() > 0
            assert server.memory() > 0
    with RunningServer(named(name), "source", None) as server:
        assert ask(server.port, b"200001", end=False) == bytes(200_001)


@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_echo(name: str) -> None:
    for service in ("echo", "bulk-echo"):
        with (
            RunningServer(named(name), service, None) as server,
            socket.create_connection((HOST, server.port), 20) as sock,
        ):
            for _ in range(3):
                sock.sendall(DATA[:1000])
                assert sock.recv(1000, socket.MSG_WAITALL) == DATA[:1000]
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""


@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_exchanges(name: str) -> None:
    with RunningServer(named(name), "reply", None) as server:
        arguments = ("exchange", name, str(server.port), "3", "1000")
        done = subprocess.run(
            python("-m", "benchmarks.servers", *arguments),
            cwd=HERE,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert json.loads(done.stdout)["seconds"] > 0


def test_a_server_that_does_not_start_is_told_with_what_it_said() -> None:
    broken = Server("broken", "ours", "no-such-backend", "", "")
    with (
        pytest.raises(BenchmarkError, match=r"broken ended KeyError"),
        RunningServer(broken, "echo", None),
    ):
        pass


def test_one_command_measures(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = python("-m", "benchmarks", "--quick", "--work", "echo-64", "--work", "memory")
    chosen = ("--server", "floor", "--server", "anyio+asyncio", "--server", "twisted-select")
    done = subprocess.run(
        [*command, *chosen, "--json", str(out)],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "anyio+asyncio" in done.stdout
    assert "by floor" in done.stdout
    results = load(out)
    echo = results.runs[0].works["echo-64"]
    cpu = echo.figure("floor", "cpu")
    assert cpu is not None
    assert cpu.median > 0
    assert set(echo.figures) == {"floor", "anyio+asyncio", "twisted-select"}
    memory = results.runs[0].works["memory"]
    assert set(memory.figures) == {"floor", "anyio+asyncio", "twisted-select"}


def test_competitors_rest_until_they_are_wanted_and_are_gone_in_the_end() -> None:
    with Contention(min(os.sched_getaffinity(0))) as contention:
        processes = list(contention.processes)
        assert processes
        for process in processes:
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        with contention.applied():
            for process in processes:
                os.waitid(os.P_PID, process.pid, os.WCONTINUED)
        for process in processes:
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        processes[0].kill()
        processes[0].wait()
        with pytest.raises(BenchmarkError, match="gone"), contention.applied():
            pass
    assert all(process.returncode is not None for process in processes)


class Leaving(Work):
    """Is measured well, and then cannot let go."""

    name = "leaving"

    @contextmanager
    def prepared(self, server: Server) -> Iterator[None]:
        yield
        raise ConnectionError("the server is gone")

    def measure(self, server: Server) -> Figures:
        return {"cpu": 1.0}


class Alone(Work):
    """Notes who is measured when."""

    name = "alone"
    in_turns = False

    def __init__(self) -> None:
        super().__init__(Scale(), Cores())
        self.order: list[str] = []

    def measure(self, server: Server) -> Figures:
        self.order.append(server.name)
        return {"cpu": 1.0}


class Together(Alone):
    """The same in turns."""

    name = "together"
    in_turns = True


def test_those_on_the_same_loop_are_measured_one_after_another() -> None:
    names = ["anyio+uvloop", "twisted+epoll", "floor", "uvloop", "twisted-epoll", "anyio-uvloop"]
    work = Together()
    list(measure([work], [named(name) for name in names], 2, lambda what, steps: None))
    turn = ["anyio+uvloop", "uvloop", "anyio-uvloop", "twisted+epoll", "twisted-epoll", "floor"]
    assert work.order == turn * 2
    assert named("twisted+epoll:native").loop == "epoll"


def test_a_work_that_fails_in_the_end_costs_no_other() -> None:
    alone = Alone()
    servers = [named("floor"), named("asyncio")]
    works = (Leaving(Scale(), Cores()), alone)
    found = dict(measure(works, servers, 2, lambda what, steps: None))
    assert not found["leaving"].figures
    assert found["leaving"].without["floor"] == "failed: ConnectionError: the server is gone"
    assert found["alone"].figure("asyncio", "cpu") == Summary(1.0, 1.0, 1.0)
    assert alone.order == ["floor", "floor", "asyncio", "asyncio"]


def test_names_are_distinct() -> None:
    assert len({server.name for server in CATALOGUE}) == len(CATALOGUE)


def test_a_peer_that_is_not_installed_is_named() -> None:
    assert Server("x", "x", "", "", "", ("pytest", "no-such-thing")).missing == "no-such-thing"
    assert Server("x", "x", "", "", "", ("pytest",)).missing is None


def test_an_import_is_of_what_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    statement = "import sys; assert not sys.dont_write_bytecode"
    peer, ours = Server("x", "peer", "", "", statement), Server("y", "ours", "", "", statement)
    work = Imports(Scale(), Cores())
    with work.begun(), work.prepared(peer), work.prepared(ours):
        assert work.measure(peer)["time"] > 0
        assert work.measure(ours)["core"] > 0


def test_medians_and_spread() -> None:
    assert summary([3.0, 1.0, 2.0]).median == 2.0
    assert summary([1.0, 2.0, 3.0, 4.0, 5.0]) == Summary(2.0, 3.0, 4.0)
    # In the second round everything took twice as long.
    assert ratio([1.0, 4.0, 3.0], [2.0, 8.0, 2.0]) == Summary(0.5, 0.5, 1.0)
    with pytest.raises(ValueError, match="nothing"):
        summary([])


def held(bar: Bar, **servers: list[float]) -> bool:
    """Whether *bar*, of the work echo-64, is by those rounds."""
    rounds = {name: [{"cpu": value} for value in values] for name, values in servers.items()}
    return bar.held(Run({"echo-64": Rounds("echo-64", rounds).measured([bar])}))


def test_bars() -> None:
    rounds = {"ours": [1.0, 1.2], "peer": [2.0, 2.0]}
    assert held(Versus("echo-64", "cpu", "ours", 0.6, peer="peer"), **rounds)
    assert not held(Versus("echo-64", "cpu", "ours", 0.5, peer="peer"), **rounds)
    assert held(Versus("echo-64", "cpu", "ours", 1.8, True, "peer", inverted=True), **rounds)
    assert held(Most("echo-64", "cpu", "ours", 1.1), **rounds)
    assert not held(Most("echo-64", "cpu", "ours", 1.0), **rounds)
    # What was not measured does not hold.
    assert not held(Versus("echo-64", "cpu", "ours", 9.0, peer="absent"), **rounds)
    assert not held(Versus("echo-1", "cpu", "ours", 9.0, peer="peer"), **rounds)
    assert not held(Versus("echo-64", "cpu", "ours", 9.0, peer="peer"), ours=[1.0], peer=[2.0, 2.0])


def test_bars_of_curves() -> None:
    def held(bar: Bar) -> bool:
        rounds = Rounds("curve", {"ours": [{"10": 2.0, "2": 1.0, "5": 9.0}]})
        return bar.held(Run({"curve": rounds.measured([bar])}))

    assert held(Growth("curve", "cpu", "ours", 2.0))
    assert not held(Growth("curve", "cpu", "ours", 1.9))
    assert held(Growth("curve", "cpu", "ours", 2.0, absolute=True))
    assert not held(Growth("curve", "cpu", "ours", 1.9, absolute=True))
    assert not held(Growth("curve", "cpu", "others", 9.0))
    assert not held(Growth("curve", "cpu", "others", 9.0, absolute=True))


def test_a_ratio_is_of_the_rounds_and_not_of_the_medians() -> None:
    bar = Versus("echo-64", "cpu", "ours", 0.5, peer="peer")
    rounds = {"ours": [1.0, 4.0, 3.0], "peer": [2.0, 8.0, 2.0]}
    assert held(bar, **rounds)


def test_generator_as_the_bottleneck_is_told() -> None:
    def measured(server: float, load: float) -> Measured:
        return Rounds("x", {"x": [{"server_busy": server, "load_busy": load}]}).measured([])

    assert bound_by_generator(measured(60.0, 97.0), "x")
    assert not bound_by_generator(measured(99.0, 97.0), "x")
    assert not bound_by_generator(measured(99.0, 60.0), "x")
    assert not bound_by_generator(Rounds("x", {"x": [{"cpu": 1.0}]}).measured([]), "x")


def test_results_survive_and_the_document_is_made_from_them(tmp_path: Path) -> None:
    figures = {"floor": [{"cpu": 5.0}, {"cpu": 6.0}], "anyio+asyncio": [{"cpu": 6.0}, {"cpu": 7.0}]}
    figures["anyio-asyncio"] = [{"cpu": 24.0}, {"cpu": 28.0}]
    rounds = Rounds("echo-64", figures)
    rounds.drop("uvloop", "uvloop is not installed")
    echo = rounds.measured([*BARS, *HEADLINE])
    machine = {"python": "3", "system": "{one\n  two}"}
    results = Results("python -m benchmarks", machine, [Run({"echo-64": echo})])
    path = tmp_path / "results.json"
    save(results, path)
    assert path.read_text().count("\n") < 40
    found = load(path).runs[0].works["echo-64"]
    assert found.figures == echo.figures
    assert found.without == echo.without
    # Ratios have endless digits, of which the first few are kept.
    again = tmp_path / "again.json"
    save(load(path), again)
    assert again.read_text() == path.read_text()
    document = tmp_path / "benchmarks.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}\n{END}")
    write_document(results, document, readme)
    assert "| processor time of a message, 64 connections | 4.0 |" in readme.read_text()
    text = document.read_text()
    assert "| anyio+asyncio | 4.0 | - | - | - |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| echo-64 | anyio+asyncio | by floor <= 1.6 | 1.18 (1.18 to 1.19) | held |" in text
    assert "- echo-64, uvloop: uvloop is not installed" in text
    assert "anyio+asyncio" in (tmp_path / "benchmarks" / "echo-64.svg").read_text()
    path.write_text("{}")
    with pytest.raises(ValueError, match="no results"):
        load(path)
    document.write_text("no marks")
    with pytest.raises(ValueError, match="measured: begin"):
        write_document(results, document, readme)
