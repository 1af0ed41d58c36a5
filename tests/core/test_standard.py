"""Standard descriptors: what no flag may be set on, and nothing may wait for."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from core.support import VARIANTS
from halfclose import ConnectError
from halfclose.io import standard
from halfclose.io.standard import InheritedSocket, Standard, _Own, _Shared
from halfclose.io.syscalls import socket_of, without_sigpipe
from halfclose.testing.judging.isolation import Work, each

LIMIT = 20.0

HOW = {"as the system can": getattr(os, "RWF_NOWAIT", None), "polled first": None}


@pytest.fixture
def ends() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=HOW)
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard, "_NO_WAIT", HOW[request.param])


def pipe(ends: ExitStack) -> tuple[int, int]:
    pair = os.pipe()
    for fd in pair:
        ends.callback(os.close, fd)
    return pair


def terminal(ends: ExitStack) -> tuple[int, int]:
    """A terminal's master, and its slave, which does not echo."""
    master, slave = pty.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    for fd in (master, slave):
        ends.callback(os.close, fd)
    return master, slave


def shown(master: int, count: int) -> bytes:
    """The next *count* bytes of a terminal, which hands on what it processes piece by piece."""
    data = b""
    while len(data) < count:
        ready, _, _ = select.select([master], [], [], LIMIT)
        assert ready, data
        data += os.read(master, count - len(data))
    return data


def until_stopped(slave: int) -> None:
    """Wait until a terminal takes no output: the kernel sees to its keys in its own time."""
    end = time.monotonic() + LIMIT
    while select.select([], [slave], [], 0)[1]:
        assert time.monotonic() < end
        time.sleep(0.001)


def alone(function: Callable[[], object]) -> object:
    """What *function* gives in a process of its own, which may change who and where it is."""
    ((_, result),) = each([Work("alone", function)], 1, LIMIT)
    return result


def in_a_session(function: Callable[[], object]) -> object:
    """`alone`, in a session of its own, which the leader of a group cannot begin."""

    def fork() -> object:
        result, writing = os.pipe()
        if os.fork() == 0:
            os.setsid()
            # Its first terminal is not to be taken from us at its end.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            os.write(writing, str(function()).encode())
            os._exit(0)
        os.close(writing)
        os.wait()
        return os.read(result, 100).decode()

    return alone(fork)


@pytest.mark.usefixtures("how")
def test_a_shared_pipe_is_read_without_waiting(ends: ExitStack) -> None:
    reading, writing = os.pipe()
    ends.callback(os.close, reading)
    file = _Shared(reading)
    with pytest.raises(BlockingIOError):
        file.read()
    os.write(writing, b"in")
    assert file.read() == b"in"
    with pytest.raises(BlockingIOError):
        file.read()
    os.close(writing)
    assert file.read() == b""


@pytest.mark.usefixtures("how")
def test_a_shared_pipe_is_written_without_waiting(ends: ExitStack) -> None:
    reading, writing = pipe(ends)
    file = _Shared(writing)
    written = file.write(b"x" * (1 << 20))
    assert written
    try:
        assert file.write(b"x" * (1 << 20)) == 0
    except BlockingIOError:
        pass
    assert len(os.read(reading, 1 << 20)) == written
    assert file.write(b"more") == 4
    assert not fcntl.fcntl(writing, fcntl.F_GETFL) & os.O_NONBLOCK


@pytest.mark.usefixtures("how")
def test_a_shared_pipe_whose_reader_has_gone_is_broken(ends: ExitStack) -> None:
    reading, writing = os.pipe()
    ends.callback(os.close, writing)
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        _Shared(writing).write(b"x")


@pytest.mark.usefixtures("how")
def test_much_goes_through_a_shared_pipe(ends: ExitStack) -> None:
    reading, writing = pipe(ends)
    source, sink = _Shared(writing), _Shared(reading)
    size, received = 1 << 25, 0

    def write() -> None:
        data = memoryview(bytes(size))
        while data:
            select.select([], [writing], [], LIMIT)
            try:
                data = data[source.write(data) :]
            except BlockingIOError:
                continue

    thread = threading.Thread(target=write)
    thread.start()
    while received < size:
        ready, _, _ = select.select([reading], [], [], LIMIT)
        assert ready
        try:
            received += len(sink.read())
        except BlockingIOError:
            continue
    thread.join()
    assert received == size


