"""PIP: standard input and output of every type, in whatever state a program may find them."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)

from ...io.standard import is_open
from ...reasons import ConnectError, ConnectionAborted, ConnectionDone, ConnectionLost
from ..channels.peers import LIMIT, RawPeer
from ..channels.pipes import STDIN, STDOUT, standard_descriptors
from ..channels.sockets import SocketListener, SocketPeer, dial
from ..channels.threads import in_thread
from ..tools.data import assert_same
from ..tools.descriptors import (
    INPUTS,
    OUTPUTS,
    Ends,
    Input,
    Output,
    connected,
    flags,
    identity,
    input_pipe,
    input_socket,
    is_null,
    one_for_both,
    output_pipe,
    output_socket,
)
from ..tools.harness import MORE_THAN_THE_KERNEL, Net, Pair, rule
from ..tools.recorder import Recorder

__all__ = ["DescriptorRules"]


@contextmanager
def _for_nobody(*pipes: int) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Take all permissions off *pipes*, so that they cannot be opened anew.

    :returns: a context manager to enter meanwhile, in which this process is not root: root may
        open anything.
    """
    for fd in pipes:
        os.fchmod(fd, 0)
    yield _as_nobody if os.geteuid() == 0 else nullcontext


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Run as the user nobody, for a process that is root."""
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


_NOBODY = 65534


def _taken_by_sockets(free: int) -> Callable[[], None]:
    """Open a pair of sockets, such as an event loop wakes itself with."""
    pair = socket.socketpair()
    assert free in (each.fileno() for each in pair)

    def close() -> None:
        for each in pair:
            each.close()

    return close


def _taken_by_file(free: int) -> Callable[[], None]:
    """Open a file, as the program may."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by what is returned
    assert file.fileno() == free
    return file.close


def _taken_by_epoll(free: int) -> Callable[[], None]:
    """Open an epoll instance, such as an event loop waits with."""
    epoll = select.epoll()
    assert epoll.fileno() == free
    return epoll.close


_TAKERS: dict[str, Callable[[int], Callable[[], None]]] = {
    "a pair of sockets": _taken_by_sockets,
    "a file": _taken_by_file,
}
"""Functions by the name of what they open. Each opens that at the descriptor *free*, which is the
lowest free one, and returns a function that closes it."""

if hasattr(select, "epoll"):
    _TAKERS["an epoll instance"] = _taken_by_epoll


