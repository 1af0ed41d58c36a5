"""The standard descriptors 0, 1 and 2: whose they are, and reading and writing without waiting.

Their open file descriptions are shared with other processes, so no flag of theirs is ever set:
O_NONBLOCK would make those fail, for good if we were killed before it was put back (PIP-06).
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

_FITS_A_TERMINAL = 1
"""Bytes that a terminal surely takes once it is writable: of more it may take a part, and wait."""

_NOT_SUPPORTED = frozenset(
    {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ESPIPE}
)
"""What a kernel says that cannot read or write this descriptor without waiting."""

_NO_WAIT: int | None = getattr(os, "RWF_NOWAIT", None)

_occupied: set[int] = set()
"""Standard descriptors that were closed, and at which `occupy` has put something."""


def occupy() -> None:
    """Leave no standard descriptor free, for a loop that cannot have one of them for itself.

    What is put there is closed on exec, so that a program that we start finds them as we did; and
    for ``stdio:`` they stay closed. Idempotent.
    """
    # Where none is, nothing is opened: /dev may be missing, as in a chroot.
    while not all(map(is_open, (STDIN, STDOUT, STDERR))):
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > STDERR:
            # Another thread was quicker.
            os.close(fd)
            return
        _occupied.add(fd)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Standard:
    """What stood at a standard descriptor when it was looked at.

    :param fd: 0, 1 or 2.
    :param file: which file it is: its type, device and number.
    """

    fd: int
    file: tuple[int, ...]

    @classmethod
    def at(cls, fd: int) -> Standard:
        """What stands there now.

        :raises OSError: nothing: it is closed.
        """
        status = os.fstat(fd)
        kind = stat.S_IFMT(status.st_mode)
        return cls(fd, (kind, status.st_dev, status.st_ino, status.st_rdev))

    @classmethod
    def ours(cls, fd: int) -> Standard:
        """What stands there now, if it was given to this process, or put there on purpose.

        The number of a descriptor that was closed goes to whatever is opened next, an event
        loop's own included. What a process opens for itself is closed on exec, and so tells.

        :raises ConnectError: it is closed, or stands there by chance.
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
        # Nothing else is harmed by it; a child of multiprocessing begins with it.
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
        """Whether it is the other end of a terminal, of which opening it anew makes a new pair."""
        try:
            return stat.S_ISCHR(self.file[0]) and self.file[3] == os.stat("/dev/ptmx").st_rdev
        except OSError:
            return False

    def is_at(self, fd: int) -> bool:
        """Whether the same file stands at *fd* now."""
        try:
            return Standard.at(fd).file == self.file
        except OSError:
            return False

    def replace(self) -> None:
        """Put /dev/null there, unless something else has come there meanwhile. Idempotent.

        Never left free: the next file to be opened would get the number.
        """
        if self.is_at(self.fd):
            null = os.open(os.devnull, os.O_RDONLY if self.fd == STDIN else os.O_WRONLY)
            try:
                os.dup2(null, self.fd)
            finally:
                os.close(null)


def is_one_stream(stdin: Standard, stdout: Standard) -> bool:
    """Whether both are one stream socket: a server's that inetd has started, for one.

    :raises ConnectError: the socket is one that listens.
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
    sock = socket_of(_duplicate(fd), socket.socket)
    try:
        return sock.getsockopt(socket.SOL_SOCKET, option)
    except OSError:
        # Not every system answers every question.
        return 0
    finally:
        sock.close()


def spare_stderr() -> None:
    """Put /dev/null at standard error if it is the very socket that standard input and output are.

    What is logged there would come to the peer amid what it is sent. Idempotent.
    """
    try:
        stdin, stdout = Standard.at(STDIN), Standard.at(STDOUT)
    except OSError:
        return
    if stdin.is_socket and stdin.file == stdout.file and stdin.is_at(STDERR):
        Standard.at(STDERR).replace()


# -- reading and writing ---------------------------------------------------------------------------


class _File:
    """One direction's descriptor, held until it is closed."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Release our own descriptor, not the standard one."""
        os.close(self.fd)


class InputFile(_File, ABC):
    """Something to read from."""

    @abstractmethod
    def read(self) -> bytes:
        """A piece of what is there.

        :raises BlockingIOError: nothing is.
        """


class OutputFile(_File, ABC):
    """Something to write to."""

    @abstractmethod
    def write(self, data: bytes | memoryview) -> int:
        """Write as much of *data* as fits.

        :raises BlockingIOError: nothing fits.
        """


class _Own(InputFile, OutputFile):
    """A descriptor with a description of its own, or one that is always ready."""

    def read(self) -> bytes:
        return os.read(self.fd, _CHUNK)

    def write(self, data: bytes | memoryview) -> int:
        return os.write(self.fd, data)


