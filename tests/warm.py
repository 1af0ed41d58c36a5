"""Starts programs as forks of an interpreter that has imported everything already.

A program of ours takes half a second of processor time to start, nearly all of it for imports, and
these tests start a thousand. `fork` runs this file as a program, once for each process of tests,
and has it fork: the child is given the arguments, the environment, the folder and the descriptors,
and is from there on what the installed script is, or ``python -c``. A test of the start itself, or
of what is imported, begins with an interpreter of its own: see `cli.support.start` and
`core.support.python`.
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeAlias

PROGRAM = str(Path(sys.executable).with_name("halfclose"))

POSSIBLE = hasattr(os, "pidfd_open")
"""Whether the system has what `fork` needs, as Linux does; elsewhere a program begins anew."""

_SIZE = 1 << 17
"""More than a request has; arguments and environment together."""

IMPORTED = (
    *("asyncio", "uvloop", "trio", "anyio._backends._asyncio", "anyio._backends._trio"),
    *("twisted.internet.asyncioreactor", "twisted.internet.epollreactor"),
    *("twisted.internet.pollreactor", "twisted.internet.selectreactor"),
    *("halfclose_anyio.on_asyncio", "halfclose_anyio.on_trio"),
    *("halfclose_anyio.plugin", "halfclose_anyio.trio", "halfclose_anyio.uvloop"),
    *("halfclose_twisted.backend", "halfclose_twisted.plugin", "halfclose_twisted.uvloop"),
    *("halfclose.memory.backend", "halfclose.memory.plugin", "halfclose.examples"),
    *("halfclose.cli.commands", "halfclose.cli.demo", "halfclose.cli.listing"),
    *("halfclose.cli.relaying", "halfclose.cli.serving", "halfclose.cli.signals"),
    *("encodings.idna", "hypothesis", "rich.live", "rich.table"),
)
"""What programs import, frameworks first. None of it does anything when it is imported."""


# -- in the process of the tests -------------------------------------------------------------------


class Fork:
    """A command, with what `subprocess.Popen` has and these tests use.

    :param streams: for each of the first three descriptors, our end of a pipe, or None.
    """

    def __init__(
        self, connection: socket.socket, arguments: Sequence[str], streams: list[IO[bytes] | None]
    ) -> None:
        self.args = arguments
        self.stdin, self.stdout, self.stderr = streams
        self.returncode: int | None = None
        self._connection = connection
        self.pid = _number(connection)

    def poll(self) -> int | None:
        """How it ended, as `subprocess` tells it; None while it runs."""
        return self._look(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        :raises subprocess.TimeoutExpired: it did not come.
        """
        status = self._look(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(list(self.args), timeout or 0.0)
        return status

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                self.returncode = _number(self._connection)
            except (TimeoutError, BlockingIOError):
                return None
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it is there still."""
        if self.poll() is None:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass  # it has ended, and we are about to be told

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def communicate(
        self, data: bytes | None = None, timeout: float | None = None
    ) -> tuple[bytes | None, bytes | None]:
        """Write *data*, read everything, wait for the end.

        :raises subprocess.TimeoutExpired: it did not come.
        """
        end = time.monotonic() + timeout if timeout is not None else None
        left = memoryview(data or b"")
        read: dict[int, list[bytes]] = {}
        with selectors.DefaultSelector() as selector:
            if self.stdin is not None and not self.stdin.closed:
                if left:
                    os.set_blocking(self.stdin.fileno(), False)
                    selector.register(self.stdin, selectors.EVENT_WRITE)
                else:
                    self.stdin.close()
            for stream in (self.stdout, self.stderr):
                if stream is not None and not stream.closed:
                    read[stream.fileno()] = []
                    selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(None if end is None else end - time.monotonic())
                if not ready and end is not None and time.monotonic() >= end:
                    raise subprocess.TimeoutExpired(list(self.args), timeout or 0.0)
                for key, events in ready:
                    if events & selectors.EVENT_WRITE:
                        try:
                            left = left[os.write(key.fd, left) :]
                        except BrokenPipeError:
                            left = left[:0]
                        if not left and self.stdin is not None:
                            selector.unregister(self.stdin)
                            self.stdin.close()
                    elif piece := os.read(key.fd, 1 << 16):
                        read[key.fd].append(piece)
                    else:
                        selector.unregister(key.fileobj)
        self.wait(None if end is None else max(0.0, end - time.monotonic()))
        told: list[bytes | None] = []
        for stream in (self.stdout, self.stderr):
            told.append(
                None if stream is None or stream.closed else b"".join(read[stream.fileno()])
            )
            if stream is not None:
                stream.close()
        return told[0], told[1]

    def __enter__(self) -> Fork:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()


Process: TypeAlias = subprocess.Popen[bytes] | Fork
"""A program that was started, one way or the other."""

_ENDED = "tests/warm.py, which forks, has ended; what it said is with the first test that it served"


def _number(connection: socket.socket) -> int:
    """The next number that the program that forks tells.

    :raises RuntimeError: it has ended.
    """
    told = connection.recv(64)
    if not told:
        raise RuntimeError(_ENDED)
    return int(told)


@functools.cache
def _server() -> socket.socket:
    """The connection to the program that forks; it ends when this process does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.run(
            [sys.executable, __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            check=True,
        )
    return ours


def fork(
    arguments: Sequence[str],
    env: Mapping[str, str],
    cwd: str,
    given: Sequence[Any],
    code: str | None = None,
) -> Fork:
    """``halfclose *arguments``, or ``python -c code *arguments``.

    :param given: standard input, output and error, as `subprocess.Popen` takes them.
    :raises RuntimeError: the program that forks has ended.
    """
    streams: list[IO[bytes] | None] = []
    passed: list[int] = []
    opened: list[int] = []
    for number, stream in enumerate(given):
        ours: IO[bytes] | None = None
        if stream == subprocess.PIPE:
            reading, writing = os.pipe()
            mine, theirs = (writing, reading) if number == 0 else (reading, writing)
            ours = open(mine, "wb" if number == 0 else "rb", buffering=0)  # noqa: SIM115
            opened.append(theirs)
        elif stream == subprocess.DEVNULL:
            theirs = os.open(os.devnull, os.O_RDWR)
            opened.append(theirs)
        else:
            theirs = number if stream is None else stream
            theirs = theirs if isinstance(theirs, int) else theirs.fileno()
        streams.append(ours)
        passed.append(theirs)
    connection, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request = json.dumps([list(arguments), dict(env), cwd, code]).encode(errors="surrogatepass")
    assert len(request) < _SIZE
    try:
        with far:
            socket.send_fds(_server(), [request], [*passed, far.fileno()])
        return Fork(connection, arguments, streams)
    except (ConnectionError, RuntimeError):
        for one in (connection, *streams):
            if one is not None:
                one.close()
        raise RuntimeError(_ENDED) from None
    finally:
        for descriptor in opened:
            os.close(descriptor)


def python(
    code: str, arguments: Sequence[str], env: Mapping[str, str], cwd: str, given: Sequence[Any]
) -> Process:
    """``python -c code *arguments``: a fork where there can be one, else a new interpreter.

    :param given: standard input, output and error, as `subprocess.Popen` takes them.
    """
    if POSSIBLE:
        return fork(arguments, env, cwd, given, code)
    stdin, stdout, stderr = given
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=env,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        bufsize=0,
    )


# -- in the process that forks ---------------------------------------------------------------------


def serve(control: socket.socket) -> tuple[list[str], str | None]:
    """Fork as often as *control* asks for it. A child alone returns, with what it is to run.

    :raises SystemExit: the tests are over.
    """
    running: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    pid, connection = running.pop(key.fd)
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    _tell(connection, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                    connection.close()
                    continue
                request, passed, _, _ = socket.recv_fds(control, _SIZE, 4)
                if not request:
                    raise SystemExit
                # Before it is what it is to be, no signal reaches it.
                before = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
                pid = os.fork()
                if pid == 0:
                    program = _become(request, passed)
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
                    return program
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                connection = socket.socket(fileno=passed.pop())
                for descriptor in passed:
                    os.close(descriptor)
                _tell(connection, pid)
                ended = os.pidfd_open(pid)
                running[ended] = pid, connection
                selector.register(ended, selectors.EVENT_READ)


def _tell(connection: socket.socket, number: int) -> None:
    try:
        connection.send(b"%d" % number)
    except BrokenPipeError:
        pass  # nobody waits for it any more


def _become(request: bytes, passed: list[int]) -> tuple[list[str], str | None]:
    """Have this process be as a new interpreter is before it runs anything."""
    arguments, env, cwd, code = json.loads(request.decode(errors="surrogatepass"))
    for number, descriptor in enumerate(passed[:3]):
        # The standard ones are taken, so none of those passed is one of them.
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = [folder for folder in env.get("PYTHONPATH", "").split(os.pathsep) if folder]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        buffered = open(number, "rb" if number == 0 else "wb", closefd=False)  # noqa: SIM115
        new = type(old)(
            buffered,
            encoding=old.encoding,
            errors=old.errors,
            newline="\n",
            line_buffering=number == 2 or os.isatty(number),
        )
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    return arguments, code


def import_everything() -> None:
    """Import what every program imports, so that those that are forked need not."""
    for name in IMPORTED:
        importlib.import_module(name)


def _settle() -> None:
    import_everything()
    # Hypothesis looks once who refers to Python's random generator, and would find nobody below.
    hypothesis = sys.modules["hypothesis"]
    # Without a database: to save an example there, it chooses the folder for temporary files, and
    # each child has one of its own.
    alone = hypothesis.settings(database=None)
    hypothesis.find(hypothesis.strategies.none(), lambda _: True, settings=alone)
    # No child collects what was there before it, and so none copies it.
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    # No child of the tests, some of which look whether they have any.
    if os.fork():
        os._exit(0)
    try:
        # What is beside this file is for no program to import.
        del sys.path[0]
        _settle()
        arguments, code = serve(socket.socket(fileno=int(sys.argv[1])))
    except KeyboardInterrupt:
        sys.exit(130)
    if code is not None:
        sys.argv = ["-c", *arguments]
        sys.path.insert(0, "")
        main_module = types.ModuleType("__main__")
        sys.modules["__main__"] = main_module
        exec(compile(code, "<string>", "exec"), vars(main_module))
    else:
        sys.argv = [PROGRAM, *arguments]
        sys.path.insert(0, os.path.dirname(PROGRAM))
        from halfclose.cli import main

        sys.exit(main())
