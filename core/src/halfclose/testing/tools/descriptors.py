"""Files of every sort for descriptors 0 and 1, and the test's access to their other ends."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import socket
import tempfile
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    nullcontext,
)
from dataclasses import dataclass

from ..channels.peers import LIMIT
from ..channels.pipes import STDIN, standard_descriptors
from ..tools.harness import Net
from ..tools.recorder import Recorder

__all__ = [
    "INPUTS",
    "OUTPUTS",
    "Ends",
    "Input",
    "Output",
    "connected",
    "flags",
    "identity",
    "is_null",
    "one_for_both",
    "read_fully",
    "what_is_left",
]


@asynccontextmanager
async def connected(
    net: Net,
    stdin: int,
    stdout: int,
    *,
    enter: Callable[[], AbstractContextManager[object]] = nullcontext,
    **reactions: Callable[..., object],
) -> AsyncIterator[Recorder]:
    """Connect a recorder to ``stdio:``, with *stdin* and *stdout* at descriptors 0 and 1.

    :param enter: makes a context manager that is entered while it connects.
    :param reactions: what the recorder does in its events.
    """
    with standard_descriptors(stdin, stdout):
        protocol = Recorder(**reactions)
        net.watch(protocol)
        with enter():
            await net.backend.connect("stdio:", lambda: protocol)
        try:
            yield protocol
        finally:
            protocol.transport.abortConnection()
            await protocol.transport.whenClosed()


class Ends(ExitStack):
    """Makes files and pairs of descriptors, and at the end closes those that are still open."""

    def __init__(self) -> None:
        super().__init__()
        self._open: set[int] = set()
        self.callback(self._close_all)

    def _close_all(self) -> None:
        for fd in list(self._open):
            self.close_one(fd)

    def keep(self, fd: int) -> int:
        """Close *fd* at the end, unless `close_one` does before. Returns *fd*."""
        self._open.add(fd)
        return fd

    def close_one(self, fd: int) -> None:
        """Close *fd*. Idempotent."""
        if fd in self._open:
            self._open.remove(fd)
            os.close(fd)

    def terminal(self) -> tuple[int, int]:
        """The master of a new terminal, which is kept, and its slave, which does not echo."""
        master, slave = pty.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        return self.keep(master), slave

    def sockets(self) -> tuple[socket.socket, int]:
        """A new pair of sockets: the test's end, and the descriptor of the other."""
        theirs, ours = socket.socketpair()
        theirs.settimeout(LIMIT)
        return self.enter_context(theirs), ours.detach()

    def file(self, content: bytes = b"") -> int:
        """A new regular file with *content*, open at its beginning, which is kept."""
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        return self.keep(fd)


@dataclass(frozen=True)
class Input:
    """A file to be descriptor 0."""

    fd: int
    feed: Callable[[bytes], object]
    """Puts a line into it, for our side to read."""
    end: Callable[[], object]
    """Ends it, so that our side reads the end of stream."""
    gives: bool = True
    """Whether our side can read the lines that are fed; /dev/null has none."""


@dataclass(frozen=True)
class Output:
    """A file to be descriptor 1."""

    fd: int
    read: Callable[[int], bytes]
    """Reads that many of the bytes that our side wrote; fewer at the end of stream."""
    ends: bool = False
    """Whether its reader sees our side's end of stream."""
    keeps: bool = True
    """Whether what our side writes can be read; not so for /dev/null."""


def input_pipe(ends: Ends) -> Input:
    stdin, theirs = os.pipe()
    ends.keep(theirs)
    return Input(stdin, lambda line: os.write(theirs, line), lambda: ends.close_one(theirs))


def _input_fifo(ends: Ends) -> Input:
    path = os.path.join(ends.enter_context(tempfile.TemporaryDirectory(prefix="hc")), "fifo")
    os.mkfifo(path)
    stdin = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    theirs = ends.keep(os.open(path, os.O_WRONLY))
    os.set_blocking(stdin, True)
    return Input(stdin, lambda line: os.write(theirs, line), lambda: ends.close_one(theirs))


def _input_terminal(ends: Ends) -> Input:
    master, slave = ends.terminal()
    return Input(slave, lambda line: os.write(master, line), lambda: os.write(master, b"\x04"))


