"""What docs/how-to/debugging.md shows is what its commands print, with right and wrong proxies."""

from __future__ import annotations

import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import halfclose
import pytest
from cli.support import Result, accepted, dial, listening, reset, start, wait_until
from documents.blocks import ROOT, example
from documents.programs import module, program, program_of
from documents.sessions import comparable, steps
from halfclose.testing import network

PAGE = "docs/how-to/debugging.md"

ENDS = (
    "        self.other.transport.loseWriteConnection()  # this half only: an answer may still come"
)

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="needs all of 127.0.0.0/8, and Linux's states"
)


class Place:
    """The ports of the page, at an address that nobody else uses."""

    def __init__(self) -> None:
        self.host = (
            f"127.{random.randint(1, 250)}.{random.randint(1, 250)}.{random.randint(1, 250)}"
        )
        self.front = f"tcp:{self.host}:9000"
        self.behind = f"tcp:{self.host}:9001"

    @contextmanager
    def proxy(self, kind: str) -> Iterator[None]:
        """A proxy between the two: right, wrong, or deaf to an end of file."""
        if kind == "wrong":
            running = program(PAGE, "wrong", self.host, "9000", "9001")
        else:
            source = example("docs/how-to/proxy.md", "proxy")
            if kind == "deaf":
                assert ENDS in source
                source = source.replace(ENDS, "        pass")
            running = program_of(source, self.front, self.behind)
        with running as command:
            assert command.line().startswith("listening on ")
            yield

    def printed(self, *results: Result | str) -> list[str]:
        """The lines that the commands printed, as the page would have them."""
        text = "".join(r if isinstance(r, str) else r.err + r.out.decode() for r in results)
        return lines_of(text.replace(self.host, "127.0.0.1"))


def lines_of(text: str) -> list[str]:
    """The lines of *text*, in no order: two streams are one at a terminal. Without what differs."""
    return sorted(comparable(text.splitlines(), ("9000", "9001")))


def session(name: str) -> tuple[list[str], list[str]]:
    """The commands of a session, and the lines that it shows to be printed."""
    session = steps(PAGE, name)
    lines = [line for _, shown in session for line in shown if not line.startswith("^C")]
    return [command for command, _ in session], lines_of("\n".join(lines))


@pytest.fixture
def place() -> Place:
    return Place()


SUM = "halfclose run --log-level warning halfclose.examples:Sum tcp:127.0.0.1:9001 &"
DIRECTLY = "echo hello | halfclose connect tcp:127.0.0.1:9001"
ASK = "echo hello | halfclose connect -v --half-close-timeout 5 tcp:127.0.0.1:9000"


@contextmanager
def serving_sums(place: Place) -> Iterator[None]:
    with start("run", "halfclose.examples:Sum", place.behind) as server:
        server.endpoint()
        yield


@linux
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("right", "client ends, right"),
        ("wrong", "client ends, wrong"),
        ("deaf", "client ends, deaf"),
    ],
)
def test_the_client_ends_first(place: Place, kind: str, name: str) -> None:
    commands, shown = session(name)
    assert commands == ([SUM, DIRECTLY, ASK] if kind == "right" else [ASK])
    # The page's 5 seconds are too long for this test, and too short for a busy machine.
    limit = "0.5" if kind == "deaf" else "60"
    before: list[Result | str] = []
    with place.proxy(kind), serving_sums(place):
        if kind == "right":
            with start("connect", place.behind) as client:
                before = ["listening on tcp:127.0.0.1:9001\n", client.finish(b"hello\n")]
        with start("connect", "-v", "--half-close-timeout", limit, place.front) as client:
            result = client.finish(b"hello\n")
    printed = place.printed(*before, result)
    assert [line.replace("idle for 0.5 s", "idle for 5.0 s") for line in printed] == shown
    assert result.status == (1 if kind == "deaf" else 0)


@linux
def test_the_lines_of_the_server(place: Place) -> None:
    """Its log tells whether the client's end got through."""
    with start("run", "halfclose.examples:Sum", place.behind) as server:
        with start("connect", server.endpoint()) as client:
            client.finish(b"hello\n")
        server.wait_for("Sum: connectionLost: ")
        server.send(signal.SIGTERM)
        lines = server.finish().err.splitlines()
    text = (ROOT / PAGE).read_text()
    assert len(lines) == 5
    for line in lines[1:]:
        assert f"| `{re.sub(r'[(].*[)]', '(...)', line)}` |" in text


SINK = "halfclose listen tcp:127.0.0.1:9001 < /dev/null | wc -c &"
UPLOAD = "head -c 10000000 /dev/zero | halfclose connect tcp:127.0.0.1:9000"


