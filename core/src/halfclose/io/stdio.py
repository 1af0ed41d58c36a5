"""The channel over standard input and output: descriptors 0 and 1 of this process.

Each of the two may be a pipe, a terminal, a socket, a regular file or a device; `standard` reads
and writes them. If both are one stream socket, which is what inetd gives to the servers that it
starts, that is a connection like any other (PIP-08).
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from ..channel import Capabilities, Channel, ChannelHandler
from ..endpoints import Endpoint, StandardIO
from ..reasons import ConnectError
from ..scheme import Scheme
from .host import SocketHost
from .poller import READ, WRITE, Poller, Registration
from .socket_channel import SocketChannel
from .standard import (
    STDIN,
    STDOUT,
    InheritedSocket,
    InputFile,
    NoInput,
    OutputFile,
    OutputSocket,
    Standard,
    is_one_stream,
    open_input,
    open_output,
    spare_stderr,
)
from .syscalls import reset, set_tcp_option, untaken, without_sigpipe

__all__ = ["StdioChannel", "StdioScheme", "StdioSocketChannel", "connect_stdio"]

_log = logging.getLogger("halfclose")

_in_use = False


def connect_stdio(backend: SocketHost) -> Channel:
    """Make the channel over standard input and output. A process can have only one at a time.

    :raises ConnectError: such a channel is open already (PIP-06); descriptor 0 or 1 is closed, or
        is something that this process has opened for itself (PIP-07); or standard output is open
        for reading only (PIP-09).
    """
    global _in_use
    if _in_use:
        raise ConnectError("cannot connect to stdio: it is in use by another connection")
    # Looked at before anything is opened here, since the first file that is opened would get the
    # number of a standard descriptor that is closed.
    stdin, stdout = Standard.ours(STDIN), Standard.ours(STDOUT)
    try:
        channel: Channel
        if is_one_stream(stdin, stdout):
            channel = StdioSocketChannel(backend.driver.shared_poller, stdin, stdout)
        else:
            channel = StdioChannel(
                backend.driver.shared_poller, backend.call_soon, backend.report, stdin, stdout
            )
    except OSError as error:
        raise ConnectError(f"cannot connect to stdio: {error}") from error
    _in_use = True
    return channel


class StdioScheme(Scheme[StandardIO, SocketHost]):
    """The scheme ``stdio:``: the standard input and output that the program was started with."""

    name = "stdio"
    examples: tuple[str, ...] = ("stdio:",)
    one_connection = True
    standard_io = True

    def parse(self, rest: str) -> StandardIO:
        return StandardIO.parse(rest)

    async def connect(
        self, backend: SocketHost, endpoint: StandardIO, timeout: float | None
    ) -> Channel:
        return connect_stdio(backend)


def _release() -> None:
    """Let the next connection have standard input and output."""
    global _in_use
    _in_use = False


class StdioSocketChannel(SocketChannel):
    """Standard input and output that are one connected stream socket (PIP-08).

    Standard error is mostly the same socket. It is replaced by /dev/null, since the peer would get
    whatever is written there.
    """

    __slots__ = ("_is_tcp", "_standard", "_started")

    def __init__(self, poller: Poller, stdin: Standard, stdout: Standard) -> None:
        self._standard: tuple[Standard, ...] = (stdin, stdout)
        self._started = False
        sock = InheritedSocket.of(STDIN)
        try:
            super().__init__(sock, poller, peer=StandardIO(), host=StandardIO())
        except BaseException:
            sock.close()
            raise
        self._is_tcp = sock.family in (socket.AF_INET, socket.AF_INET6)
        self.capabilities: Capabilities = Capabilities(can_reset=self._is_tcp)
        self.set_no_delay(True)
        spare_stderr()

    def start(self, handler: ChannelHandler) -> None:
        if self._started:
            # The second start is that of lingering. The program is done with the connection, and
            # may use its descriptors 0 and 1 for something else.
            self._let_go()
        self._started = True
        super().start(handler)

    def end_write(self) -> bool:
        ended = super().end_write()
        self._replace(self._standard[STDOUT])
        return ended

    def _let_go(self) -> None:
        """Put /dev/null at descriptors 0 and 1. Idempotent."""
        standards, self._standard = self._standard, ()
        for standard in standards:
            self._replace(standard)
        if standards:
            _release()

    def _replace(self, standard: Standard) -> None:
        """Put /dev/null at a standard descriptor, if a descriptor is left for that."""
        try:
            standard.replace()
        except OSError as error:
            # No descriptor is left for /dev/null. The peer has seen our end all the same, by
            # shutdown(2).
            _log.warning("descriptor %d stays the connection's: %s", standard.fd, error)

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self._let_go()
            super().close()

    def abort(self) -> None:
        if self._sock.fileno() >= 0:
            # Another process may hold the socket, such as the shell that has started us.
            reset(self._sock, shared=True)
        super().abort()

    def _set(self, level: int, option: int, enabled: bool) -> None:
        if self._is_tcp:
            set_tcp_option(self._sock, level, option, enabled)


class StdioChannel(Channel):
    """Standard input and output that are two different files (PIP-01 to PIP-05).

    :param stdin: the file at descriptor 0.
    :param stdout: the file at descriptor 1.
    :raises ConnectError: standard output is open for reading only.
    :raises OSError: one of the two files cannot be used.
    """

    # After we stop reading standard input, the rest belongs to the next program (END-02, PIP-03).
    capabilities: Capabilities = Capabilities(can_reset=False, drains=False)

    def __init__(
        self,
        poller: Poller,
        call_soon: Callable[..., None],
        report: Callable[..., None],
        stdin: Standard,
        stdout: Standard,
    ) -> None:
        self._handler: ChannelHandler
        self._call_soon = call_soon
        self._report = report
        self._stdout = stdout
        self._reading = False
        self._turn_due = False
        self._input_ended = False
        self._closed = False
        self._output_blocked = False
        self._output_error: OSError | None = None
        self._reader_gone_told = False
        self._input: InputFile = open_input(stdin)
        try:
            self._output: OutputFile | None = open_output(stdout)
        except BaseException:
            self._input.close()
            raise
        self._end_may_be_silent = stdin.is_pipe
        self._output_is_pipe = stdout.is_pipe
        self._input_poll: Registration | None = None
        try:
            if isinstance(self._input, NoInput):
                self._end_may_be_silent = False
                _log.warning("standard input is open for writing only: nothing will come from it")
            else:
                self._input_poll = self._register(poller, self._input.fd, self._input_ready)
            self._output_poll = self._register(poller, self._output.fd, self._output_ready)
        except BaseException:
            if self._input_poll is not None:
                self._input_poll.stop()
            self._input.close()
            self._output.close()
            raise

    def _register(
        self, poller: Poller, fd: int, ready: Callable[[int], None]
    ) -> Registration | None:
        """Have *poller* watch *fd*; None if it cannot, because *fd* is a regular file."""
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
            self._report(error, "the channel over standard input and output failed")
            self._broken(error)

    def start(self, handler: ChannelHandler) -> None:
        self._handler = handler
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
        """Read one chunk in the next turn without waiting for the poller, if the poller may be
        silent.

        A poller is silent about a regular file, which it cannot watch. It is silent about the end
        of a pipe that was opened anew after the last writer had gone (PIP-05); but a pipe that once
        had nothing to read had a writer then, and is watched from then on. After a failed write
        only the input that is there already is delivered, and then the failure (FLU-09). And if
        there is no input at all, only its end is still to come, after our own half has ended
        (PIP-09).
        """
        if isinstance(self._input, NoInput):
            silent = self._input.ended
        else:
            silent = self._input_poll is None or self._end_may_be_silent
        unasked = silent or self._output_error is not None
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
        """Read once and deliver it."""
        try:
            data = self._input.read()
        except BlockingIOError:
            self._end_may_be_silent = False
            if self._output_error is not None:
                self.pause_reading()
                self._handler.failed(self._output_error)
            return
        except OSError as error:
            if error.errno != errno.EIO or not os.isatty(self._input.fd):
                self._handler.failed(error)
                return
            data = b""  # EIO of a terminal means that it hung up: the end of the input.
        if data:
            self._handler.received(data)
        else:
            self._input_ended = True
            self.pause_reading()
            self._handler.read_ended()

    # -- output --------------------------------------------------------------------------------

    def _want_output(self) -> None:
        if self._output_poll is not None:
            # The writing end of a pipe never has input. To want input of it means to be told, at
            # any time, that the reader went away (PIP-04).
            self._output_poll.want(
                (READ if self._output_is_pipe else 0) | (WRITE if self._output_blocked else 0)
            )

    def _output_ready(self, ready: int) -> None:
        if self._output_is_pipe and ready & ~WRITE:
            self._tell_reader_gone(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))
        elif self._output_blocked:
            self._output_blocked = False
            self._want_output()
            self._handler.writable()

    def _tell_reader_gone(self, error: OSError) -> None:
        if not self._reader_gone_told and self._output is not None and not self._closed:
            self._reader_gone_told = True
            self._release_output()
            self._handler.reader_gone(error)

    def write(self, data: bytes | memoryview) -> int:
        if self._output is None:
            return 0
        try:
            if self._output_is_pipe:
                taken = without_sigpipe(self._output.write, data)
            else:
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

    def unsent(self) -> int:
        # The system is asked, because the pipe's readiness would not show each byte that is read: a
        # pipe takes more only after a whole page of it was read.
        return 0 if self._output is None else untaken(self._output.fd, is_pipe=self._output_is_pipe)

    def end_write(self) -> bool:
        if isinstance(self._output, OutputSocket):
            self._output.sock.shutdown(socket.SHUT_WR)
        self._release_output()
        return True

    def _release_output(self) -> None:
        """Close our descriptor for output, and put /dev/null at descriptor 1. Idempotent."""
        if self._output is None:
            return
        if self._output_poll is not None:
            self._output_poll.stop()
        self._output.close()
        self._output = None
        # The reader sees the end of stream only after descriptor 1 lets go too (PIP-02).
        self._stdout.replace()
        if isinstance(self._input, NoInput):
            self._input.ended = True
            # In the next turn, after our own end has been told.
            self._soon(self._take_turn)

    # -- both ----------------------------------------------------------------------------------

    def _broken(self, error: Exception) -> None:
        self._handler.failed(error)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.pause_reading()
        if self._input_poll is not None:
            self._input_poll.stop()
        if isinstance(self._output, OutputSocket):
            # Standard error or another process may hold the socket, and then closing it would not
            # show the peer an end.
            with suppress(OSError):
                self._output.sock.shutdown(socket.SHUT_WR)
        try:
            self._release_output()
        finally:
            self._input.close()
            _release()

    def abort(self) -> None:
        self.close()

    def descriptors(self) -> tuple[int, ...]:
        # Our own descriptors, not 0 and 1: a forked child may go on printing.
        files = (self._input, self._output)
        return () if self._closed else tuple(file.fd for file in files if file is not None)

    def get_peer(self) -> Endpoint:
        return StandardIO()

    def get_host(self) -> Endpoint:
        return StandardIO()
