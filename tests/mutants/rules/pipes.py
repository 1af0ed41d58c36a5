"""Mistakes about pipes, standard input and output, and unix sockets."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from halfclose.channel import Capabilities
from halfclose.connection import Connection
from halfclose.io import standard, stdio, syscalls
from halfclose.io.poller import Poller
from halfclose.io.socket_channel import SocketChannel
from halfclose.io.standard import STDERR, Standard
from halfclose.io.stdio import StdioChannel, StdioSocketChannel
from halfclose.lifecycle import State
from halfclose.reasons import ConnectionDone, ConnectionLost
from mutants.mutant import mutant
from mutants.patching import Patch
from mutants.raising import change_reasons
from mutants.wrapping import after, around, before, called, loop_of, nothing, outgoing_of

# -- PIP-01: no reset ------------------------------------------------------------------------------


@mutant("PIP-01", on="unix")
def a_reset_is_declared_where_there_is_none(patch: Patch) -> None:
    """Every socket is said to be one that can be reset."""

    def make(real: Any, channel: SocketChannel, *args: Any, **named: Any) -> None:
        real(*args, **named)
        channel.capabilities = Capabilities()

    around(patch, SocketChannel, "__init__", make)


@mutant("PIP-01", on="unix", silent="connectionLost")
def an_abort_without_a_reset_flushes(patch: Patch) -> None:
    """Where there is no reset, abortConnection is loseConnection."""

    def abort(real: Any, connection: Connection) -> None:
        if connection.capabilities.can_reset:
            real()
        else:
            connection.loseConnection()

    around(patch, Connection, "abortConnection", abort)


@mutant("PIP-01", on="unix", silent="connectionLost")
def a_reset_of_a_unix_socket_is_its_end(patch: Patch) -> None:
    """ECONNRESET of a unix socket is taken for an end of stream: there is no reset there."""

    def failed(real: Any, connection: Connection, error: Exception | None) -> None:
        if isinstance(error, ConnectionResetError):
            connection.read_ended()
        else:
            real(error)

    around(patch, Connection, "failed", failed)


# -- PIP-02: our end of stream ---------------------------------------------------------------------


@mutant("PIP-02", on="stdio", silent="raw peer")
def only_the_duplicate_is_closed(patch: Patch) -> None:
    """The channel closes its own descriptor, and descriptor 1 holds the pipe open."""
    around(patch, Standard, "replace", nothing)


@mutant("PIP-02", on="stdio")
def descriptor_1_is_left_free(patch: Patch) -> None:
    """Descriptor 1 is closed, and the next file to be opened becomes standard output."""

    def replace(real: Any, standard: Standard) -> None:
        if standard.is_at(standard.fd):
            os.close(standard.fd)

    around(patch, Standard, "replace", replace)


@mutant("PIP-02", on="stdio")
def descriptor_1_is_not_inherited(patch: Patch) -> None:
    """A child process finds descriptor 1 free."""

    def replaced(standard: Standard) -> None:
        os.set_inheritable(standard.fd, False)

    after(patch, Standard, "replace", replaced)


@mutant("PIP-02", on="stdio", silent="timed out")
def a_socket_is_only_closed(patch: Patch) -> None:
    """Where descriptors 0 and 1 are one socket, our end of stream is not sent."""
    around(patch, SocketChannel, "end_write", lambda *_: True)


@mutant("PIP-02", on="stdio")
def both_ways_of_a_socket_are_shut(patch: Patch) -> None:
    """Where descriptors 0 and 1 are one socket, our end of stream ends the reading too."""

    def ended(channel: SocketChannel) -> None:
        channel.get_handle().shutdown(socket.SHUT_RDWR)

    after(patch, SocketChannel, "end_write", ended)


# -- PIP-03: both, one after the other -------------------------------------------------------------


@mutant("PIP-03", on="stdio", silent="connectionLost")
def the_close_waits_for_the_input(patch: Patch) -> None:
    """loseConnection after our end waits for the end of the input."""
    waiting: WeakSet[Connection] = WeakSet()
    lose = Connection.loseConnection

    def close(real: Any, connection: Connection) -> None:
        if connection.state in (State.WRITE_CLOSING, State.WRITE_CLOSED):
            waiting.add(connection)
        else:
            real()

    def ended(connection: Connection) -> None:
        if connection in waiting:
            lose(connection)

    around(patch, Connection, "loseConnection", close)
    after(patch, Connection, "read_ended", ended)


@mutant("PIP-03", on="stdio")
def standard_input_is_drained(patch: Patch) -> None:
    """What the next program would read is read and discarded, as a socket's is."""

    def closed(connection: Connection) -> None:
        if connection.state is State.CLOSING:
            connection.channel.resume_reading()

    after(patch, Connection, "loseConnection", closed)


