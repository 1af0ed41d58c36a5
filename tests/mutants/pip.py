"""Mistakes about pipes, standard input and output, and unix sockets."""

from __future__ import annotations

from halfclose.connection import Connection
from halfclose.io import standard, stdio, syscalls
from halfclose.io.sockets import SocketChannel
from halfclose.io.standard import Standard, _Shared
from halfclose.io.stdio import StdioChannel, StdioSocketChannel
from mutants.mutant import mutant
from mutants.patching import Patch

# -- PIP-01: no reset ------------------------------------------------------------------------------


@mutant("PIP-01", on="unix")
def a_reset_is_declared_where_there_is_none(patch: Patch) -> None:
    """Every socket is said to be one that can be reset."""
    patch.edit(SocketChannel.__init__, "else _NO_RESET", "else _TCP")


@mutant("PIP-01", on="unix", silent="connectionLost")
def an_abort_without_a_reset_flushes(patch: Patch) -> None:
    """Where there is no reset, abortConnection is loseConnection."""
    patch.edit(
        Connection.abortConnection,
        "self._finish(",
        "if not self._channel.capabilities.can_reset:\n"
        "            return self.loseConnection()\n"
        "        self._finish(",
    )


@mutant("PIP-01", on="unix", silent="connectionLost")
def a_reset_of_a_unix_socket_is_its_end(patch: Patch) -> None:
    """ECONNRESET of a unix socket is taken for an end of stream: there is no reset there."""
    patch.edit(
        SocketChannel._read,
        "self._fail(error)\n        return False\n    if not data:",
        "if self._sock.family != socket.AF_UNIX:\n"
        "            self._fail(error)\n"
        "            return False\n"
        "        data = b''\n    if not data:",
    )


# -- PIP-02: our end of stream ---------------------------------------------------------------------


@mutant("PIP-02", on="stdio", silent="raw peer")
def only_the_duplicate_is_closed(patch: Patch) -> None:
    """The channel closes its own descriptor, and descriptor 1 holds the pipe open."""
    patch.edit(StdioChannel._release_output, "self._stdout.replace()", "pass")


@mutant("PIP-02", on="stdio")
def descriptor_1_is_left_free(patch: Patch) -> None:
    """Descriptor 1 is closed, and the next file to be opened becomes standard output."""
    patch.edit(Standard.replace, "os.dup2(null, self.fd)", "os.close(self.fd)")


@mutant("PIP-02", on="stdio")
def descriptor_1_is_not_inherited(patch: Patch) -> None:
    """A child process finds descriptor 1 free."""
    patch.edit(Standard.replace, "os.dup2(null, self.fd)", "os.dup2(null, self.fd, False)")


@mutant("PIP-02", on="stdio", silent="timed out")
def a_socket_is_only_closed(patch: Patch) -> None:
    """Where descriptors 0 and 1 are one socket, our end of stream is not sent."""
    patch.edit(StdioSocketChannel.end_write, "super().end_write()", "True or super().end_write()")


@mutant("PIP-02", on="stdio")
def both_ways_of_a_socket_are_shut(patch: Patch) -> None:
    """Where descriptors 0 and 1 are one socket, our end of stream ends the reading too."""
    patch.edit(
        StdioSocketChannel.end_write,
        "super().end_write()",
        "super().end_write()\n    self._sock.shutdown(socket.SHUT_RDWR)",
    )


# -- PIP-03: both, one after the other -------------------------------------------------------------


@mutant("PIP-03", on="stdio", silent="connectionLost")
def the_close_waits_for_the_input(patch: Patch) -> None:
    """loseConnection after our end waits for the end of the input."""
    patch.edit(
        Connection._schedule_end,
        "if self._life.state is State.CLOSING:",
        "if self._life.state is State.CLOSING and self._peer_ended:",
    )


@mutant("PIP-03", on="stdio")
def standard_input_is_drained(patch: Patch) -> None:
    """What the next program would read is read and discarded, as a socket's is."""
    patch.edit(Connection._close, "if self._channel.capabilities.drains:", "if True:")


@mutant("PIP-03", on="stdio")
def standard_input_lingers(patch: Patch) -> None:
    """A closed connection goes on reading standard input, as it does a socket."""
    patch.edit(Connection._lingers, "and can.drains", "")


@mutant("PIP-03", on="stdio")
def the_output_is_released_twice(patch: Patch) -> None:
    """The close releases the output, whether our end has done so or not."""
    patch.edit(
        StdioChannel.end_write,
        "self._release_output()",
        "output = self._output\n    self._release_output()\n    self._output = output",
    )


# -- PIP-04: the reader goes away ------------------------------------------------------------------


@mutant("PIP-04", on="stdio", silent="writeConnectionLost")
def an_idle_pipe_is_not_watched(patch: Patch) -> None:
    """That the reader has gone is found out by the next write."""
    patch.edit(
        StdioChannel._output_ready,
        "if self._output_is_pipe and ready & ~WRITE:",
        "if self._output_is_pipe and ready & ~WRITE and self._output_blocked:",
    )


