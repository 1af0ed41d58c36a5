"""The installed command and other programs as subprocesses, and plain sockets as their peers."""

from __future__ import annotations

import os
import select
import selectors
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import halfclose
from environment import environment
from warm import POSSIBLE, PROGRAM, Process, fork

LIMIT = 30.0
"""Seconds that any wait may take; nothing here comes near it unless it hangs."""

VARIANTS = tuple(name for name in halfclose.available_backends() if "+" in name)

ECHO = "halfclose.examples:Echo"

PEAK_MIB = 100


class Result(NamedTuple):
    """How a command ended."""

    status: int
    out: bytes
    err: str

    @property
    def problem(self) -> str:
        """The one line on stderr."""
        assert self.err.endswith("\n"), self.err
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("halfclose: "), self.err
        return self.err[:-1]


class Command:
    """A running ``halfclose``, or another program."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.err = b""
        self._out = b""

    @property
    def stdin(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def wait_for(self, text: str) -> str:
        """Read stderr until a whole line begins with *text*, and give what follows it."""
        deadline = time.monotonic() + LIMIT
        while True:
            for line in self.err.decode().splitlines(keepends=True):
                if line.startswith(text) and line.endswith("\n"):
                    return line[len(text) : -1]
            data = _piece(self.process.stderr, deadline, f"no {text!r}: {self.err!r}")
            assert data, f"ended without {text!r}: {self.err!r}"
            self.err += data

    def line(self, limit: float = LIMIT) -> str:
        """The next line of stdout."""
        deadline = time.monotonic() + limit
        while b"\n" not in self._out:
            data = _piece(self.process.stdout, deadline, f"no line: {self._out!r}")
            assert data, f"ended: {self.finish()}"
            self._out += data
        line, _, self._out = self._out.partition(b"\n")
        return line.decode()

    def endpoint(self) -> str:
        """Where it listens."""
        return self.wait_for("listening on ")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def finish(self, data: bytes | None = None, limit: float = LIMIT) -> Result:
        """Give it *data* and the end of its input, and wait for its end."""
        out, err = self.process.communicate(data, timeout=limit)
        status = self.process.returncode
        assert status is not None
        return Result(status, self._out + (out or b""), (self.err + (err or b"")).decode())

    def end(self) -> Result:
        """Wait for an end that its input, which stays open, has no part in."""
        self.process.wait(LIMIT)
        return self.finish()

    def peak_mib(self) -> float:
        """The most memory that it has had so far."""
        return int(self._status("VmHWM")) / 1024

    def handles_signals(self) -> bool:
        """Whether it handles SIGTERM now."""
        return bool(int(self._status("SigCgt"), 16) >> (signal.SIGTERM - 1) & 1)

    def is_asleep(self) -> bool:
        """Whether each of its threads waits for something, and none for a processor."""
        states = set()
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                states.add((task / "stat").read_text().rpartition(")")[2].split()[0])
            except OSError:
                return False
        return states == {"S"}

    def _status(self, field: str) -> str:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(line for line in lines if line.startswith(f"{field}:")).split()[1]

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def _piece(stream: IO[bytes] | None, deadline: float, complaint: str) -> bytes:
    """What comes next from *stream*; empty: its end. It fails with *complaint* if nothing comes."""
    assert stream is not None
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        assert selector.select(deadline - time.monotonic()), complaint
    return os.read(stream.fileno(), 65536)


@contextmanager
def start(
    *arguments: str, env: Mapping[str, str] | None = None, fresh: bool = False, **popen: Any
) -> Iterator[Command]:
    """``halfclose *arguments``, gone at the end of the block, whatever happens in it.

    A fork of an interpreter that is warm, unless something is asked for that an interpreter does
    before it runs anything.

    :param fresh: whether a new interpreter is to run the installed script.
    :param popen: what `subprocess.Popen` takes beside.
    """
    settings: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    settings.update(popen)
    full = environment(env)
    process: Process
    if fresh or not POSSIBLE or _is_for_the_interpreter(env or {}, settings):
        process = subprocess.Popen([PROGRAM, *arguments], env=full, bufsize=0, **settings)
    else:
        given = [settings[name] for name in ("stdin", "stdout", "stderr")]
        process = fork(arguments, full, str(settings.get("cwd") or Path.cwd()), given)
    with running(process) as command:
        yield command


@contextmanager
def running(process: Process) -> Iterator[Command]:
    """*process* as a `Command`, gone at the end of the block, whatever happens in it."""
    with process:
        try:
            yield Command(process)
        finally:
            if process.poll() is None:
                process.kill()


def _is_for_the_interpreter(env: Mapping[str, str], settings: Mapping[str, Any]) -> bool:
    beside = settings.keys() - {"stdin", "stdout", "stderr", "cwd"}
    read = [name for name in env if name.startswith(("PYTHON", "LC_", "LANG"))]
    return bool(beside) or any(name != "PYTHONPATH" for name in read)


def halfclose_(*arguments: str, data: bytes = b"", limit: float = LIMIT, **settings: Any) -> Result:
    """Run ``halfclose *arguments`` to its end."""
    with start(*arguments, **settings) as command:
        return command.finish(data if command.process.stdin is not None else None, limit)


def dial(endpoint: str) -> socket.socket:
    """A plain socket, connected to *endpoint*."""
    where = halfclose.parse_endpoint(endpoint)
    if isinstance(where, halfclose.TCP):
        return socket.create_connection((where.host, where.port), timeout=LIMIT)
    assert isinstance(where, halfclose.UNIX)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(LIMIT)
    try:
        sock.connect(where.path)
    except BaseException:
        sock.close()
        raise
    return sock


@contextmanager
def listening() -> Iterator[tuple[socket.socket, str]]:
    """A plain listening socket, and the endpoint that leads to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT)
        yield listener, f"tcp:127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def refusing() -> Iterator[str]:
    """An endpoint where nobody listens, nor can come to listen meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"tcp:127.0.0.1:{sock.getsockname()[1]}"


@contextmanager
def accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """The next connection."""
    sock, _ = listener.accept()
    with sock:
        sock.settimeout(LIMIT)
        yield sock


@contextmanager
def serving(behave: Callable[[socket.socket], object]) -> Iterator[str]:
    """An endpoint whose one connection *behave* has, a plain socket in a thread of its own.

    At the end of the block it has ended; what it raised is raised there.
    """

    def serve() -> None:
        with accepted(listener) as sock:
            behave(sock)

    with listening() as (listener, endpoint), ThreadPoolExecutor() as pool:
        thread = pool.submit(serve)
        yield endpoint
        thread.result(LIMIT)


def read_all(sock: socket.socket) -> bytes:
    """Everything up to the end of stream."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def read_to_end(sock: socket.socket) -> tuple[bytes, str]:
    """What still comes, and how that ends: "eof" or "reset"."""
    received = bytearray()
    try:
        while data := sock.recv(65536):
            received += data
    except ConnectionResetError:
        return bytes(received), "reset"
    return bytes(received), "eof"


def ask(sock: socket.socket, question: bytes) -> bytes:
    """Send *question*, end our half, and read everything up to the end of the peer's."""
    sock.sendall(question)
    sock.shutdown(socket.SHUT_WR)
    return read_all(sock)


def fill(command: Command, sock: socket.socket, most: int = 64 << 20) -> int:
    """Send until *command* waits for something else than input, and give the bytes sent."""
    sock.settimeout(0.5)
    sent = 0
    while sent < most:
        try:
            sent += sock.send(b"x" * 65536)
        except TimeoutError:
            if command.is_asleep():
                break
    sock.settimeout(LIMIT)
    return sent


def fill_pipe(command: Command, most: int = 64 << 20) -> int:
    """`fill`, for its standard input."""
    fd = command.stdin.fileno()
    os.set_blocking(fd, False)
    sent = 0
    while sent < most:
        if select.select([], [fd], [], 0.5)[1]:
            sent += os.write(fd, b"x" * 65536)
        elif command.is_asleep():
            break
    return sent


def wait_until(true: Callable[[], bool]) -> None:
    """Look again and again, for what tells nobody when it happens."""
    deadline = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def reset(sock: socket.socket) -> None:
    """Close so that the peer sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