class DescriptorRules:
    """The rules PIP-05 to PIP-09."""

    @rule("PIP-05", schemes=("stdio", "memory"), needs=("descriptors",))
    async def test_pip_05_every_type_of_descriptor(self, net: Net) -> None:
        """stdin or stdout may be a pipe, a terminal, a socket, /dev/null or a regular file. ‡
        (epoll refuses regular files)

        Where to look: a file that pollers refuse is always ready, so read one chunk of it each
        turn. A poller may not report an end that came before the descriptor was opened anew, so
        try to read once at the start, before it reports anything.
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
                await self._both(net, *one_for_both(ends, name))

    async def _input(self, net: Net, ends: Ends, name: str, early: bool) -> None:
        what = f"{name}, {'before' if early else 'after'} the connection was made"
        stdin, stdout = INPUTS[name](ends), output_pipe(ends)
        hangs_up = "hangs up" in name
        line = b"a line\n"
        # A regular file must be written before, since nothing would report that it has grown.
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
        stdin, stdout = input_pipe(ends), OUTPUTS[name](ends)
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
        """Inherited descriptions keep their flags, because O_NONBLOCK on a shared description makes
        other processes, and our own stderr, fail, and for good if we are killed. A pipe or terminal
        is opened anew, for a description of its own. Where that cannot be done (it is another
        user's), and for a socket, the kernel is asked call by call not to wait, also after
        `socket.setdefaulttimeout`. A regular file must not be opened anew, since its offset is
        shared. The loop waits for none of them. A second `stdio:` while one is open is an error.

        Where to look: a duplicate shares its description, and so its flags, with the original.
        Either open it anew by /dev/fd, and check that the flags are those that were asked for. Or
        ask each call not to wait: by MSG_DONTWAIT, by RWF_NOWAIT, or by poll and writes of at
        most PIPE_BUF. If there is a default timeout, ``socket.socket(fileno=)`` sets O_NONBLOCK,
        and then waits by itself.
        """
        for name in ("pipe", "terminal", "socket", "regular file"):
            with Ends() as ends:
                stdin, stdout = INPUTS[name](ends), OUTPUTS[name](ends)
                await self._keeps_flags(net, ends, stdin, stdout, name)
        for name in ("terminal", "socket"):
            with Ends() as ends:
                stdin, stdout = one_for_both(ends, name)
                await self._keeps_flags(net, ends, stdin, stdout, f"one {name} for both")
        await self._default_timeout(net)
        for name in ("pipe", "fifo"):
            with Ends() as ends:
                await self._cannot_be_opened(net, ends, name)
        await self._cannot_be_opened_by_anyone(net)
        await self._offset_is_shared(net)
        await self._only_one(net)

    async def _keeps_flags(
        self,
        net: Net,
        ends: Ends,
        stdin: Input,
        stdout: Output,
        name: str,
        *,
        size: int = 3,
        enter: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        shared = ends.keep(os.dup(stdin.fd)), ends.keep(os.dup(stdout.fd))
        before = flags(*shared)
        assert not before[0] & os.O_NONBLOCK
        stdin.feed(b"in\n")
        async with connected(net, stdin.fd, stdout.fd, enter=enter) as protocol:
            assert flags(*shared) == before, name
            await self._until(net, protocol, "dataReceived", name)
            data = b"out" if size == 3 else os.urandom(size)
            began = net.backend.time()
            protocol.verb("write", data)
            # No input is there, and nobody reads the output: the loop must not wait for either.
            await net.turns()
            assert net.backend.time() - began < LIMIT, f"the loop waited for a {name}"
            assert_same(await in_thread(net.backend, stdout.read, size), data, name)
            assert flags(*shared) == before, name
            protocol.verb("loseConnection")
            await net.lost(protocol)
            assert flags(*shared) == before, name

    async def _default_timeout(self, net: Net) -> None:
        before = socket.getdefaulttimeout()
        for both in (False, True):
            with Ends() as ends:
                if both:
                    stdin, stdout = one_for_both(ends, "socket")
                else:
                    stdin, stdout = input_socket(ends), output_socket(ends)
                socket.setdefaulttimeout(2 * LIMIT)
                try:
                    what = f"{'one socket' if both else 'two sockets'} and a default timeout"
                    await self._keeps_flags(net, ends, stdin, stdout, what, size=1 << 22)
                finally:
                    socket.setdefaulttimeout(before)

    async def _cannot_be_opened(self, net: Net, ends: Ends, name: str) -> None:
        stdin = INPUTS[name](ends)
        stdout = output_pipe(ends)
        with _for_nobody(stdin.fd, stdout.fd) as enter:
            await self._keeps_flags(
                net, ends, stdin, stdout, f"another user's {name}", size=1 << 22, enter=enter
            )
        with Ends() as more:
            # The end of its input and the loss of its reader come as events all the same.
            stdin = INPUTS[name](more)
            reader, stdout_fd = os.pipe()
            more.keep(reader)
            with _for_nobody(stdin.fd, stdout_fd) as enter:
                async with connected(net, stdin.fd, stdout_fd, enter=enter) as protocol:
                    more.close_one(reader)
                    await self._until(net, protocol, "writeConnectionLost", name)
                    stdin.end()
                    assert type(await net.lost(protocol)) is ConnectionDone, name
                    assert "readConnectionLost" in protocol.events, name

    async def _cannot_be_opened_by_anyone(self, net: Net) -> None:
        # The system opens no pipe anew that has lost its reader.
        with Ends() as ends:
            stdin = input_pipe(ends)
            reader, stdout = os.pipe()
            os.close(reader)
            shared = ends.keep(os.dup(stdout))
            before = flags(shared)
            async with connected(net, stdin.fd, stdout) as protocol:
                assert flags(shared) == before
                await self._until(net, protocol, "writeConnectionLost", "no reader from the start")
                stdin.feed(b"in")
                await net.until(protocol, "dataReceived")
                stdin.end()
                await net.lost(protocol)
        if sys.platform != "linux":
            return
        # Nor a locked terminal. Trying that breaks the terminal for good, so nothing is written.
        with Ends() as ends:
            master, slave = ends.terminal()
            fcntl.ioctl(master, _LOCK_TERMINAL, b"\1\0\0\0")
            shared = ends.keep(os.dup(slave))
            before = flags(shared)
            async with connected(net, slave, os.dup(slave)) as protocol:
                assert flags(shared) == before
                protocol.verb("loseConnection")
                await net.lost(protocol)
                assert flags(shared) == before

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
            # The offset is shared: the next program goes on where this one has stopped.
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

    @rule("PIP-07", schemes=("stdio", "memory"), needs=("descriptors",))
    async def test_pip_07_a_descriptor_that_is_not_ours(self, net: Net) -> None:
        """A standard descriptor that was closed at the start, or that this process has opened for
        something else since, is a ConnectError, and is not touched. (The event loop's own
        descriptor may be one: it gets the number that was free.) Nor is touched what was put at
        descriptor 1 while `stdio:` was open: only what we were given is replaced at our end.

        Where to look: descriptors that a process opens for itself are closed on exec; those that
        it was given, or has put there by dup2, are not. Look at 0 and 1 before opening anything,
        since that may get the number. Remember which file was there, and compare before putting
        /dev/null there at the end.
        """
        for standard in (STDIN, STDOUT):
            for what in ("nothing", *_TAKERS):
                await self._taken(net, standard, what)
        for verbs in (("loseWriteConnection", "abortConnection"), ("loseConnection",)):
            with Ends() as ends:
                stdin, theirs = input_pipe(ends), ends.file()
                async with connected(net, stdin.fd, output_pipe(ends).fd) as protocol:
                    os.dup2(theirs, STDOUT)
                    for verb in verbs:
                        protocol.verb(verb)
                        await net.turns()
                    await net.lost(protocol)
                    assert identity(STDOUT) == identity(theirs), verbs

    async def _taken(self, net: Net, standard: int, what: str) -> None:
        case = f"descriptor {standard} taken by {what}"
        with Ends() as ends:
            stdin, stdout = input_pipe(ends), output_pipe(ends)
            with standard_descriptors(stdin.fd, stdout.fd), ExitStack() as stack:
                os.close(standard)
                if what != "nothing":
                    stack.callback(_TAKERS[what](standard))
                    before = identity(standard), flags(standard)
                refused: ConnectError | None = None
                try:
                    await net.backend.connect("stdio:", Recorder)
                except ConnectError as error:
                    refused = error
                assert refused is not None, case
                assert "stdio:" in str(refused)
                if what != "nothing":
                    assert (identity(standard), flags(standard)) == before, case
                else:
                    assert "closed" in str(refused)
                    assert not is_open(standard), f"{case}: something else has the number now"

    @rule("PIP-08", schemes=("stdio", "memory"), needs=("descriptors",))
    async def test_pip_08_one_stream_socket(self, net: Net) -> None:
        """If descriptors 0 and 1 are one stream socket, as inetd gives it to a server, `stdio:` is
        a connection as any other, and has no next program. It drains and lingers (END-01). Abort is
        a reset where it is TCP (ERR-06), and an end of stream elsewhere. A reset is reported after
        the input (FLU-09). At the end 0 and 1 are /dev/null. Where 2 is the same socket, it is
        /dev/null from the start, since what is logged there would come to the peer.

        Where to look: use the channel of a socket on a duplicate, and ask each call not to block.
        A reset is sent only when the last descriptor of the socket is closed, so put /dev/null at
        0, 1 and 2 first.
        """
        for scheme in ("tcp", "unix"):
            for paused in (False, True):
                async with self._inetd(net, scheme) as (protocol, peer):
                    assert Pair(protocol, peer).can.drains
                    if paused:
                        protocol.verb("pauseProducing")
                    await self._replies_to_upload(net, protocol, peer, f"{scheme}, {paused}")
            async with self._inetd(net, scheme) as (protocol, peer):
                can_reset = Pair(protocol, peer).can.can_reset
                assert can_reset == (scheme == "tcp")
                os.write(_STDERR, b"a line of a log\n")
                protocol.verb("write", b"out")
                assert await peer.read_exactly(3) == b"out", "what was logged came to the peer"
                # Without a reset, another holder of the socket must not keep the peer waiting for
                # the end.
                other = None if can_reset else os.dup(STDIN)
                protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
                protocol.verb("abortConnection")
                assert type(await net.lost(protocol)) is ConnectionAborted
                assert all(is_null(standard) for standard in (STDIN, STDOUT, _STDERR))
                data, end = await peer.read_all()
                assert end == ("reset" if can_reset else "eof"), scheme
                assert len(data) < MORE_THAN_THE_KERNEL
                if other is not None:
                    os.close(other)
            async with self._inetd(net, scheme) as (protocol, peer):
                protocol.verb("pauseProducing")
                protocol.verb("write", b"unread")
                await peer.until_input()
                peer.send_now(b"in")
                peer.reset()
                protocol.verb("write", b"too late")
                protocol.verb("resumeProducing")
                assert type(await net.lost(protocol)) is ConnectionLost
                assert scheme == "tcp" or bytes(protocol.received) == b"in"

    @asynccontextmanager
    async def _inetd(self, net: Net, scheme: str) -> AsyncIterator[tuple[Recorder, RawPeer]]:
        """Connect ``stdio:`` while one connected socket is at 0, 1 and 2.

        :returns: the recorder on ``stdio:``, and the raw peer of the socket.
        """
        with (
            SocketListener(net.backend, scheme) as listener,
            dial(net.backend, listener.endpoint) as peer,
        ):
            accepted = await listener.accept()
            assert isinstance(accepted, SocketPeer)
            accepted.sock.setblocking(True)
            fd = accepted.sock.detach()
            stderr = os.dup(_STDERR)
            os.dup2(fd, _STDERR)
            try:
                async with connected(net, fd, os.dup(fd)) as protocol:
                    yield protocol, peer
            finally:
                os.dup2(stderr, _STDERR)
                os.close(stderr)

    async def _replies_to_upload(
        self, net: Net, protocol: Recorder, peer: RawPeer, case: str
    ) -> None:
        reply, upload = os.urandom(1 << 22), b"u" * (6 << 20)
        sent = await peer.send(upload[: 1 << 16])
        protocol.verb("write", reply)
        protocol.verb("loseConnection")
        sent += await peer.send(upload[1 << 16 :])
        received, end = await peer.read_all()
        assert end == "eof", f"{case}: {len(received)} bytes and then a {end}"
        assert_same(received, reply, case)
        assert sent == len(upload), f"{case}: {sent} bytes of the upload were taken"
        assert type(await net.lost(protocol)) is ConnectionDone
        assert is_null(STDIN)
        assert is_null(STDOUT)

    @rule("PIP-09", schemes=("stdio", "memory"), needs=("descriptors",))
    async def test_pip_09_open_the_other_way_only(self, net: Net) -> None:
        """Standard input that is open for writing only (nohup's) is no input, and not the end of
        one: nothing comes from it, and our half goes on. Only once our half has ended does
        readConnectionLost come, since nothing is left that could come. Standard output that is open
        for reading only is a ConnectError.

        Where to look: read(2) fails with EBADF, which means neither an end of stream nor a loss.
        Look at the access mode before reading, and log that there is no input.
        """
        for name in ("/dev/null", "pipe"):
            for verb in ("loseWriteConnection", "loseConnection"):
                with Ends() as ends:
                    await self._no_input(net, ends, name, verb)
        with Ends() as ends:
            stdin = input_pipe(ends)
            with standard_descriptors(stdin.fd, os.open(os.devnull, os.O_RDONLY)):
                refused = False
                try:
                    await net.backend.connect("stdio:", Recorder)
                except ConnectError as error:
                    refused = "reading only" in str(error)
                assert refused

    async def _no_input(self, net: Net, ends: Ends, name: str, verb: str) -> None:
        stdout = output_pipe(ends)
        if name == "pipe":
            read_end, stdin = os.pipe()
            ends.keep(read_end)
        else:
            stdin = os.open(os.devnull, os.O_WRONLY)
        async with connected(net, stdin, stdout.fd) as protocol:
            protocol.verb("write", b"out")
            assert await in_thread(net.backend, stdout.read, 3) == b"out"
            await net.quiet()
            assert protocol.events == ["connectionMade"], name
            protocol.verb("write", b"more")
            protocol.verb(verb)
            assert await in_thread(net.backend, stdout.read, 100) == b"more"
            assert type(await net.lost(protocol)) is ConnectionDone, name
            halves = ["writeConnectionLost", "readConnectionLost"]
            assert protocol.events[1:-1] == (halves if verb == "loseWriteConnection" else [])


_STDERR = 2

_LOCK_TERMINAL = 0x40045431
"""The ioctl TIOCSPTLCK of Linux, which locks a terminal so that nobody can open its slave end."""
