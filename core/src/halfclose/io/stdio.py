"""A channel over descriptors 0 and 1 of this process.

Either may be a pipe, a terminal, a socket, a regular file or a device. Their open file
descriptions are shared with other processes, so their flags are left alone wherever the platform
allows it (PIP-06).
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable

from ..channel import Capabilities, Channel, ChannelSink
from ..endpoints import Endpoint, StandardIO
from ..reasons import ConnectError
from .poller import READ, WRITE, Poller, Registration

__all__ = ["StdioChannel"]

_log = logging.getLogger("halfclose")

_CHUNK = 64 * 1024
_STDIN, _STDOUT = 0, 1

_in_use = False


class _File(ABC):
    """One direction's descriptor, made to be used without blocking."""

    def __init__(self) -> None:
        self.fd: int

    def restore(self) -> None:  # noqa: B027 - most kinds change nothing
        """Put back what was changed on the shared description."""

    def close(self) -> None:
        """Release our own descriptor, not the standard one."""
        os.close(self.fd)

    @abstractmethod
    def read(self) -> bytes: ...

    @abstractmethod
    def write(self, data: bytes | memoryview) -> int: ...


class _Plain(_File):
    """A descriptor with a description of its own, or one that is always ready."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def read(self) -> bytes:
        return os.read(self.fd, _CHUNK)

    def write(self, data: bytes | memoryview) -> int:
        return os.write(self.fd, data)


class _Borrowed(_Plain):
    """A shared description that had to be made non-blocking, until it is put back."""

    def __init__(self, fd: int) -> None:
        super().__init__(os.dup(fd))
        self._flags = fcntl.fcntl(self.fd, fcntl.F_GETFL)
        fcntl.fcntl(self.fd, fcntl.F_SETFL, self._flags | os.O_NONBLOCK)

    def restore(self) -> None:
        fcntl.fcntl(self.fd, fcntl.F_SETFL, self._flags)


class _Socket(_File):
    """A socket, asked not to block call by call."""

    def __init__(self, fd: int) -> None:
        self.sock = socket.socket(fileno=os.dup(fd))
        self.fd = self.sock.fileno()

    def read(self) -> bytes:
        return self.sock.recv(_CHUNK, socket.MSG_DONTWAIT)

    def write(self, data: bytes | memoryview) -> int:
        return self.sock.send(data, socket.MSG_DONTWAIT)

    def close(self) -> None:
        self.sock.close()


def _open(standard: int, access: int) -> _File:
    mode = os.fstat(standard).st_mode
    if stat.S_ISSOCK(mode):
        return _Socket(standard)
    if not (stat.S_ISFIFO(mode) or os.isatty(standard)):
        return _Plain(os.dup(standard))
    try:
        # Opened anew, it gets a description of its own, whose flags are ours.
        flags = access | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return _Plain(os.open(f"/dev/fd/{standard}", flags))
    except OSError:
        return _Borrowed(standard)


class StdioChannel(Channel):
    """Standard input and output as one connection. One at a time in a process.

    :raises ConnectError: one is open already, or descriptor 0 or 1 is closed.
    """

    # Standard input belongs to the next program once we stop reading it (END-02).
    capabilities = Capabilities(can_reset=False, drains=False)

    def __init__(self, poller: Poller, call_soon: Callable[..., None]) -> None:
        global _in_use
        if _in_use:
            raise ConnectError("cannot connect to stdio: it is in use by another connection")
        self._sink: ChannelSink
        self._call_soon = call_soon
        self._reading = False
        self._turn_due = False
        self._input_ended = False
        self._closed = False
        self._output_blocked = False
        self._output_error: OSError | None = None
        self._reader_gone_told = False
        files: list[_File] = []
        try:
            for standard, access in ((_STDIN, os.O_RDONLY), (_STDOUT, os.O_WRONLY)):
                files.append(_open(standard, access))
            self._input: _File = files[0]
            self._end_may_be_silent = stat.S_ISFIFO(os.fstat(files[0].fd).st_mode)
            self._output: _File | None = files[1]
            self._output_is_pipe = stat.S_ISFIFO(os.fstat(files[1].fd).st_mode)
            self._input_poll = self._register(poller, files[0].fd, self._input_ready)
            self._output_poll = self._register(poller, files[1].fd, self._output_ready)
        except OSError as error:
            for file in reversed(files):
                file.restore()
                file.close()
            raise ConnectError(f"cannot connect to stdio: {error}") from error
        _in_use = True

    def _register(
        self, poller: Poller, fd: int, ready: Callable[[int], None]
    ) -> Registration | None:
        try:
            return poller.register(fd, ready, self._broken)
        except PermissionError:
            return None

    def _soon(self, function: Callable[..., None], *args: object) -> None:
        self._call_soon(self._guarded, function, args)

    def _guarded(self, function: Callable[..., None], args: tuple[object, ...]) -> None:
        try:
            function(*args)
        except Exception as error:
            _log.exception("the channel over standard input and output failed")
            self._broken(error)

    def start(self, sink: ChannelSink) -> None:
        self._sink = sink
        self._want_output()

    # -- input ---------------------------------------------------------------------------------

    def resume_reading(self) -> None:
        if self._input_ended or self._closed:
            return
        self._reading = True
        if self._input_poll is not None:
            self._input_poll.want(READ)
        self._take_turn()

    def pause_reading(self) -> None:
        self._reading = False
        if self._input_poll is not None:
            self._input_poll.want(0)

    def _take_turn(self) -> None:
        """Read one chunk a turn, unasked, where no poller would ask.

        No poller takes a regular file. And of a pipe that was opened anew after its last writer
        had gone, none tells the end; one that once had nothing to read still had a writer. After
        a failed write, input that is there comes first, and only that (FLU-09).
        """
        unasked = (
            self._input_poll is None or self._end_may_be_silent or self._output_error is not None
        )
        if unasked and self._reading and not self._turn_due:
            self._turn_due = True
            self._soon(self._turn)

    def _turn(self) -> None:
        self._turn_due = False
        if self._reading:
            self._read()
        self._take_turn()

    def _input_ready(self, ready: int) -> None:
        if self._reading:
            self._read()

    def _read(self) -> None:
        try:
            data = self._input.read()
        except BlockingIOError:
            self._end_may_be_silent = False
            if self._output_error is not None:
                self.pause_reading()
                self._sink.failed(self._output_error)
            return
        except OSError as error:
            if error.errno != errno.EIO or not os.isatty(self._input.fd):
                self._sink.failed(error)
                return
            data = b""  # a terminal that hung up
        if data:
            self._sink.received(data)
        else:
            self._input_ended = True
            self.pause_reading()
            self._sink.read_ended()

    # -- output --------------------------------------------------------------------------------

    def _want_output(self) -> None:
        if self._output_poll is not None:
            # The writing end of a pipe never has input: to want it is to be told, at any time,
            # that the reader went away (PIP-04).
            self._output_poll.want(
                (READ if self._output_is_pipe else 0) | (WRITE if self._output_blocked else 0)
            )

    def _output_ready(self, ready: int) -> None:
        if self._output_is_pipe and ready & ~WRITE:
            self._tell_reader_gone(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))
        elif self._output_blocked:
            self._output_blocked = False
            self._want_output()
            self._sink.writable()

    def _tell_reader_gone(self, error: OSError) -> None:
        if not self._reader_gone_told and self._output is not None and not self._closed:
            self._reader_gone_told = True
            self._release_output()
            self._sink.reader_gone(error)

    def write(self, data: bytes | memoryview) -> int:
        if self._output is None:
            return 0
        try:
            taken = self._output.write(data)
        except (BlockingIOError, InterruptedError):
            taken = 0
        except OSError as error:
            if self._output_is_pipe and isinstance(error, BrokenPipeError):
                self._soon(self._tell_reader_gone, error)
                return 0
            self._output_error = error
            self._take_turn()
            raise
        if taken < len(data):
            self._output_blocked = True
            if self._output_poll is not None:
                self._want_output()
            else:
                self._soon(self._output_ready, WRITE)
        return taken

    def end_write(self) -> bool:
        if isinstance(self._output, _Socket):
            self._output.sock.shutdown(socket.SHUT_WR)
        self._release_output()
        return True

    def _release_output(self) -> None:
        if self._output is None:
            return
        if self._output_poll is not None:
            self._output_poll.stop()
        self._output.restore()
        self._output.close()
        self._output = None
        # Never left free: the next file to be opened would become standard output.
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(null, _STDOUT)
        os.close(null)

    # -- both ----------------------------------------------------------------------------------

    def _broken(self, error: Exception) -> None:
        self._sink.failed(error)

    def close(self) -> None:
        global _in_use
        if self._closed:
            return
        self._closed = True
        self.pause_reading()
        if self._input_poll is not None:
            self._input_poll.stop()
        # The last that was changed first: both may be duplicates of one description.
        self._release_output()
        self._input.restore()
        self._input.close()
        _in_use = False

    def abort(self) -> None:
        self.close()

    def descriptors(self) -> tuple[int, ...]:
        # Not 0 and 1 themselves, nor what is set on them: the child may go on printing.
        files = (self._input, self._output)
        return () if self._closed else tuple(file.fd for file in files if file is not None)

    def get_peer(self) -> Endpoint:
        return StandardIO()

    def get_host(self) -> Endpoint:
        return StandardIO()