def test_a_stopped_terminal_is_not_waited_for(ends: ExitStack) -> None:
    master, slave = terminal(ends)
    file = _Shared(slave)
    os.write(master, b"\x13")  # ^S
    until_stopped(slave)
    assert file.write(b"stopped\n") == 0
    os.write(master, b"\x11")  # ^Q
    assert select.select([], [slave], [], LIMIT)[1]
    assert file.write(b"on\n") == 3
    assert shown(master, 4) == b"on\r\n"


@pytest.mark.parametrize("data", [b"x", b"\n", b"\t"])
def test_a_terminal_that_nobody_reads_is_not_waited_for(ends: ExitStack, data: bytes) -> None:
    _master, slave = terminal(ends)
    attributes = termios.tcgetattr(slave)
    attributes[1] |= termios.TAB3  # what makes the most of a byte
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    file, written = _Shared(slave), 0
    while count := file.write(data * (1 << 16)):
        written += count
    assert written


@pytest.mark.parametrize("inherited", [0, os.O_NONBLOCK])
def test_where_to_open_is_to_duplicate_the_flags_stay(
    ends: ExitStack, monkeypatch: pytest.MonkeyPatch, inherited: int
) -> None:
    """As on BSD and macOS, where /dev/fd/N is dup(N)."""
    reading, _ = pipe(ends)
    fcntl.fcntl(reading, fcntl.F_SETFL, inherited)
    before = fcntl.fcntl(reading, fcntl.F_GETFL)
    monkeypatch.setattr(os, "open", lambda path, flags: os.dup(int(path.rpartition("/")[2])))
    file = standard._open(Standard.at(reading), os.O_RDONLY)
    ends.callback(file.close)
    assert isinstance(file, _Shared)
    assert fcntl.fcntl(reading, fcntl.F_GETFL) == before
    with pytest.raises(BlockingIOError):
        file.read()


def test_a_pipe_is_opened_anew_whatever_its_flags(ends: ExitStack) -> None:
    reading, _ = pipe(ends)
    for inherited in (0, os.O_NONBLOCK, os.O_APPEND, os.O_APPEND | os.O_NONBLOCK):
        fcntl.fcntl(reading, fcntl.F_SETFL, inherited)
        file = standard._open(Standard.at(reading), os.O_RDONLY)
        assert isinstance(file, _Own), inherited
        assert not os.get_blocking(file.fd)
        file.close()


def test_the_master_of_a_terminal_is_not_opened_anew(ends: ExitStack) -> None:
    """To open it is to make another pair, of which nobody has the slave."""
    master, slave = terminal(ends)
    attributes = termios.tcgetattr(slave)
    attributes[3] &= ~termios.ICANON
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    file = standard._open(Standard.at(master), os.O_RDWR)
    ends.callback(file.close)
    assert file.write(b"in") == 2
    assert shown(slave, 2) == b"in"
    os.write(slave, b"out")
    assert select.select([file.fd], [], [], LIMIT)[0]
    assert file.read() == b"out"
    with pytest.raises(BlockingIOError):
        file.read()
    assert os.get_blocking(master)


def test_the_own_terminal_of_somebody_else_is_opened_by_its_other_name() -> None:
    """After su(1) the terminal is still the first user's; /dev/tty opens it all the same."""

    def body() -> str:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        os.fchmod(slave, 0)
        if os.geteuid() == 0:
            os.seteuid(65534)
        file = standard._open(Standard.at(slave), os.O_WRONLY)
        file.write(b"out")
        assert shown(master, 3) == b"out"
        assert os.get_blocking(slave)
        return type(file).__name__

    assert in_a_session(body) == "_Own"