@mutant("PIP-03", on="stdio")
def standard_input_lingers(patch: Patch) -> None:
    """A closed connection goes on reading standard input, as it does a socket."""
    patch.put(StdioChannel, "capabilities", Capabilities(can_reset=False))


@mutant("PIP-03", on="stdio")
def the_output_is_released_twice(patch: Patch) -> None:
    """The close releases the output, whether our end has done so or not."""
    released: list[int] = []

    def end_write(real: Any, channel: StdioChannel) -> Any:
        released.append(channel.descriptors()[-1])
        return real()

    def close(channel: StdioChannel) -> None:
        with suppress(IndexError, OSError):
            os.close(released.pop())

    around(patch, StdioChannel, "end_write", end_write)
    before(patch, StdioChannel, "close", close)


# -- PIP-04: the reader goes away ------------------------------------------------------------------


@mutant("PIP-04", on="stdio", silent="writeConnectionLost")
def an_idle_pipe_is_not_watched(patch: Patch) -> None:
    """That the reader has gone is found out by the next write."""
    unknown: WeakKeyDictionary[Connection, Exception] = WeakKeyDictionary()

    def gone(real: Any, connection: Connection, error: Exception) -> None:
        if outgoing_of(connection).size:
            real(error)
        else:
            unknown[connection] = error

    def written(connection: Connection, data: bytes) -> None:
        if connection in unknown:
            loop_of(connection).call_soon(connection.reader_gone, unknown.pop(connection))

    around(patch, Connection, "reader_gone", gone)
    after(patch, Connection, "write", written)


@mutant("PIP-04", on="stdio")
def a_reader_that_is_gone_ends_it_all(patch: Patch) -> None:
    """EPIPE is an error of the connection."""
    around(
        patch, Connection, "reader_gone", lambda real, connection, error: connection.failed(error)
    )


@mutant("PIP-04", on="stdio")
def pending_bytes_are_forgotten(patch: Patch) -> None:
    """What nobody will read is not counted as dropped."""
    forgotten: WeakKeyDictionary[Connection, int] = WeakKeyDictionary()

    def gone(connection: Connection, error: Exception) -> None:
        forgotten[connection] = outgoing_of(connection).size

    def dropped(real: Any, connection: Connection) -> int:
        count: int = real()
        return count - forgotten.get(connection, 0)

    before(patch, Connection, "reader_gone", gone)
    around(patch, Connection, "droppedBytes", dropped)


@mutant("PIP-04", on="stdio")
def pending_bytes_are_clean(patch: Patch) -> None:
    """That bytes were lost to a reader that has gone is forgotten at the end."""
    lost_readers = called(patch, "reader_gone")

    def change(connection: Connection, reason: BaseException) -> BaseException:
        return ConnectionDone() if connection in lost_readers else reason

    change_reasons(patch, change)


@mutant("PIP-04", on="stdio")
def no_bytes_are_lost_and_yet_it_is_a_loss(patch: Patch) -> None:
    """A reader that has gone makes the end unclean, whether anything was pending or not."""
    lost_readers = called(patch, "reader_gone")

    def change(connection: Connection, reason: BaseException) -> BaseException:
        return ConnectionLost("nobody read it") if connection in lost_readers else reason

    change_reasons(patch, change)


