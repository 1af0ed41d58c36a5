"""The standard descriptors 0, 1 and 2: whether they are ours, and how to use them without blocking.

Other processes share their open file descriptions, so no flag of these is ever set. O_NONBLOCK
would make the other processes fail, and for good if we were killed before we took it back (PIP-06).
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import stat
from abc import ABC, abstractmethod
from dataclasses import dataclass

from ..reasons import ConnectError
from .syscalls import NO_SIGNAL, mute, socket_of

__all__ = [
    "STDERR",
    "STDIN",
    "STDOUT",
    "InheritedSocket",
    "InputFile",
    "NoInput",
    "OutputFile",
    "OutputSocket",
    "Standard",
    "is_one_stream",
    "is_open",
    "occupy",
    "open_input",
    "open_output",
    "spare_stderr",
]

STDIN, STDOUT, STDERR = 0, 1, 2

_NAMES = "standard input", "standard output", "standard error"

_CHUNK = 64 * 1024
"""Bytes that one read or write asks for at most."""

_FITS_A_TERMINAL = 1
"""Bytes that a writable terminal surely takes. Of more it may take a part, and then block."""

_NOT_SUPPORTED = frozenset(
    {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ESPIPE}
)
"""Errors of a kernel that cannot read or write this descriptor without blocking."""

_NO_WAIT: int | None = getattr(os, "RWF_NOWAIT", None)
"""Linux's flag for one read or write that must not block; Python has it since 3.7."""

_occupied: set[int] = set()
"""Standard descriptors that were closed until `occupy` opened something there."""


def occupy() -> None:
    """Open /dev/null at each standard descriptor that is closed. Idempotent.

    uvloop aborts the process if its own descriptors get one of these numbers. What is opened here
    is closed on exec, so that a program that we start finds them closed as we did; and for
    ``stdio:`` they still count as closed.
    """
    # If none is closed, nothing is opened, because /dev may be missing, as it is in a chroot.
    while not all(map(is_open, (STDIN, STDOUT, STDERR))):
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > STDERR:
            # Another thread has opened a file at the number meanwhile.
            os.close(fd)
            return
        _occupied.add(fd)


def is_open(fd: int) -> bool:
    """Whether the descriptor *fd* is open."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Standard:
    """The file at a standard descriptor, as it was at one time.

    :param fd: 0, 1 or 2.
    :param file: the file's identity: its type, device and number.
    """

    fd: int
    file: tuple[int, ...]

    @classmethod
    def at(cls, fd: int) -> Standard:
        """The file that is there now.

        :raises OSError: the descriptor is closed.
        """
        status = os.fstat(fd)
        kind = stat.S_IFMT(status.st_mode)
        return cls(fd, (kind, status.st_dev, status.st_ino, status.st_rdev))

    @classmethod
    def ours(cls, fd: int) -> Standard:
        """The file that is there now, if it is meant to be the standard one (PIP-07).

        If a standard descriptor was closed, its number goes to the next file that is opened, which
        may be an event loop's own. Such files are closed on exec, which tells them from those that
        the process was given and from those that were put there with ``os.dup2``.

        :raises ConnectError: the descriptor is closed, or the file is there by chance.
        """
        name = _NAMES[fd]
        try:
            found = cls.at(fd)
        except OSError as error:
            raise ConnectError(f"cannot connect to stdio: {name} is closed") from error
        by_chance = not os.get_inheritable(fd) or not found.file[0]
        if by_chance and found._is_null() and fd in _occupied:
            raise ConnectError(f"cannot connect to stdio: {name} is closed")
        if by_chance and not found._is_null():
            raise ConnectError(
                f"cannot connect to stdio: descriptor {fd} is not {name}, which was closed: this "
                f"process has opened it for something else (os.dup2 puts a file there on purpose)"
            )
        return found

    def _is_null(self) -> bool:
        # /dev/null may be used whoever opened it; children of multiprocessing begin with it.
        return stat.S_ISCHR(self.file[0]) and self.file[3] == os.stat(os.devnull).st_rdev

    @property
    def is_socket(self) -> bool:
        """Whether it is a socket."""
        return stat.S_ISSOCK(self.file[0])

    @property
    def is_pipe(self) -> bool:
        """Whether it is a pipe."""
        return stat.S_ISFIFO(self.file[0])

    @property
    def is_master(self) -> bool:
        """Whether it is the master end of a pseudo-terminal. Opening that anew makes a new pair."""
        try:
            return stat.S_ISCHR(self.file[0]) and self.file[3] == os.stat("/dev/ptmx").st_rdev
        except OSError:
            return False

    def is_at(self, fd: int) -> bool:
        """Whether the same file is at *fd* now."""
        try:
            return Standard.at(fd).file == self.file
        except OSError:
            return False

    def replace(self) -> None:
        """Put /dev/null there, unless another file has come there meanwhile. Idempotent.

        The descriptor is not closed, since the next file that is opened would get its number.
        """
        if self.is_at(self.fd):
            null = os.open(os.devnull, os.O_RDONLY if self.fd == STDIN else os.O_WRONLY)
            try:
                os.dup2(null, self.fd)
            finally:
                os.close(null)


def is_one_stream(stdin: Standard, stdout: Standard) -> bool:
    """Whether both are the same stream socket, as they are in a server that inetd has started.

    :raises ConnectError: one of them is a listening socket.
    """
    for each in (stdin, stdout):
        if each.is_socket and _option(each.fd, socket.SO_ACCEPTCONN):
            raise ConnectError(f"cannot connect to stdio: {_NAMES[each.fd]} is a listening socket")
    return (
        stdin.is_socket
        and stdin.file == stdout.file
        and _option(STDIN, socket.SO_TYPE) == socket.SOCK_STREAM
    )


def _option(fd: int, option: int) -> int:
    """The value of a socket option of *fd*; 0 if the system does not know the option."""
    sock = socket_of(_duplicate(fd), socket.socket)
    try:
        return sock.getsockopt(socket.SOL_SOCKET, option)
    except OSError:
        return 0
    finally:
        sock.close()


def spare_stderr() -> None:
    """Put /dev/null at standard error if it is the same socket as standard input and output.

    Otherwise the peer would get our log lines in the middle of its data. Idempotent.
    """
    try:
        stdin, stdout = Standard.at(STDIN), Standard.at(STDOUT)
    except OSError:
        return
    if stdin.is_socket and stdin.file == stdout.file and stdin.is_at(STDERR):
        Standard.at(STDERR).replace()


# -- reading and writing ---------------------------------------------------------------------------


class _File:
    """A descriptor of our own for one direction."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Close our own descriptor. The standard one stays."""
        os.close(self.fd)


