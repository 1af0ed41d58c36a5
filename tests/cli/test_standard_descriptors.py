"""What the command makes of the descriptors that it is started with."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest
from warm import PROGRAM

from .support import ECHO, LIMIT, read_all, start

CLOSED = {"<&-": "input", ">&-": "output", "2>&-": "error", "<&- >&- 2>&-": "everything"}


def shell(redirections: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """The command with some of its standard descriptors closed."""
    line = f'exec "$0" "$@" {redirections}'
    return subprocess.run(
        ["sh", "-c", line, PROGRAM, *arguments],
        input=b"",
        capture_output=True,
        timeout=4 * LIMIT,
        check=False,
    )


SOME = ("anyio+uvloop", "anyio+trio", "twisted+epoll")
"""Those that met it each in its own way; what is in core is tested on all by the contract."""

EXPLORE = ("explore", "anyio+uvloop", "--seconds", "2", "--seed", "1")


@pytest.mark.parametrize(
    ("redirections", "arguments"),
    [*((each, ("backends",)) for each in CLOSED), ("<&-", EXPLORE), ("2>&-", EXPLORE)],
)
def test_a_closed_descriptor(redirections: str, arguments: tuple[str, ...]) -> None:
    """No verdict changes by it; only a command that cannot print what it was asked for fails."""
    result = shell(redirections, *arguments)
    if ">&-" in redirections.split():
        assert result.returncode == 1
        said = b"" if "2>&-" in redirections else b"halfclose: [Errno 9] Bad file descriptor\n"
        assert result.stderr == said
    else:
        assert (result.returncode, result.stderr) == (0, b""), result.stdout.decode()
        assert result.stdout


@pytest.mark.parametrize("redirections", ["<&-", ">&-"])
def test_stdio_needs_both(redirections: str) -> None:
    result = shell(redirections, "run", "--backend", "anyio+uvloop", ECHO, "stdio:")
    problem = f"halfclose: standard {CLOSED[redirections]} is closed\n"
    assert (result.returncode, result.stderr) == (1, problem.encode())


@pytest.mark.parametrize("variant", SOME)
def test_no_standard_error(variant: str) -> None:
    """Nothing of ours gets its number, and so none of what a library says goes there."""
    line = 'exec "$0" "$@" 2>&-'
    ran = subprocess.run(
        ["sh", "-c", line, PROGRAM, "run", "--backend", variant, ECHO, "stdio:"],
        input=b"hello",
        stdout=subprocess.PIPE,
        timeout=LIMIT,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, b"hello")


@pytest.mark.parametrize("variant", SOME)
def test_nohup(variant: str) -> None:
    """Standard input is open for writing only: the answer comes whole, and nothing is ended."""
    null = os.open(os.devnull, os.O_WRONLY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(LIMIT)
        where = f"tcp:127.0.0.1:{server.getsockname()[1]}"
        with start("connect", "--backend", variant, where, stdin=null) as command:
            os.close(null)
            peer, _ = server.accept()
            with peer:
                peer.settimeout(LIMIT)
                peer.sendall(b"a first answer\n")
                assert command.stdout.readline() == b"a first answer\n"
                peer.setblocking(False)
                with pytest.raises(BlockingIOError):
                    peer.recv(1)
                peer.settimeout(LIMIT)
                peer.sendall(b"a second one\n")
                peer.shutdown(socket.SHUT_WR)
                assert peer.recv(1) == b""
            result = command.end()
    assert (result.status, result.out, result.err) == (0, b"a second one\n", "")


@pytest.fixture
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client, and the socket that inetd would give to the server that it starts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname(), LIMIT)
        accepted, _ = server.accept()
    with closing(client), closing(accepted):
        yield client, accepted


def by_inetd(sock: socket.socket, *arguments: str) -> subprocess.Popen[bytes]:
    fd = sock.fileno()
    return subprocess.Popen([PROGRAM, *arguments], stdin=fd, stdout=fd, stderr=fd)


@pytest.mark.parametrize("variant", SOME)
def test_inetd(variant: str, connected: tuple[socket.socket, socket.socket]) -> None:
    client, accepted = connected
    arguments = ("run", "--backend", variant, "--log-level", "debug", ECHO, "stdio:")
    with by_inetd(accepted, *arguments) as process:
        accepted.close()
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"hello"
        assert process.wait(LIMIT) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "no_such_module:Echo", "stdio:"),
        ("connect", "unix:/nonexistent"),
        ("connect",),
        ("listen", "--timeout", "0.1", "tcp:127.0.0.1:0"),
    ],
    ids=" ".join,
)
def test_what_goes_wrong_is_not_told_to_the_peer(
    arguments: tuple[str, ...], connected: tuple[socket.socket, socket.socket]
) -> None:
    client, accepted = connected
    with by_inetd(accepted, *arguments) as process:
        accepted.close()
        assert read_all(client) == b""
        assert process.wait(LIMIT) in (1, 2)