@mutant("PIP-04", on="stdio")
def a_reader_that_is_gone_takes_the_input_along(patch: Patch) -> None:
    """When the output is released, so is the input."""

    def gone(connection: Connection, error: Exception) -> None:
        loop_of(connection).call_soon(connection.read_ended)

    after(patch, Connection, "reader_gone", gone)


@mutant("PIP-04", on="tcp")
def a_failed_send_is_a_reader_that_is_gone(patch: Patch) -> None:
    """On TCP too, EPIPE says that nobody reads, and our half has ended."""
    connections: WeakKeyDictionary[SocketChannel, Any] = WeakKeyDictionary()

    def write(real: Any, channel: SocketChannel, data: bytes) -> int:
        try:
            taken: int = real(data)
        except OSError as error:
            connection = connections[channel]
            loop_of(connection).call_soon(connection.reader_gone, error)
            return 0
        return taken

    before(patch, SocketChannel, "start", connections.__setitem__)
    around(patch, SocketChannel, "write", write)


# -- PIP-05: every type of descriptor --------------------------------------------------------------


@mutant("PIP-05", on="stdio")
def what_no_poller_takes_is_refused(patch: Patch) -> None:
    """A regular file cannot be watched, and so not be read."""

    def register(real: Any, poller: Poller, *args: object) -> Any:
        try:
            return real(*args)
        except PermissionError as error:
            raise OSError(errno.EINVAL, "it cannot be watched") from error

    around(patch, Poller, "register", register)


@mutant("PIP-05", on="stdio", silent="/dev/null")
def what_no_poller_takes_is_waited_for(patch: Patch) -> None:
    """What is always ready is read when somebody says that it is."""

    class Silent:
        want = stop = nothing

    def register(real: Any, poller: Poller, *args: object) -> Any:
        try:
            return real(*args)
        except PermissionError:
            return Silent()

    around(patch, Poller, "register", register)


@mutant("PIP-05", on="stdio", silent="readConnectionLost")
def a_silent_end_is_not_looked_for(patch: Patch) -> None:
    """The end of a pipe that came before the channel was made is left to the poller."""
    patch.edit(StdioChannel._take_turn, "or self._end_may_be_silent", "")


# -- PIP-06: flags ---------------------------------------------------------------------------------


def _after_opening(patch: Patch, name: str, then: Callable[[Any], object]) -> None:
    """Have ``then(file)`` called for what the function *name* opens."""
    real = getattr(stdio, name)

    def opened(found: Standard) -> Any:
        file = real(found)
        then(file)
        return file

    patch.put(stdio, name, opened)


@mutant("PIP-06", on="stdio")
def flags_are_set_on_what_is_shared(patch: Patch) -> None:
    """O_NONBLOCK is set on the description that other processes have as well."""
    for name in ("open_input", "open_output"):
        _after_opening(patch, name, lambda file: os.set_blocking(file.fd, False))


@mutant("PIP-06", on="stdio")
def a_default_timeout_is_taken(patch: Patch) -> None:
    """A socket object is made as usual, which sets O_NONBLOCK where there is a default timeout."""
    patch.edit(
        syscalls.socket_of,
        "return kind(-1, socket.SOCK_STREAM | without_waiting, -1, fd)",
        "return kind(fileno=fd)",
    )


@mutant("PIP-06", on="stdio")
def a_file_is_opened_anew(patch: Patch) -> None:
    """A regular file gets a description of its own, with an offset of its own."""

    def opened(file: Any) -> None:
        if stat.S_ISREG(os.fstat(file.fd).st_mode):
            anew = os.open(f"/dev/fd/{file.fd}", os.O_RDWR)
            os.dup2(anew, file.fd, inheritable=False)
            os.close(anew)

    _after_opening(patch, "open_input", opened)
    _after_opening(patch, "open_output", opened)