class InputFile(_File, ABC):
    """A file that can be read without blocking."""

    @abstractmethod
    def read(self) -> bytes:
        """Some of the input that is there; empty at the end.

        :raises BlockingIOError: there is none now.
        """


class OutputFile(_File, ABC):
    """A file that can be written without blocking."""

    @abstractmethod
    def write(self, data: bytes | memoryview) -> int:
        """Write as much of *data* as fits now.

        :returns: how many bytes that was.
        :raises BlockingIOError: nothing fits now.
        """


class _Own(InputFile, OutputFile):
    """A file with a description of our own, which is non-blocking, or one that is always ready."""

    def read(self) -> bytes:
        return os.read(self.fd, _CHUNK)

    def write(self, data: bytes | memoryview) -> int:
        return os.write(self.fd, data)


class _Shared(InputFile, OutputFile):
    """A pipe or terminal that cannot be opened anew, for instance because it is another user's.

    Linux can read and write most pipes without blocking, whatever their flags. For the rest this
    asks first: a readable file does not block a read, and a writable one takes a small piece. Only
    if another process reads or writes the same file in between does it block, until the file is
    readable or writable again.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._without_asking = True
        is_pipe = stat.S_ISFIFO(os.fstat(fd).st_mode)
        self._piece = select.PIPE_BUF if is_pipe else _FITS_A_TERMINAL

    def _ready(self, events: int) -> bool:
        poll = select.poll()
        poll.register(self.fd, events)
        return bool(poll.poll(0))

    def read(self) -> bytes:
        if self._without_asking and _NO_WAIT is not None:
            buffer = bytearray(_CHUNK)
            try:
                size = os.preadv(self.fd, [buffer], -1, _NO_WAIT)
                return bytes(memoryview(buffer)[:size])
            except OSError as error:
                self._must_ask(error)
        if not self._ready(select.POLLIN):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return os.read(self.fd, _CHUNK)

    def write(self, data: bytes | memoryview) -> int:
        if self._without_asking and _NO_WAIT is not None:
            try:
                return os.pwritev(self.fd, [data], -1, _NO_WAIT)
            except OSError as error:
                self._must_ask(error)
        view = memoryview(data)[:_CHUNK]
        written = 0
        while written < len(view) and self._ready(select.POLLOUT):
            try:
                written += os.write(self.fd, view[written : written + self._piece])
            except OSError:
                if not written:
                    raise
                # The next write, of the rest, raises it again.
                break
        return written

    def _must_ask(self, error: OSError) -> None:
        """Ask before each call from now on, unless *error* is a failure of the file itself."""
        if error.errno not in _NOT_SUPPORTED:
            raise error
        self._without_asking = False


class InheritedSocket(socket.socket):
    """A socket whose description other processes share: each call asks it not to block."""

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        return super().recv(bufsize, flags | socket.MSG_DONTWAIT)

    def send(self, data: bytes | memoryview, flags: int = 0, /) -> int:  # type: ignore[override]
        return super().send(data, flags | socket.MSG_DONTWAIT)

    @classmethod
    def of(cls, standard: int) -> InheritedSocket:
        """A socket object for a standard descriptor, over a duplicate of our own."""
        fd = _duplicate(standard)
        try:
            sock = socket_of(fd, cls)
        except BaseException:
            os.close(fd)
            raise
        if not NO_SIGNAL:
            mute(sock)
        return sock


class _InputSocket(InputFile):
    """Standard input that is a socket."""

    def __init__(self, standard: int) -> None:
        self.sock = InheritedSocket.of(standard)
        super().__init__(self.sock.fileno())

    def read(self) -> bytes:
        return self.sock.recv(_CHUNK)

    def close(self) -> None:
        self.sock.close()


class OutputSocket(OutputFile):
    """Standard output that is a socket."""

    def __init__(self, standard: int) -> None:
        self.sock: InheritedSocket = InheritedSocket.of(standard)
        super().__init__(self.sock.fileno())

    def write(self, data: bytes | memoryview) -> int:
        return self.sock.send(data, NO_SIGNAL)

    def close(self) -> None:
        self.sock.close()


class NoInput(InputFile):
    """Stands for a standard input that cannot be read, from which no end comes either (PIP-09)."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.ended = False
        """Set after our own half has ended: then this ends too, since nothing is left to wait
        for."""

    def read(self) -> bytes:
        if not self.ended:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return b""

    def close(self) -> None:
        """Does nothing: there is no descriptor."""