@linux
@pytest.mark.parametrize(
    ("kind", "name"), [("right", "server ends, right"), ("wrong", "server ends, wrong")]
)
def test_the_server_ends_first(place: Place, kind: str, name: str) -> None:
    commands, shown = session(name)
    assert commands == [SINK, UPLOAD]
    with (
        place.proxy(kind),
        start("listen", place.behind, stdin=subprocess.DEVNULL) as server,
        ThreadPoolExecutor() as pool,
    ):
        server.endpoint()
        counting = pool.submit(server.finish)
        with start("connect", place.front) as client:
            uploaded = client.finish(bytes(10_000_000))
        received = counting.result()
    if kind == "right":
        assert uploaded.status == 0
        count = f"{len(received.out)}\n"
        assert place.printed(received._replace(out=count.encode()), uploaded) == shown
    else:
        assert uploaded.status == 1
        # Whichever the client meets first.
        (problem,) = place.printed(uploaded)
        reset = "[Errno 104] Connection reset by peer"
        assert problem.replace(reset, "[Errno 32] Broken pipe") in shown
        assert len(received.out) < 10_000_000


ANSWER = "(echo begun; sleep 1000) | halfclose listen tcp:127.0.0.1:9001"
TAKE = "halfclose connect tcp:127.0.0.1:9000 ; echo status $?"


@linux
@pytest.mark.parametrize(
    ("kind", "name"), [("right", "server resets, right"), ("wrong", "server resets, wrong")]
)
def test_the_server_is_reset(place: Place, kind: str, name: str) -> None:
    commands, shown = session(name)
    assert commands == ([ANSWER, TAKE] if kind == "right" else [TAKE])
    with place.proxy(kind), start("listen", place.behind) as server:
        server.endpoint()
        server.stdin.write(b"begun\n")
        with start("connect", place.front) as client:
            assert client.stdout.read(6) == b"begun\n"
            server.send(signal.SIGINT)
            result = client.end() if kind == "right" else client.finish()
    status = f"begun\nstatus {result.status}\n"
    listened = "listening on tcp:127.0.0.1:9001\n" if kind == "right" else ""
    assert place.printed(result, status, listened) == shown


BEGIN = "(echo begun; sleep 1000) | halfclose connect tcp:127.0.0.1:9000"
RECEIVE = "halfclose listen tcp:127.0.0.1:9001 ; echo status $?"


@linux
@pytest.mark.parametrize("kind", ["right", "wrong"])
def test_the_client_is_reset(place: Place, kind: str) -> None:
    commands, shown = session("client resets, right")
    assert commands == [BEGIN, RECEIVE]
    with place.proxy(kind), start("listen", place.behind) as server:
        server.endpoint()
        with start("connect", place.front) as client:
            client.stdin.write(b"begun\n")
            assert server.stdout.read(6) == b"begun\n"
            client.send(signal.SIGINT)
            client.end()
        result = server.end() if kind == "right" else server.finish()
    if kind == "right":
        assert place.printed(result, f"begun\nstatus {result.status}\n") == shown
    else:
        assert result.status == 0


LATE = "LATE=5 halfclose run docs/how-to/files/late.py:Late tcp:127.0.0.1:9001 &"
ASK_LATE = "echo hello | halfclose connect -v tcp:127.0.0.1:9000"


@contextmanager
def late(place: Place, seconds: str) -> Iterator[None]:
    path = f"{ROOT / 'docs/how-to/files/late.py'}:Late"
    with start("run", path, place.behind, env={"LATE": seconds}) as server:
        server.endpoint()
        yield


@linux
def test_the_answer_is_late(place: Place) -> None:
    commands, shown = session("late, right")
    assert commands == [LATE, ASK_LATE]
    with place.proxy("right"), late(place, "0.1"), start("connect", "-v", place.front) as client:
        result = client.finish(b"hello\n")
    assert place.printed(result, "listening on tcp:127.0.0.1:9001\n") == shown
    assert result.status == 0


@linux
@pytest.mark.skipif(shutil.which("socat") is None, reason="socat is not there")
def test_socat_cuts_a_late_answer_off(place: Place) -> None:
    """And passes test 1, and gives more time if it is told to."""
    commands, shown = session("late, cut off")
    assert commands == [ASK_LATE]
    for options, seconds, whole in (([], "0", True), ([], "60", False), (["-t", "60"], "1", True)):
        with (
            socat(place, *options),
            late(place, seconds),
            start("connect", "-v", place.front) as client,
        ):
            result = client.finish(b"hello\n")
        assert result.status == 0
        assert bool(result.out) is whole
        if not whole:
            assert place.printed(result) == shown


@contextmanager
def socat(place: Place, *options: str) -> Iterator[None]:
    accepting = f"TCP-LISTEN:9000,bind={place.host},fork,reuseaddr"
    # Its forks end with the connections.
    with subprocess.Popen(["socat", *options, accepting, f"TCP:{place.host}:9001"]) as process:
        try:
            wait_until(lambda: accepts(place.host, 9000))
            yield
        finally:
            process.kill()