@mutant("PIP-06", on="stdio")
def two_at_once(patch: Patch) -> None:
    """A second connection to the standard descriptors is made beside the first."""
    patch.edit(stdio.connect_stdio, "if _in_use:", "if False:")


@mutant("PIP-06", on="stdio")
def one_for_ever(patch: Patch) -> None:
    """After the end of the connection the standard descriptors stay in use."""
    patch.edit(stdio._release, "_in_use = False", "pass")


# -- PIP-07: what is not ours ----------------------------------------------------------------------


@mutant("PIP-07", on="stdio")
def whatever_is_there_is_taken(patch: Patch) -> None:
    """What this process has opened for itself is taken for standard input or output."""
    patch.edit(
        vars(Standard)["ours"].__func__, "not os.get_inheritable(fd) or not found.file[0]", "False"
    )


@mutant("PIP-07", on="stdio")
def the_second_is_looked_at_too_late(patch: Patch) -> None:
    """Standard input is opened before standard output is looked at, and gets its number."""
    patch.edit(
        stdio.connect_stdio,
        "Standard.ours(STDOUT)",
        "(os.open(os.devnull, os.O_RDONLY), Standard.ours(STDOUT))[1]",
    )


@mutant("PIP-07", on="stdio")
def whatever_has_come_is_replaced(patch: Patch) -> None:
    """At our end /dev/null is put at descriptor 1, whatever stands there by then."""
    patch.edit(Standard.replace, "if self.is_at(self.fd):", "if True:")


# -- PIP-08: one stream socket ---------------------------------------------------------------------


@mutant("PIP-08", on="stdio")
def one_socket_is_two_descriptors(patch: Patch) -> None:
    """Where descriptors 0 and 1 are one socket, each is used by itself."""
    patch.edit(stdio.connect_stdio, "if is_one_stream(stdin, stdout):", "if False:")


@mutant("PIP-08", on="stdio")
def standard_descriptors_hold_the_socket(patch: Patch) -> None:
    """Our own descriptor is closed, and 0 and 1 hold the socket open, so that there is no reset."""

    def replace(real: Any, standard: Standard) -> None:
        if standard.fd == STDERR:
            real()

    around(patch, Standard, "replace", replace)


@mutant("PIP-08", on="stdio")
def the_peer_reads_the_log(patch: Patch) -> None:
    """What is written to standard error comes to the peer."""
    patch.put(stdio, "spare_stderr", lambda: None)


@mutant("PIP-08", on="stdio", silent="no end came")
def an_abort_is_only_a_close(patch: Patch) -> None:
    """Where there is no reset, somebody else who holds the socket keeps its peer waiting."""
    around(patch, StdioSocketChannel, "abort", lambda real, channel: SocketChannel.abort(channel))


# -- PIP-09: the other way only --------------------------------------------------------------------


@mutant("PIP-09", on="stdio")
def no_input_is_an_input(patch: Patch) -> None:
    """Standard input is read although it is open for writing only, and its error is a loss."""
    patch.edit(standard.open_input, "== os.O_WRONLY", "== -1")


@mutant("PIP-09", on="stdio")
def no_input_is_an_end_of_input(patch: Patch) -> None:
    """Where nothing can come, that is told as the end of stream at once."""

    def made(input: standard.NoInput) -> None:
        input.ended = True

    after(patch, standard.NoInput, "__init__", made)


@mutant("PIP-09", on="stdio", silent="connectionLost")
def no_input_has_no_end(patch: Patch) -> None:
    """Where nothing can come, the connection waits for it for ever."""

    def set_attribute(real: Any, input: standard.NoInput, name: str, value: object) -> None:
        if name != "ended" or not value:
            real(name, value)

    around(patch, standard.NoInput, "__setattr__", set_attribute)


@mutant("PIP-09", on="stdio")
def an_output_is_not_looked_at(patch: Patch) -> None:
    """That standard output cannot be written is found out by the first write."""
    patch.edit(standard.open_output, "== os.O_RDONLY", "== -1")