def _input_terminal_that_hangs_up(ends: Ends) -> Input:
    master, slave = ends.terminal()
    return Input(slave, lambda line: os.write(master, line), lambda: ends.close_one(master))


def input_socket(ends: Ends) -> Input:
    theirs, ours = ends.sockets()
    return Input(ours, theirs.sendall, lambda: theirs.shutdown(socket.SHUT_WR))


def _input_null(ends: Ends) -> Input:
    null = os.open(os.devnull, os.O_RDONLY)
    return Input(null, lambda line: None, lambda: None, gives=False)


def _input_file(ends: Ends) -> Input:
    file = ends.file()

    def feed(line: bytes) -> None:
        os.pwrite(file, line, os.fstat(file).st_size)

    return Input(os.dup(file), feed, lambda: None)


INPUTS = {
    "pipe": input_pipe,
    "fifo": _input_fifo,
    "terminal": _input_terminal,
    "terminal that hangs up": _input_terminal_that_hangs_up,
    "socket": input_socket,
    "/dev/null": _input_null,
    "regular file": _input_file,
}


def read_fully(read: Callable[[int], bytes], size: int) -> bytes:
    """Call *read* until there are *size* bytes, or until it gives none at the end of stream."""
    data = bytearray()
    while len(data) < size:
        piece = read(size - len(data))
        if not piece:
            break
        data += piece
    return bytes(data)


def _read_descriptor(fd: int) -> Callable[[int], bytes]:
    def read(size: int) -> bytes:
        def read_some(size: int) -> bytes:
            ready, _, _ = select.select([fd], [], [], LIMIT)
            assert ready, "there was nothing to read"
            return os.read(fd, size)

        return read_fully(read_some, size)

    return read


def output_pipe(ends: Ends) -> Output:
    theirs, stdout = os.pipe()
    return Output(stdout, _read_descriptor(ends.keep(theirs)), ends=True)


def _output_terminal(ends: Ends) -> Output:
    master, slave = ends.terminal()
    return Output(slave, _read_descriptor(master))


def output_socket(ends: Ends) -> Output:
    theirs, ours = ends.sockets()
    return Output(ours, lambda size: read_fully(theirs.recv, size), ends=True)


def _output_null(ends: Ends) -> Output:
    return Output(os.open(os.devnull, os.O_WRONLY), lambda size: b"", keeps=False)


def _output_file(ends: Ends) -> Output:
    file = ends.file()

    def read(size: int) -> bytes:
        return os.pread(file, size, 0)

    return Output(os.dup(file), read)


OUTPUTS = {
    "pipe": output_pipe,
    "terminal": _output_terminal,
    "socket": output_socket,
    "/dev/null": _output_null,
    "regular file": _output_file,
}


def one_for_both(ends: Ends, name: str) -> tuple[Input, Output]:
    """The input and output of one file for both, as a terminal or inetd's socket is.

    :param name: ``"socket"``; anything else: a terminal.
    """
    if name == "socket":
        theirs, ours = ends.sockets()
        peer = theirs.fileno()
    else:
        peer, ours = ends.terminal()
    return (
        Input(ours, lambda line: os.write(peer, line), lambda: None),
        Output(os.dup(ours), _read_descriptor(peer)),
    )


def identity(fd: int) -> tuple[int, int, int]:
    """Device, inode and device type of the file at *fd*, by which two files can be compared.

    :raises OSError: *fd* is closed.
    """
    status = os.fstat(fd)
    return status.st_dev, status.st_ino, status.st_rdev


def is_null(fd: int) -> bool:
    """Whether *fd* is /dev/null."""
    return os.path.samestat(os.fstat(fd), os.stat(os.devnull))


def what_is_left() -> bytes:
    """Up to 100 bytes that can be read from standard input now; empty if there are none."""
    ready, _, _ = select.select([STDIN], [], [], 0)
    return os.read(STDIN, 100) if ready else b""


def flags(*descriptors: int) -> list[int]:
    """The status flags of the open file descriptions behind *descriptors*.

    They are the same for every process that shares such a description.
    """
    return [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in descriptors]
