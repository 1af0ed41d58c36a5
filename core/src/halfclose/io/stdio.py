"""A channel over descriptors 0 and 1 of this process.

Either may be a pipe, a terminal, a socket, a regular file or a device; `standard` reads and
writes them. Where both are one stream socket, as inetd and its like give it to the servers that
they start, it is a connection like any other (PIP-08).
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from ..channel import Capabilities, Channel, ChannelSink
from ..endpoints import Endpoint, StandardIO
from ..reasons import ConnectError
from ..scheme import Scheme
from .host import SocketHost
from .poller import READ, WRITE, Poller, Registration
from .sockets import SocketChannel
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
    """A channel over standard input and output, for *backend*. One at a time in a process.

    :raises ConnectError: one is open already; descriptor 0 or 1 is closed, or stands for something
        that this process has opened for itself; output is open for reading only.
    """
    global _in_use
    if _in_use:
        raise ConnectError("cannot connect to stdio: it is in use by another connection")
    # Both before anything is opened, which would get the number of one that is closed.
    stdin, stdout = Standard.ours(STDIN), Standard.ours(STDOUT)
    try:
        channel: Channel
        if is_one_stream(stdin, stdout):
            channel = StdioSocketChannel(backend.lane.shared_poller, stdin, stdout)
        else:
            channel = StdioChannel(
                backend.lane.shared_poller, backend.call_soon, backend.report, stdin, stdout
            )
    except OSError as error:
        raise ConnectError(f"cannot connect to stdio: {error}") from error
    _in_use = True
    return channel


class StdioScheme(Scheme[StandardIO, SocketHost]):
    """The one connection that a program is started with."""

    name = "stdio"
    examples = ("stdio:",)
    one_connection = True
    standard_io = True

    def parse(self, rest: str) -> StandardIO:
        return StandardIO.parse(rest)

    async def connect(
        self, backend: SocketHost, endpoint: StandardIO, timeout: float | None
    ) -> Channel:
        return connect_stdio(backend)


def _release() -> None:
    global _in_use
    _in_use = False


class StdioSocketChannel(SocketChannel):
    """Standard input and output that are one connected stream socket.

    Standard error too, mostly: nothing is written there any more, since the peer would get it.
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
        self.capabilities = Capabilities(can_reset=self._is_tcp)
        self.set_no_delay(True)
        spare_stderr()

    def start(self, sink: ChannelSink) -> None:
        if self._started:
            # From here on it only lingers, and the program may go on without it.
            self._let_go()
        self._started = True
        super().start(sink)

    def end_write(self) -> bool:
        ended = super().end_write()
        self._replace(self._standard[STDOUT])
        return ended

    def _let_go(self) -> None:
        standards, self._standard = self._standard, ()
        for standard in standards:
            self._replace(standard)
        if standards:
            _release()

    def _replace(self, standard: Standard) -> None:
        try:
            standard.replace()
        except OSError as error:
            # No descriptor is left; the peer has our end of stream by shutdown(2).
            _log.warning("descriptor %d stays the connection's: %s", standard.fd, error)

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self._let_go()
            super().close()

    def abort(self) -> None:
        if self._sock.fileno() >= 0:
            # Whoever else may hold the socket, a shell that has started us for one.
            reset(self._sock, shared=True)
        super().abort()

    def _set(self, level: int, option: int, enabled: bool) -> None:
        if self._is_tcp:
            set_tcp_option(self._sock, level, option, enabled)


class StdioChannel(Channel):
    """Standard input and output that have nothing to do with each other.

    :param stdin: what stands at descriptor 0.
    :param stdout: what stands at descriptor 1.
    :raises ConnectError: see `connect_stdio`.
    :raises OSError: one of them cannot be used.
    """

    # Standard input belongs to the next program once we stop reading it (END-02).
    capabilities = Capabilities(can_reset=False, drains=False)

    def __init__(
        self,
        poller: Poller,
        call_soon: Callable[..., None],
        report: Callable[..., None],
        stdin: Standard,
        stdout: Standard,
    ) -> None:
        self._sink: ChannelSink
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
        a failed write, input that is there comes first, and only that (FLU-09). Where there is no
        input, only its end can come, once our own half has ended (PIP-09).
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
        # A pipe has room for more only once a whole page of it was read.
        return 0 if self._output is None else untaken(self._output.fd, is_pipe=self._output_is_pipe)

    def end_write(self) -> bool:
        if isinstance(self._output, OutputSocket):
            self._output.sock.shutdown(socket.SHUT_WR)
        self._release_output()
        return True

    def _release_output(self) -> None:
        if self._output is None:
            return
        if self._output_poll is not None:
            self._output_poll.stop()
        self._output.close()
        self._output = None
        # For its reader to see the end of stream, descriptor 1 has to let go as well.
        self._stdout.replace()
        if isinstance(self._input, NoInput):
            self._input.ended = True
            # After our own end, which is told in the next turn.
            self._soon(self._take_turn)

    # -- both ----------------------------------------------------------------------------------

    def _broken(self, error: Exception) -> None:
        self._sink.failed(error)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.pause_reading()
        if self._input_poll is not None:
            self._input_poll.stop()
        if isinstance(self._output, OutputSocket):
            # Whoever else may hold it, standard error for one: nothing more will come.
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
        # Not 0 and 1 themselves, nor what is set on them: the child may go on printing.
        files = (self._input, self._output)
        return () if self._closed else tuple(file.fd for file in files if file is not None)

    def get_peer(self) -> Endpoint:
        return StandardIO()

    def get_host(self) -> Endpoint:
        return StandardIO()