@mutant("PIP-04", on="stdio")
def a_reader_that_is_gone_ends_it_all(patch: Patch) -> None:
    """EPIPE is an error of the connection."""
    patch.edit(
        StdioChannel._tell_reader_gone, "self._sink.reader_gone(error)", "self._sink.failed(error)"
    )


@mutant("PIP-04", on="stdio")
def pending_bytes_are_forgotten(patch: Patch) -> None:
    """What nobody will read is not counted as dropped."""
    patch.edit(Connection.reader_gone, "self._drop(self._outgoing.size)", "pass")


@mutant("PIP-04", on="stdio")
def pending_bytes_are_clean(patch: Patch) -> None:
    """That bytes were lost to a reader that has gone is forgotten at the end."""
    patch.edit(Connection.reader_gone, "self._reason = lost(error)", "pass")


@mutant("PIP-04", on="stdio")
def no_bytes_are_lost_and_yet_it_is_a_loss(patch: Patch) -> None:
    """A reader that has gone makes the end unclean, whether anything was pending or not."""
    patch.edit(
        Connection.reader_gone,
        "if self._outgoing.size:",
        "self._reason = lost(error)\n    if self._outgoing.size:",
    )


@mutant("PIP-04", on="stdio")
def a_reader_that_is_gone_takes_the_input_along(patch: Patch) -> None:
    """When the output is released, so is the input."""
    patch.edit(
        StdioChannel._tell_reader_gone,
        "self._release_output()",
        "self._release_output()\n        self._soon(self._sink.read_ended)",
    )


@mutant("PIP-04", on="tcp")
def a_failed_send_is_a_reader_that_is_gone(patch: Patch) -> None:
    """On TCP too, EPIPE says that nobody reads, and our half has ended."""
    patch.edit(
        Connection._note_write_error, "self._write_error = error", "return self.reader_gone(error)"
    )


# -- PIP-05: every type of descriptor --------------------------------------------------------------


@mutant("PIP-05", on="stdio")
def what_no_poller_takes_is_refused(patch: Patch) -> None:
    """A regular file cannot be watched, and so not be read."""
    patch.edit(StdioChannel._register, "return None", "raise")


@mutant("PIP-05", on="stdio", silent="/dev/null")
def what_no_poller_takes_is_waited_for(patch: Patch) -> None:
    """What is always ready is read when somebody says that it is."""
    patch.edit(StdioChannel._take_turn, "self._input_poll is None or", "")


@mutant("PIP-05", on="stdio", silent="readConnectionLost")
def a_silent_end_is_not_looked_for(patch: Patch) -> None:
    """The end of a pipe that came before the channel was made is left to the poller."""
    patch.edit(StdioChannel._take_turn, "or self._end_may_be_silent", "")


# -- PIP-06: flags ---------------------------------------------------------------------------------


@mutant("PIP-06", on="stdio")
def flags_are_set_on_what_is_shared(patch: Patch) -> None:
    """O_NONBLOCK is set on the description that other processes have as well."""
    patch.edit(_Shared.__init__, "self._direct = True", "os.set_blocking(fd, False)")


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
    patch.edit(standard._open, "not (standard.is_pipe or os.isatty(fd))", "False")


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
    patch.edit(StdioSocketChannel.close, "self._let_go()", "_release()")


@mutant("PIP-08", on="stdio")
def the_peer_reads_the_log(patch: Patch) -> None:
    """What is written to standard error comes to the peer."""
    patch.put(stdio, "spare_stderr", lambda: None)


@mutant("PIP-08", on="stdio", silent="no end came")
def an_abort_is_only_a_close(patch: Patch) -> None:
    """Where there is no reset, somebody else who holds the socket keeps its peer waiting."""
    patch.edit(StdioSocketChannel.abort, "reset(self._sock, shared=True)", "pass")


# -- PIP-09: the other way only --------------------------------------------------------------------


@mutant("PIP-09", on="stdio")
def no_input_is_an_input(patch: Patch) -> None:
    """Standard input is read although it is open for writing only, and its error is a loss."""
    patch.edit(standard.open_input, "== os.O_WRONLY", "== -1")


@mutant("PIP-09", on="stdio")
def no_input_is_an_end_of_input(patch: Patch) -> None:
    """Where nothing can come, that is told as the end of stream at once."""
    patch.edit(standard.NoInput.__init__, "self.ended = False", "self.ended = True")


@mutant("PIP-09", on="stdio", silent="connectionLost")
def no_input_has_no_end(patch: Patch) -> None:
    """Where nothing can come, the connection waits for it for ever."""
    patch.edit(StdioChannel._release_output, "self._input.ended = True", "pass")


@mutant("PIP-09", on="stdio")
def an_output_is_not_looked_at(patch: Patch) -> None:
    """That standard output cannot be written is found out by the first write."""
    patch.edit(standard.open_output, "== os.O_RDONLY", "== -1")