def open_input(standard: Standard) -> InputFile:
    """Standard input, in a form that can be read without blocking.

    :raises OSError: it cannot be opened, or no descriptor is left.
    """
    if fcntl.fcntl(STDIN, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
        return NoInput()
    return _InputSocket(STDIN) if standard.is_socket else _open(standard, os.O_RDONLY)


def open_output(standard: Standard) -> OutputFile:
    """Standard output, in a form that can be written without blocking.

    :raises ConnectError: it is open for reading only.
    :raises OSError: it cannot be opened, or no descriptor is left.
    """
    if fcntl.fcntl(STDOUT, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise ConnectError("cannot connect to stdio: standard output is open for reading only")
    return OutputSocket(STDOUT) if standard.is_socket else _open(standard, os.O_WRONLY)


def _open(standard: Standard, access: int) -> _Own | _Shared:
    """The file at a standard descriptor that is no socket, in a form that does not block (PIP-06).

    A pipe or terminal is opened anew where possible. A regular file is not, because its offset is
    shared with other processes.
    """
    fd = standard.fd
    if not (standard.is_pipe or os.isatty(fd)):
        return _Own(_duplicate(fd))
    if standard.is_master:
        return _Shared(_duplicate(fd))
    paths = [f"/dev/fd/{fd}"]
    if _is_controlling_terminal(fd):
        # By this name, every process may open the terminal of its session, whoever owns that.
        paths.append("/dev/tty")
    for path in paths:
        own = _open_anew(fd, path, access)
        if own is not None:
            return _Own(own)
    return _Shared(_duplicate(fd))


def _open_anew(standard: int, path: str, access: int) -> int | None:
    """A descriptor of the same file with a new description, whose flags are ours alone.

    :returns: None if the system cannot give one.
    """
    # On BSD and macOS, to open /dev/fd only duplicates the descriptor. To find that out, O_APPEND,
    # which pipes and terminals ignore, is asked for the other way round than it is set now. A
    # duplicate still has it as it was.
    before = fcntl.fcntl(standard, fcntl.F_GETFL) & os.O_APPEND
    flags = os.O_NONBLOCK | (before ^ os.O_APPEND)
    try:
        fd = _not_standard(os.open(path, access | flags | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return None
    if fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_NONBLOCK | os.O_APPEND) == flags:
        return fd
    os.close(fd)
    return None


def _is_controlling_terminal(fd: int) -> bool:
    """Whether *fd* is the terminal of this process's session."""
    try:
        os.tcgetpgrp(fd)
    except OSError:
        return False
    return True


def _duplicate(fd: int) -> int:
    """A duplicate of *fd*, never at the number of a standard descriptor that is closed."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, STDERR + 1)


def _not_standard(fd: int) -> int:
    """*fd*, or a duplicate of it if it has got the number of a standard descriptor."""
    if fd > STDERR:
        return fd
    try:
        return _duplicate(fd)
    finally:
        os.close(fd)
