"""PIP: pipes, standard input and output, unix sockets."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import select
import socket
import sys
import tempfile
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from ..lifecycle import State
from ..reasons import ConnectError, ConnectionAborted, ConnectionDone, ConnectionLost
from .data import assert_same
from .harness import MORE_THAN_THE_KERNEL, Net, rule
from .peers import LIMIT
from .pipes import STDIN, STDOUT, standard_descriptors
from .recorder import Recorder
from .threads import in_thread

__all__ = ["PipeRules"]


@asynccontextmanager
async def connected(
    net: Net, stdin: int, stdout: int, **reactions: Callable[..., object]
) -> AsyncIterator[Recorder]:
    """A recorder on ``stdio:``, with *stdin* and *stdout* at descriptors 0 and 1."""
    with standard_descriptors(stdin, stdout):
        protocol = Recorder(**reactions)
        net.watch(protocol)
        await net.backend.connect("stdio:", lambda: protocol)
        try:
            yield protocol
        finally:
            protocol.transport.abortConnection()
            await protocol.transport.whenClosed()


class Ends(ExitStack):
    """The other ends of standard descriptors, and files; closes what is open of them."""

    def __init__(self) -> None:
        super().__init__()
        self._open: set[int] = set()
        self.callback(self._close_all)

    def _close_all(self) -> None:
        for fd in list(self._open):
            self.close_one(fd)

    def keep(self, fd: int) -> int:
        """*fd* is the test's, until `close_one` or the end."""
        self._open.add(fd)
        return fd

    def close_one(self, fd: int) -> None:
        """Close *fd*, once."""
        if fd in self._open:
            self._open.remove(fd)
            os.close(fd)

    def terminal(self) -> tuple[int, int]:
        """A terminal's master, kept, and its slave, which does not echo."""
        master, slave = pty.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        return self.keep(master), slave

    def sockets(self) -> tuple[socket.socket, int]:
        """One end of a pair of sockets, and the other's descriptor."""
        theirs, ours = socket.socketpair()
        theirs.settimeout(LIMIT)
        return self.enter_context(theirs), ours.detach()

    def file(self, content: bytes = b"") -> int:
        """A regular file with *content*, open at its beginning, kept."""
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        return self.keep(fd)


@dataclass(frozen=True)
class Input:
    """Something to be descriptor 0."""

    fd: int
    feed: Callable[[bytes], object]
    """Let it give these bytes: a line."""
    end: Callable[[], object]
    """Let it end."""
    gives: bool = True
    """Whether it gives what it is fed."""


@dataclass(frozen=True)
class Output:
    """Something to be descriptor 1."""

    fd: int
    read: Callable[[int], bytes]
    """That many bytes of what was written, or fewer where it has ended."""
    ends: bool = False
    """Whether its reader sees the end of stream."""
    keeps: bool = True
    """Whether it keeps what is written."""


def _input_pipe(ends: Ends) -> Input:
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


def _input_socket(ends: Ends) -> Input:
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
    "pipe": _input_pipe,
    "fifo": _input_fifo,
    "terminal": _input_terminal,
    "terminal that hangs up": _input_terminal_that_hangs_up,
    "socket": _input_socket,
    "/dev/null": _input_null,
    "regular file": _input_file,
}


def _read_fully(read: Callable[[int], bytes], size: int) -> bytes:
    """*size* bytes, or fewer where *read* says that it has ended."""
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

        return _read_fully(read_some, size)

    return read


def _output_pipe(ends: Ends) -> Output:
    theirs, stdout = os.pipe()
    return Output(stdout, _read_descriptor(ends.keep(theirs)), ends=True)


def _output_terminal(ends: Ends) -> Output:
    master, slave = ends.terminal()
    return Output(slave, _read_descriptor(master))


def _output_socket(ends: Ends) -> Output:
    theirs, ours = ends.sockets()
    return Output(ours, lambda size: _read_fully(theirs.recv, size), ends=True)


def _output_null(ends: Ends) -> Output:
    return Output(os.open(os.devnull, os.O_WRONLY), lambda size: b"", keeps=False)