def accepts(host: str, port: int) -> bool:
    """Whether somebody listens there: asked of the kernel, since a connection would be served."""
    address = int.from_bytes(socket.inet_aton(host), sys.byteorder)
    wanted = f" {address:08X}:{port:04X} 00000000:0000 0A "
    return wanted in Path("/proc/net/tcp").read_text()


def states(lines: list[str]) -> list[tuple[str, ...]]:
    """What each line of ss says: the state, the queues, our port and the peer's, the program."""
    found = []
    names: dict[str, str] = {}
    for line in lines:
        state, received, sent, ours, theirs, *process = line.split()
        ports = [
            port if port in ("9000", "9001", "*") else names.setdefault(port, "any")
            for port in (ours.rpartition(":")[2], theirs.rpartition(":")[2])
        ]
        program = re.sub(r".*\(\(\"(\w+?)[\d.]*\",.*", r"\1", "".join(process))
        found.append((state, received, "" if state == "LISTEN" else sent, *ports, program))
    return sorted(found)


@linux
@pytest.mark.skipif(shutil.which("ss") is None, reason="ss is not there")
def test_ss_shows_who_has_not_ended(place: Place) -> None:
    (command,), _ = session("ss")
    shown = example(PAGE, "ss", "session").splitlines()[2:]
    assert "LISTEN" not in "".join(shown)

    def now() -> list[str]:
        asked = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
        return [line for line in asked.stdout.splitlines() if place.host in line]

    with (
        place.proxy("deaf"),
        serving_sums(place),
        start("connect", place.front) as client,
    ):
        client.stdin.write(b"hello\n")
        client.stdin.close()
        expected = [row[:-1] for row in states(shown)]
        # The programs are forks of one interpreter here, so they are not told apart by name.
        try:
            wait_until(lambda: [row[:-1] for row in states(now())] == expected)
        except AssertionError:
            assert states(now()) == expected


@linux
@pytest.mark.skipif(shutil.which("ss") is None, reason="ss is not there")
def test_the_states_are_what_the_page_says() -> None:
    """Without a program that reads, so that the queues show what has come."""

    def line(ours: socket.socket, theirs: socket.socket) -> tuple[str, int, int]:
        command = ["ss", "-tan", f"( sport = :{ours.getsockname()[1]} )"]
        asked = subprocess.run(command, capture_output=True, text=True, check=True)
        port = f":{theirs.getsockname()[1]}"
        for row in asked.stdout.splitlines():
            if row.split()[4].endswith(port):
                return row.split()[0], int(row.split()[1]), int(row.split()[2])
        return "", 0, 0

    with (
        listening() as (listener, endpoint),
        dial(endpoint) as client,
        accepted(listener) as server,
    ):
        client.shutdown(socket.SHUT_WR)
        wait_until(lambda: line(client, server) == ("FIN-WAIT-2", 0, 0))
        assert line(server, client) == ("CLOSE-WAIT", 1, 0)
        assert server.recv(1) == b""
        assert line(server, client) == ("CLOSE-WAIT", 0, 0)
        fill(server)
        server.shutdown(socket.SHUT_WR)
        wait_until(lambda: line(server, client)[0] == "LAST-ACK")
        assert line(server, client)[2] > 0
        assert line(client, server)[1] > 0
        reset(client)
    with (
        listening() as (listener, endpoint),
        dial(endpoint) as client,
        accepted(listener) as server,
    ):
        fill(client)
        client.shutdown(socket.SHUT_WR)
        wait_until(lambda: line(client, server)[0] == "FIN-WAIT-1")
        assert line(client, server)[2] > 0
        (state, received, _) = line(server, client)
        assert (state, received > 0) == ("ESTAB", True)
        reset(client)


def fill(sock: socket.socket) -> None:
    """Send until nothing more is taken."""
    sock.setblocking(False)
    idle = 0
    while idle < 10:
        try:
            sock.send(bytes(65536))
            idle = 0
        except BlockingIOError:
            idle += 1
            time.sleep(0.01)


def test_a_transport_tells_where_it_is() -> None:
    look = module(PAGE, "look").look

    class Early(halfclose.HalfCloseableProtocol):
        def readConnectionLost(self) -> None:
            self.transport.loseConnection()
            self.transport.write(b"late")

        def writeConnectionLost(self) -> None:
            pass

    async def test() -> None:
        async with network() as net:
            with net.raw_listen("server") as server:
                client = await net.backend.connect("memory:server", Early)
                assert ": open, failure=None, dropped=0" in look(client.transport)
                with await server.accept() as peer:
                    peer.shutdown()
                    await client.transport.whenClosed()
                assert ": closed, failure=None, dropped=4" in look(client.transport)

    halfclose.run(lambda backend: test(), backend="memory")


def test_every_state_is_told() -> None:
    text = (ROOT / PAGE).read_text()
    for state in halfclose.State:
        assert state is halfclose.State.CONNECTING or f"`{state.value}`" in text
