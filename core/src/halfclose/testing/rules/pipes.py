"""PIP: pipes, standard input and output, unix sockets, and how they end."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from ...io.standard import is_open
from ...lifecycle import State
from ...reasons import ConnectionAborted, ConnectionDone, ConnectionLost
from ..channels.pipes import STDOUT
from ..channels.threads import in_thread
from ..tools.descriptors import (
    Ends,
    connected,
    input_pipe,
    is_null,
    read_fully,
    what_is_left,
)
from ..tools.harness import MORE_THAN_THE_KERNEL, Net, rule
from ..tools.recorder import Recorder

__all__ = ["PipeRules"]


class PipeRules:
    """The rules PIP-01 to PIP-04."""

    @rule("PIP-01", schemes=("unix", "stdio", "memory"), needs=("descriptors",))
    async def test_pip_01_no_reset_on_unix_sockets_and_pipes(self, net: Net) -> None:
        """A unix socket keeps every rule that TCP keeps, except that `can_reset` is off there and
        on stdio, since the kernel has no reset for them. Abort discards what is pending and closes.
        A raw peer "resets" a unix socket by closing it with our bytes unread.

        Where to look: declare ``can_reset=False`` if the socket's family is AF_UNIX, and let
        ``abort`` close. Report an ECONNRESET of a unix socket like one of TCP.
        """
        pair = await net.recorded()
        assert not pair.can.can_reset
        pair.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
        pair.protocol.verb("abortConnection")
        assert type(await net.lost(pair.protocol)) is ConnectionAborted
        received = await pair.peer.read_to_eof()
        assert len(received) < MORE_THAN_THE_KERNEL
        if net.channel_type.scheme == "stdio":
            return

        for write_after in (False, True):
            broken = await net.recorded(connectionMade=lambda p: p.verb("write", b"unread"))
            await broken.peer.until_input()
            broken.peer.reset()
            if write_after:
                # This write fails with EPIPE, so that the cause is that or the reset.
                broken.protocol.verb("write", b"too late")
            reason = await net.lost(broken.protocol)
            assert type(reason) is ConnectionLost
            if broken.can.tells_cause:
                cause = reason.__cause__
                assert isinstance(cause, (ConnectionResetError, BrokenPipeError)), repr(cause)

    @rule("PIP-02", schemes=("stdio", "memory"), needs=("descriptors",))
    async def test_pip_02_our_end_of_stream(self, net: Net) -> None:
        """On stdio, the reader of our stdout sees the end of stream after loseWriteConnection. †
        (On Twisted it never does.) Descriptor 1 is replaced by /dev/null and never left free for
        reuse; if it is a socket, that is shut down for writing too. No end of stream is promised on
        a terminal, or where another descriptor holds the pipe.

        Where to look: if the channel writes to a duplicate of descriptor 1, closing that is not
        enough: descriptor 1 itself must be replaced, too. If it is a socket, standard input may
        hold the same one, so shut it down for writing.
        """
        pair = await net.recorded()
        pair.protocol.verb("write", b"out")
        pair.protocol.verb("loseWriteConnection")
        assert await pair.peer.read_to_eof() == b"out"
        await self._goes_on_reading(net, pair.protocol, pair.peer.send_now)
        pair.protocol.verb("loseConnection")
        await net.lost(pair.protocol)

        with Ends() as ends:
            # As inetd does it: one socket at both descriptors.
            theirs, ours = ends.sockets()
            async with connected(net, ours, os.dup(ours)) as protocol:
                protocol.verb("write", b"out")
                protocol.verb("loseWriteConnection")
                data = await in_thread(net.backend, read_fully, theirs.recv, 100)
                assert data == b"out"
                await self._goes_on_reading(net, protocol, theirs.sendall)

        with Ends() as ends:
            master, slave = ends.terminal()
            async with connected(net, slave, os.dup(slave)) as protocol:
                protocol.verb("loseWriteConnection")
                await self._goes_on_reading(net, protocol, lambda data: os.write(master, data))

        with Ends() as ends:
            stdin = input_pipe(ends)
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
        """On stdio, loseWriteConnection and then loseConnection lead to connectionLost. † (On
        Twisted it never comes.)

        Where to look: ``end_write`` releases the output, and another file may get its descriptor
        before ``close`` is called. So ``close`` must not release it again. The bytes of standard
        input belong to the next program (END-02), so that it must not be read after
        loseConnection: the channel declares ``drains=False``.
        """
        for wait in (False, True):
            pair = await net.recorded()
            pair.protocol.verb("write", b"out")
            pair.protocol.verb("loseWriteConnection")
            others: list[int] = []
            if wait:
                await net.until(pair.protocol, "writeConnectionLost")
                # Enough files to get the descriptor that was released, whichever are free below it.
                others += [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
            pair.protocol.verb("loseConnection")
            pair.peer.send_now(b"for the next program")
            try:
                reason = await net.lost(pair.protocol)
            finally:
                survivors = [fd for fd in others if is_open(fd)]
                for fd in survivors:
                    os.close(fd)
            assert survivors == others, "the output was released twice, and closed another's file"
            assert type(reason) is ConnectionDone
            assert await pair.peer.read_to_eof() == b"out"
            assert is_null(STDOUT)
            events = ["connectionMade", "writeConnectionLost", "connectionLost"]
            assert pair.protocol.events == [e for e in events if wait or e != events[1]]
            assert what_is_left() == b"for the next program"

        # The same without loseWriteConnection, while output is still to be sent.
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
        """If stdout is a pipe and its reader goes away, writeConnectionLost comes, at once also
        when we are idle, and reading goes on. Bytes that were pending count as dropped, and where
        there were any the final reason is ConnectionLost with BrokenPipeError as its cause. On TCP
        nothing that a peer does ever causes writeConnectionLost.

        Where to look: poll reports an error on a pipe's writing end when its reader goes away.
        Call ``reader_gone`` then, once. EPIPE of any other descriptor is a failed write.
        """
        if net.channel_type.scheme != "stdio":
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
                # TCP answers the first write with a reset, at which the second one fails.
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
        # Bytes that the kernel had taken and nobody read are not counted as dropped.
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