def _output_file(ends: Ends) -> Output:
    file = ends.file()

    def read(size: int) -> bytes:
        return os.pread(file, size, 0)

    return Output(os.dup(file), read)


OUTPUTS = {
    "pipe": _output_pipe,
    "terminal": _output_terminal,
    "socket": _output_socket,
    "/dev/null": _output_null,
    "regular file": _output_file,
}


def _one_for_both(ends: Ends, name: str) -> tuple[Input, Output]:
    """A terminal's way, and inetd's: descriptors 0 and 1 are duplicates."""
    if name == "socket":
        theirs, ours = ends.sockets()
        peer = theirs.fileno()
    else:
        peer, ours = ends.terminal()
    return (
        Input(ours, lambda line: os.write(peer, line), lambda: None),
        Output(os.dup(ours), _read_descriptor(peer)),
    )


def is_null(fd: int) -> bool:
    """Whether *fd* is /dev/null."""
    return os.path.samestat(os.fstat(fd), os.stat(os.devnull))


def what_is_left() -> bytes:
    """What can be read from standard input, without waiting for any."""
    ready, _, _ = select.select([STDIN], [], [], 0)
    return os.read(STDIN, 100) if ready else b""


def flags(*descriptors: int) -> list[int]:
    """The status flags of the descriptions below, as every process that shares them has them."""
    return [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in descriptors]