class _Shared(InputFile, OutputFile):
    """A pipe or terminal that cannot be opened anew, another user's for one.

    Linux can read and write most pipes without waiting, whatever their flags. Elsewhere we ask
    first: what is readable does not block a read, and what is writable takes a small piece. Only
    another process that reads or writes the very same in between can make us wait, for as long
    as it takes until it is readable or writable again.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._direct = True
        is_pipe = stat.S_ISFIFO(os.fstat(fd).st_mode)
        self._piece = select.PIPE_BUF if is_pipe else _FITS_A_TERMINAL

    def _ready(self, events: int) -> bool:
        poll = select.poll()
        poll.register(self.fd, events)
        return bool(poll.poll(0))

    def read(self) -> bytes:
        if self._direct and _NO_WAIT is not None:
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
        if self._direct and _NO_WAIT is not None:
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
                # It will be said again, of what is left.
                break
        return written

    def _must_ask(self, error: OSError) -> None:
        if error.errno not in _NOT_SUPPORTED:
            raise error
        self._direct = False


class InheritedSocket(socket.socket):
    """A socket whose description is shared: asked not to block call by call."""

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        return super().recv(bufsize, flags | socket.MSG_DONTWAIT)

    def send(self, data: bytes | memoryview, flags: int = 0, /) -> int:  # type: ignore[override]
        return super().send(data, flags | socket.MSG_DONTWAIT)

    @classmethod
    def of(cls, standard: int) -> InheritedSocket:
        """The socket at a standard descriptor, by a descriptor of our own."""
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
    """A socket of which we use one direction."""

    def __init__(self, standard: int) -> None:
        self.sock = InheritedSocket.of(standard)
        super().__init__(self.sock.fileno())

    def read(self) -> bytes:
        return self.sock.recv(_CHUNK)

    def close(self) -> None:
        self.sock.close()


class OutputSocket(OutputFile):
    """Likewise."""

    def __init__(self, standard: int) -> None:
        self.sock = InheritedSocket.of(standard)
        super().__init__(self.sock.fileno())

    def write(self, data: bytes | memoryview) -> int:
        return self.sock.send(data, NO_SIGNAL)

    def close(self) -> None:
        self.sock.close()


class NoInput(InputFile):
    """In the place of an input that nothing can come from, and so no end either."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.ended = False
        """Whether nothing can go out any more, so that there is nothing to wait for."""

    def read(self) -> bytes:
        if not self.ended:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return b""

    def close(self) -> None:
        """There is nothing to release."""


def open_input(standard: Standard) -> InputFile:
    """A way to read from standard input without waiting.

    :raises OSError: there is none.
    """
    if fcntl.fcntl(STDIN, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
        return NoInput()
    return _InputSocket(STDIN) if standard.is_socket else _open(standard, os.O_RDONLY)


def open_output(standard: Standard) -> OutputFile:
    """A way to write to standard output without waiting.

    :raises ConnectError: it is open for reading only.
    :raises OSError: there is none.
    """
    if fcntl.fcntl(STDOUT, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise ConnectError("cannot connect to stdio: standard output is open for reading only")
    return OutputSocket(STDOUT) if standard.is_socket else _open(standard, os.O_WRONLY)


def _open(standard: Standard, access: int) -> _Own | _Shared:
    fd = standard.fd
    if not (standard.is_pipe or os.isatty(fd)):
        return _Own(_duplicate(fd))
    if standard.is_master:
        return _Shared(_duplicate(fd))
    paths = [f"/dev/fd/{fd}"]
    if _is_controlling_terminal(fd):
        # Whoever owns it, everyone may open his own terminal by this name.
        paths.append("/dev/tty")
    for path in paths:
        own = _open_anew(fd, path, access)
        if own is not None:
            return _Own(own)
    return _Shared(_duplicate(fd))


def _open_anew(standard: int, path: str, access: int) -> int | None:
    """A descriptor of the same file with a description of its own, whose flags are ours."""
    # O_APPEND says nothing to a pipe or a terminal, and tells a new description: where opening
    # only duplicates (/dev/fd on BSD and macOS), the flags are the old ones.
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
    try:
        os.tcgetpgrp(fd)
    except OSError:
        return False
    return True


def _duplicate(fd: int) -> int:
    """A duplicate that is not a standard descriptor itself, should one be closed."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, STDERR + 1)


def _not_standard(fd: int) -> int:
    if fd > STDERR:
        return fd
    try:
        return _duplicate(fd)
    finally:
        os.close(fd)