def test_a_terminal_of_somebody_else_that_is_not_ours_is_shared() -> None:
    def body() -> str:
        master, slave = pty.openpty()
        os.fchmod(slave, 0)
        if os.geteuid() == 0:
            os.seteuid(65534)
        file = standard._open(Standard.at(slave), os.O_WRONLY)
        file.write(b"out")
        assert shown(master, 3) == b"out"
        assert os.get_blocking(slave)
        return type(file).__name__

    assert in_a_session(body) == "_Shared"


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("blocking", [True, False])
def test_a_default_timeout_is_not_that_of_an_inherited_socket(
    ends: ExitStack, monkeypatch: pytest.MonkeyPatch, known: bool, blocking: bool
) -> None:
    if not known:
        monkeypatch.delattr(socket, "SOCK_NONBLOCK")
    pair = socket.socketpair()
    for each_end in pair:
        ends.enter_context(each_end)
    pair[0].setblocking(blocking)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(LIMIT)
    try:
        sock = ends.enter_context(socket_of(os.dup(pair[0].fileno()), InheritedSocket))
    finally:
        socket.setdefaulttimeout(before)
    assert os.get_blocking(pair[0].fileno()) == blocking
    assert not sock.gettimeout()
    with pytest.raises(BlockingIOError):
        sock.recv(1)
    assert sock.family == socket.AF_UNIX


def test_no_socket_is_an_error_and_stays_open(ends: ExitStack) -> None:
    reading, _ = pipe(ends)
    with pytest.raises(OSError, match="non-socket"):
        socket_of(reading, socket.socket)
    os.fstat(reading)


def test_a_signal_of_somebody_else_goes_on_waiting(ends: ExitStack) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ends.callback(os.close, writing)

    def body() -> bool:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        signal.raise_signal(signal.SIGPIPE)
        with pytest.raises(BrokenPipeError):
            without_sigpipe(lambda data: os.write(writing, data), b"x")
        return signal.SIGPIPE in signal.sigpending()

    assert alone(body) is True


def test_a_program_that_forks_by_multiprocessing_has_an_empty_input() -> None:
    """Its child's descriptor 0 is /dev/null, opened there and so closed on exec."""

    def body() -> bool:
        os.close(0)
        assert os.open(os.devnull, os.O_RDONLY) == 0
        return not os.get_inheritable(0) and Standard.ours(0).fd == 0

    assert alone(body) is True


PROGRAM = """
    import sys
    import halfclose
    from halfclose.examples import Echo

    async def main(backend):
        async with await backend.listen("tcp:127.0.0.1:0", Echo) as listener:
            echo = await backend.connect(listener.endpoint, Echo)
            echo.transport.abortConnection()
            await echo.transport.whenClosed()
        try:
            await backend.connect("stdio:", Echo)
        except halfclose.ConnectError:
            return "refused"

    said = [halfclose.run(main, backend=sys.argv[1]) for _ in range(2)]
    with open(sys.argv[2], "w") as file:
        file.write(" ".join(said))
"""


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("redirections", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_a_program_without_standard_descriptors(
    variant: str, redirections: str, tmp_path: Path
) -> None:
    """A loop may not want one of their numbers: libuv aborts the process."""
    said = tmp_path / "said"
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM), variant, str(said)]
    line = f'exec "$0" "$@" {redirections}'
    ran = subprocess.run(["sh", "-c", line, *program], timeout=180, check=False)
    assert (ran.returncode, said.read_text()) == (0, "refused refused")


def test_what_stands_in_for_a_closed_descriptor_is_not_the_programs() -> None:
    def body() -> list[str]:
        os.close(0)
        standard.occupy()
        said = [f"{os.get_inheritable(0)}"]
        try:
            Standard.ours(0)
        except ConnectError as error:
            said.append(str(error))
        # Put there on purpose, it is an input that is empty.
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        said.append(str(Standard.ours(0).fd))
        return said

    assert alone(body) == ["False", "cannot connect to stdio: standard input is closed", "0"]


def test_where_no_standard_descriptor_is_closed_nothing_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "devnull", "/no/such/file")
    standard.occupy()