class PipeRules:
    """The rules PIP-01 to PIP-06."""

    @rule("PIP-01", schemes=("unix", "stdio", "memory"), needs=("descriptors",))
    async def test_pip_01_no_reset_on_unix_sockets_and_pipes(self, net: Net) -> None:
        """A unix socket keeps every rule that TCP keeps, but that `can_reset` is off there and on
        stdio: the kernel has no RST for them. Abort discards what is pending and closes; a raw
        peer "resets" a unix socket by closing with our bytes unread.

        Where to look: declare ``can_reset=False`` where the socket's family is AF_UNIX, and let
        ``abort`` close. ECONNRESET of a unix socket means what it means on TCP.
        """
        pair = await net.recorded()
        assert not pair.can.can_reset
        pair.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
        pair.protocol.verb("abortConnection")
        assert type(await net.lost(pair.protocol)) is ConnectionAborted
        received = await pair.peer.read_to_eof()
        assert len(received) < MORE_THAN_THE_KERNEL
        if net.kind.scheme == "stdio":
            return

        for write_after in (False, True):
            broken = await net.recorded(connectionMade=lambda p: p.verb("write", b"unread"))
            await broken.peer.until_input()
            broken.peer.reset()
            if write_after:
                # The kernel tells a write EPIPE here, and the reset with it.
                broken.protocol.verb("write", b"too late")
            reason = await net.lost(broken.protocol)
            assert type(reason) is ConnectionLost
            if broken.can.tells_cause:
                cause = reason.__cause__
                assert isinstance(cause, (ConnectionResetError, BrokenPipeError)), repr(cause)

    @rule("PIP-02", schemes=("stdio", "memory"), needs=("descriptors",))
    async def test_pip_02_our_end_of_stream(self, net: Net) -> None:
        """stdio lwc: the reader of our stdout sees EOF. † (it never does there) Descriptor 1 is
        replaced by /dev/null, never left free for reuse; a socket is shut down for writing too.
        No EOF is promised on a terminal, or where another descriptor holds the pipe.

        Where to look: to close a duplicate of descriptor 1 is not enough while descriptor 1 is
        open itself; on a socket, standard input holds it as well, so shut it down.
        """
        pair = await net.recorded()
        pair.protocol.verb("write", b"out")
        pair.protocol.verb("loseWriteConnection")
        assert await pair.peer.read_to_eof() == b"out"
        await self._goes_on_reading(net, pair.protocol, pair.peer.send_now)
        pair.protocol.verb("loseConnection")
        await net.lost(pair.protocol)

        with Ends() as ends:
            # inetd's way: one socket at both.
            theirs, ours = ends.sockets()
            async with connected(net, ours, os.dup(ours)) as protocol:
                protocol.verb("write", b"out")
                protocol.verb("loseWriteConnection")
                data = await in_thread(net.backend, _read_fully, theirs.recv, 100)
                assert data == b"out"
                await self._goes_on_reading(net, protocol, theirs.sendall)

        with Ends() as ends:
            master, slave = ends.terminal()
            async with connected(net, slave, os.dup(slave)) as protocol:
                protocol.verb("loseWriteConnection")
                await self._goes_on_reading(net, protocol, lambda data: os.write(master, data))

        with Ends() as ends:
            stdin = _input_pipe(ends)
            read_end, stdout = os.pipe()
            ends.keep(read_end)
            ends.keep(os.dup(stdout))
            async with connected(net, stdin.fd, stdout) as protocol:
                protocol.verb("loseWriteConnection")
                await self._goes_on_reading(net, protocol, stdin.feed)

    async def _goes_on_reading(
        self, net: Net, protocol: Recorder, send: Callable[[bytes], object]
    ) -> None:
        await net.until(protocol, "writeConnectionLost")
        assert is_null(STDOUT)
        assert os.get_inheritable(STDOUT), "a child process would find descriptor 1 free"
        send(b"in\n")
        await net.until(protocol, "dataReceived")
        assert bytes(protocol.received) == b"in\n"
        assert protocol.transport.state is State.WRITE_CLOSED

    @rule("PIP-03", schemes=("stdio", "memory"), needs=("descriptors",))
    async def test_pip_03_lose_write_then_lose(self, net: Net) -> None:
        """stdio lwc, then loseConnection: connectionLost. † (it never comes there)

        Where to look: ``end_write`` has released the output when ``close`` comes. Standard input
        is not read any more once loseConnection was called: its bytes belong to the next program
        (END-02), so the channel declares ``drains=False``.
        """
        for wait in (False, True):
            pair = await net.recorded()
            pair.protocol.verb("write", b"out")
            pair.protocol.verb("loseWriteConnection")
            if wait:
                await net.until(pair.protocol, "writeConnectionLost")
            pair.protocol.verb("loseConnection")
            pair.peer.send_now(b"for the next program")
            assert type(await net.lost(pair.protocol)) is ConnectionDone
            assert await pair.peer.read_to_eof() == b"out"
            assert is_null(STDOUT)
            events = ["connectionMade", "writeConnectionLost", "connectionLost"]
            assert pair.protocol.events == [e for e in events if wait or e != events[1]]
            assert what_is_left() == b"for the next program"

        # Without lwc, and with output that is still to be sent when the input comes.
        pair = await net.recorded()
        pair.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
        pair.protocol.verb("loseConnection")
        pair.peer.send_now(b"for the next program")
        await net.quiet()
        assert len(await pair.peer.read_to_eof()) == MORE_THAN_THE_KERNEL
        assert type(await net.lost(pair.protocol)) is ConnectionDone
        assert what_is_left() == b"for the next program"

    @rule("PIP-04", schemes=("tcp", "stdio", "memory"))
    async def test_pip_04_the_reader_goes_away(self, net: Net) -> None:
        """stdout is a pipe and its reader goes away: wcl, at once also when we are idle, and
        reading goes on; bytes that were pending count as dropped, and the final reason is then
        ConnectionLost with BrokenPipeError as its cause. On TCP no peer action ever causes wcl.

        Where to look: a pipe's writing end polls as broken when its reader goes away; tell it by
        ``reader_gone``, once. EPIPE of any other descriptor is a failed write.
        """
        if net.kind.scheme != "stdio":
            await self._never_on_tcp(net)
            return
        await self._idle_reader_goes(net, paused=False)
        await self._idle_reader_goes(net, paused=True)
        for ending in ("the input's end", "loseConnection"):
            await self._bytes_were_pending(net, ending)
        await self._reader_goes_while_closing(net)

    async def _never_on_tcp(self, net: Net) -> None:
        for action in ("shutdown", "stop_reading", "reset", "close"):
            for pending in (MORE_THAN_THE_KERNEL, 0):
                pair = await net.recorded()
                pair.protocol.verb("write", b"x" * pending)
                getattr(pair.peer, action)()
                await net.turns()
                # TCP answers the first with a reset, at which the second fails.
                pair.protocol.verb("write", b"more")
                pair.protocol.verb("write", b"more")
                await net.turns()
                case = f"{action}, {pending} bytes pending"
                assert "writeConnectionLost" not in pair.protocol.events, case
                pair.protocol.verb("abortConnection")
                await net.lost(pair.protocol)
                assert "writeConnectionLost" not in pair.protocol.events, case

    async def _idle_reader_goes(self, net: Net, paused: bool) -> None:
        pair = await net.recorded()
        pair.protocol.verb("write", b"out")
        assert await pair.peer.read_exactly(3) == b"out"
        if paused:
            pair.protocol.verb("pauseProducing")
        pair.peer.stop_reading()
        await net.until(pair.protocol, "writeConnectionLost")
        assert pair.transport.state is State.WRITE_CLOSED
        assert pair.transport.droppedBytes == 0
        pair.protocol.verb("write", b"too late")
        assert pair.transport.droppedBytes == len(b"too late")
        pair.protocol.verb("loseWriteConnection")
        pair.peer.send_now(b"in")
        if paused:
            await net.quiet()
            assert pair.protocol.events[-1] == "writeConnectionLost"
            pair.protocol.verb("resumeProducing")
        await net.until(pair.protocol, "dataReceived")
        pair.peer.shutdown()
        assert type(await net.lost(pair.protocol)) is ConnectionDone
        assert pair.protocol.events == [
            "connectionMade",
            "writeConnectionLost",
            "dataReceived",
            "readConnectionLost",
            "connectionLost",
        ]

    async def _bytes_were_pending(self, net: Net, ending: str) -> None:
        pair = await net.recorded()
        pair.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
        delivered = len(await pair.peer.read_exactly(1 << 17))
        pair.peer.stop_reading()
        await net.until(pair.protocol, "writeConnectionLost")
        dropped = pair.transport.droppedBytes
        # What the kernel had taken and nobody read is not ours to count.
        assert MORE_THAN_THE_KERNEL - delivered - (1 << 20) <= dropped
        assert dropped <= MORE_THAN_THE_KERNEL - delivered
        pair.peer.send_now(b"in")
        await net.until(pair.protocol, "dataReceived")
        if ending == "loseConnection":
            pair.protocol.verb("loseConnection")
        else:
            pair.peer.shutdown()
        reason = await net.lost(pair.protocol)
        assert type(reason) is ConnectionLost
        assert isinstance(reason.__cause__, BrokenPipeError)
        assert reason.__cause__.errno == errno.EPIPE
        assert ("readConnectionLost" in pair.protocol.events) == (ending != "loseConnection")

    async def _reader_goes_while_closing(self, net: Net) -> None:
        for verb in ("loseWriteConnection", "loseConnection"):
            pair = await net.recorded()
            pair.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
            pair.protocol.verb(verb)
            pair.peer.stop_reading()
            if verb == "loseWriteConnection":
                await net.until(pair.protocol, "writeConnectionLost")
                pair.peer.shutdown()
            reason = await net.lost(pair.protocol)
            assert type(reason) is ConnectionLost
            assert isinstance(reason.__cause__, BrokenPipeError)
            assert pair.transport.droppedBytes > 0

    @rule("PIP-05", schemes=("stdio", "memory"), needs=("descriptors",))
    async def test_pip_05_every_type_of_descriptor(self, net: Net) -> None:
        """stdin or stdout may be a pipe, a terminal, a socket, /dev/null or a regular file. ‡
        (epoll refuses regular files)

        Where to look: what no poller takes is always ready: read one chunk a turn. A poller may
        be silent about an end that came before the descriptor was opened anew, so try to read
        once without being told to.
        """
        for name in INPUTS:
            for early in (True, False):
                with Ends() as ends:
                    await self._input(net, ends, name, early)
        for name in OUTPUTS:
            with Ends() as ends:
                await self._output(net, ends, name)
        for name in ("terminal", "socket"):
            with Ends() as ends:
                await self._both(net, *_one_for_both(ends, name))

    async def _input(self, net: Net, ends: Ends, name: str, early: bool) -> None:
        what = f"{name}, {'before' if early else 'after'} the connection was made"
        stdin, stdout = INPUTS[name](ends), _output_pipe(ends)
        hangs_up = "hangs up" in name
        line = b"a line\n"
        # Nothing tells that a regular file has grown.
        early = early or name == "regular file"
        if early:
            stdin.feed(line)
            if not hangs_up:
                stdin.end()
        async with connected(net, stdin.fd, stdout.fd) as protocol:
            if not early:
                stdin.feed(line)
            if stdin.gives:
                await self._until(net, protocol, "dataReceived", what)
            if not early or hangs_up:
                stdin.end()
            await self._until(net, protocol, "readConnectionLost", what)
            assert bytes(protocol.received) == (line if stdin.gives else b""), what
            protocol.verb("write", b"out")
            assert await in_thread(net.backend, stdout.read, 3) == b"out", what
            protocol.verb("loseWriteConnection")
            reason = await net.lost(protocol)
            assert type(reason) is ConnectionDone, f"{what}: {reason!r}"

    async def _until(self, net: Net, protocol: Recorder, event: str, what: str) -> None:
        def reached() -> bool:
            return event in protocol.events

        reached.__doc__ = f"{event} ({what})"
        await net.until(protocol, reached, LIMIT / 4)

    async def _output(self, net: Net, ends: Ends, name: str) -> None:
        stdin, stdout = _input_pipe(ends), OUTPUTS[name](ends)
        data = b"x" * (1 << 18)
        async with connected(net, stdin.fd, stdout.fd) as protocol:
            stdin.feed(b"in")
            await self._until(net, protocol, "dataReceived", f"writing to a {name}")
            for start in range(0, len(data), 1 << 15):
                protocol.verb("write", data[start : start + (1 << 15)])
            if stdout.keeps and name != "regular file":
                assert_same(await in_thread(net.backend, stdout.read, len(data)), data, name)
            protocol.verb("loseWriteConnection")
            await self._until(net, protocol, "writeConnectionLost", f"writing to a {name}")
            if name == "regular file":
                assert_same(stdout.read(len(data) + 1), data, name)
            if stdout.ends:
                assert await in_thread(net.backend, stdout.read, 1) == b"", name
            protocol.verb("loseConnection")
            assert type(await net.lost(protocol)) is ConnectionDone, name

    async def _both(self, net: Net, stdin: Input, stdout: Output) -> None:
        async with connected(net, stdin.fd, stdout.fd) as protocol:
            protocol.verb("write", b"out")
            assert await in_thread(net.backend, stdout.read, 3) == b"out"
            stdin.feed(b"in\n")
            await net.until(protocol, "dataReceived")
            protocol.verb("loseConnection")
            assert type(await net.lost(protocol)) is ConnectionDone

    @rule("PIP-06", schemes=("stdio", "memory"), needs=("descriptors",))
    async def test_pip_06_inherited_descriptions_keep_their_flags(self, net: Net) -> None:
        """Inherited descriptions keep their flags where the platform allows it: O_NONBLOCK on a
        shared description makes other processes, and our own stderr, fail (a pipe can be reopened
        for a description of its own; a regular file must not be, its offset is shared). What was
        changed is put back at the end. A second `stdio:` while one is open is an error.

        Where to look: a duplicate shares its description with the original. Reopen by /dev/fd, or
        ask call by call (MSG_DONTWAIT). Where two duplicates of one description had to be
        changed, the flags to be put back are those from before the first change.
        """
        for name in ("pipe", "terminal", "socket", "regular file"):
            with Ends() as ends:
                stdin, stdout = INPUTS[name](ends), OUTPUTS[name](ends)
                await self._keeps_flags(net, ends, stdin, stdout, name)
        for name in ("terminal", "socket"):
            with Ends() as ends:
                stdin, stdout = _one_for_both(ends, name)
                await self._keeps_flags(net, ends, stdin, stdout, f"one {name} for both")
        await self._puts_back(net)
        await self._offset_is_shared(net)
        await self._only_one(net)

    async def _keeps_flags(
        self, net: Net, ends: Ends, stdin: Input, stdout: Output, name: str
    ) -> None:
        shared = ends.keep(os.dup(stdin.fd)), ends.keep(os.dup(stdout.fd))
        before = flags(*shared)
        assert not before[0] & os.O_NONBLOCK
        stdin.feed(b"in\n")
        async with connected(net, stdin.fd, stdout.fd) as protocol:
            assert flags(*shared) == before, name
            await self._until(net, protocol, "dataReceived", name)
            protocol.verb("write", b"out")
            assert await in_thread(net.backend, stdout.read, 3) == b"out", name
            assert flags(*shared) == before, name
            protocol.verb("loseConnection")
            await net.lost(protocol)
            assert flags(*shared) == before, name

    async def _puts_back(self, net: Net) -> None:
        # A pipe that has lost its reader cannot be opened anew.
        with Ends() as ends:
            stdin = _input_pipe(ends)
            reader, stdout = os.pipe()
            os.close(reader)
            shared = ends.keep(os.dup(stdout))
            before = flags(shared)
            async with connected(net, stdin.fd, stdout) as protocol:
                await self._until(net, protocol, "writeConnectionLost", "no reader from the start")
                stdin.feed(b"in")
                await net.until(protocol, "dataReceived")
                stdin.end()
                await net.lost(protocol)
                assert flags(shared) == before
        if sys.platform != "linux":
            return
        # Nor can a locked terminal; as little as another user's, from which su(1) began. (The
        # attempt breaks a locked one for good, so nothing is written to it here.)
        for verbs in (
            ("abortConnection",),
            ("loseConnection",),
            ("loseWriteConnection", "abortConnection"),
        ):
            with Ends() as ends:
                master, slave = ends.terminal()
                fcntl.ioctl(master, _LOCK_TERMINAL, b"\1\0\0\0")
                shared = ends.keep(os.dup(slave))
                before = flags(shared)
                async with connected(net, slave, os.dup(slave)) as protocol:
                    for verb in verbs:
                        protocol.verb(verb)
                    await net.lost(protocol)
                    assert flags(shared) == before, f"after {' and '.join(verbs)}"

    async def _offset_is_shared(self, net: Net) -> None:
        with Ends() as ends:
            content = os.urandom(1 << 18)
            stdin, stdout = ends.file(content), ends.file()
            os.lseek(stdin, 1000, os.SEEK_SET)
            os.write(stdout, b"before, ")
            async with connected(
                net,
                os.dup(stdin),
                os.dup(stdout),
                dataReceived=lambda p, _: p.verb("pauseProducing"),
            ) as protocol:
                await net.until(protocol, "dataReceived")
                protocol.verb("write", b"ours, ")
                await net.quiet()
                protocol.verb("loseConnection")
                await net.lost(protocol)
            assert content[1000:].startswith(protocol.received)
            # The next program goes on where this one has stopped.
            assert os.lseek(stdin, 0, os.SEEK_CUR) == 1000 + len(protocol.received)
            assert len(protocol.received) < len(content) - 1000
            os.write(stdout, b"after")
            assert os.pread(stdout, 100, 0) == b"before, ours, after"

    async def _only_one(self, net: Net) -> None:
        pair = await net.recorded()
        second = Recorder()
        refused: ConnectError | None = None
        try:
            await net.backend.connect("stdio:", lambda: second)
        except ConnectError as error:
            refused = error
        assert refused is not None, "a second stdio: was made beside the first"
        assert "stdio" in str(refused)
        assert second.events == []
        pair.protocol.verb("write", b"out")
        assert await pair.peer.read_exactly(3) == b"out"
        pair.protocol.verb("loseConnection")
        await net.lost(pair.protocol)
        again = await net.recorded()
        again.peer.send_now(b"in")
        await net.until(again.protocol, "dataReceived")


_LOCK_TERMINAL = 0x40045431
"""TIOCSPTLCK of Linux: a slave that is locked cannot be opened, whoever tries."""
