"""END: closing without losing anything."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ...backend import Backend
from ...lifecycle import State
from ...options import ConnectionOptions
from ...reasons import (
    CloseTimeout,
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    HalfCloseTimeout,
)
from ...running import open_backend
from ..channels.peers import LIMIT
from ..tools.data import assert_same, pattern
from ..tools.harness import MORE_THAN_THE_KERNEL, Net, Pair, rule
from ..tools.producers import Idle, Push
from ..tools.programs import Program
from ..tools.reactions import Boom, raises, write_and_lose
from ..tools.recorder import PlainRecorder, Recorder
from ..tools.waiting import at_once, in_time, ticking

__all__ = ["ClosingRules"]


async def aborted(net: Net, pair: Pair[Any]) -> None:
    """Check that *pair* is not over yet, and abort it."""
    assert "connectionLost" not in pair.protocol.events, pair.protocol.reason
    pair.protocol.verb("abortConnection")
    await net.lost(pair.protocol)


class _Answers(Idle):
    """A pull producer of *data*, which writes a MiB each time it is asked."""

    def __init__(self, protocol: Recorder, data: bytes) -> None:
        super().__init__(protocol)
        self._data = memoryview(data)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        piece, self._data = self._data[: 1 << 20], self._data[1 << 20 :]
        if piece:
            self.protocol.verb("write", piece)
        else:
            self.protocol.verb("unregisterProducer")


class ClosingRules:
    """The rules END-03 to END-06."""

    @rule("END-03")
    async def test_end_03_leaving(self, net: Net) -> None:
        """A listener's aclose only stops accepting. Leaving a backend calls loseConnection on every
        connection, waits `grace` seconds (5 by default) for them and for the lingering ones, and
        aborts the rest. Where the body raised or was cancelled, it aborts at once. An exception of
        the body leaves `run` and `open_backend` bare, in no exception group.

        Where to look: ``Backend.__aexit__`` does all of this before it calls ``stop`` with the
        body's exception, so the loop must go on until then. If the framework wraps exceptions in
        groups, keep the body's exception away from it. If a channel releases its descriptor after
        ``close`` or ``abort`` has returned, it calls ``Backend.hold_channel`` in these, and
        ``release_channel`` afterwards, so that leaving waits for that. ``stop`` cancels the tasks
        of ``start_soon`` and waits for their end.
        """
        if net.channel_type.scheme != "stdio":
            await self._listener_closes(net)
        await self._leaves_gracefully(net)
        await self._leaves_after_grace(net)
        await self._body_raises(net)
        if net.host.brings_fatal:
            # Without that, a KeyboardInterrupt ends the loop itself; see ERR-05.
            await self._body_is_cancelled(net)
        await self._task_is_cancelled(net)

    async def _listener_closes(self, net: Net) -> None:
        made = Recorder()
        net.watch(made)
        async with net.channel_type.serve(
            net.backend, lambda: made, ConnectionOptions()
        ) as connect:
            peer = net.closing(await connect())
            await net.until(made, "connectionMade")
        with raises(ConnectError):
            await net.backend.connect(peer.other_address, Recorder)
        await net.turns()
        assert made.transport.state is State.OPEN
        peer.send_now(b"question")
        await net.until(made, "dataReceived")
        made.verb("write", b"answer")
        assert await peer.read_exactly(6) == b"answer"
        made.verb("loseConnection")
        await net.lost(made)

    async def _leaves_gracefully(self, net: Net) -> None:
        data = b"x" * MORE_THAN_THE_KERNEL
        made = Recorder(connectionMade=lambda p: p.verb("write", data))
        async with Program(net, made, grace=0.8 * LIMIT) as left:
            if not left.held:
                # A task of the program serves it, and leaving cancels the program's tasks.
                assert type(await left.over()) is ConnectionAborted
                return
            received, end = await left.peer.read_all()
            assert (len(received), end) == (len(data), "eof")
            if left.can.drains:
                # The peer has not ended its half: leaving waits for the lingering connection.
                await net.quiet()
                assert not left.is_over, f"it did not wait for a lingering one: {left.error!r}"
                left.peer.shutdown()
            assert type(await left.over()) is ConnectionDone
            assert left.error is None
            assert left.seconds < LIMIT / 2, "it waited for what was over"

    async def _leaves_after_grace(self, net: Net) -> None:
        data = b"x" * MORE_THAN_THE_KERNEL
        grace = 0.05
        stuck = Recorder(connectionMade=lambda p: p.verb("write", data))
        async with Program(net, stuck, grace=grace) as left:
            assert type(await left.over()) is ConnectionAborted
            assert left.error is None
            assert left.seconds < LIMIT / 2
            if left.held:
                assert left.seconds >= grace * 0.9
            await self._truncated(left)

        async def close(backend: Backend) -> None:
            lingers.verb("loseConnection")
            # connectionLost comes before the backend is left, so that only lingering remains.
            await Net(backend, net.channel_type).lost(lingers)

        lingers = Recorder()
        async with Program(net, lingers, close, grace=grace) as left:
            reason = await left.over()
            assert type(reason) is ConnectionDone or not left.held
            assert left.error is None
            assert left.seconds < LIMIT / 2

    async def _truncated(self, left: Program) -> None:
        """Check that the peer has received a part, and a reset if the transport can reset."""
        received, end = await left.peer.read_all()
        assert len(received) < MORE_THAN_THE_KERNEL
        if left.can.can_reset:
            assert end == "reset"

    async def _body_raises(self, net: Net) -> None:
        data = b"x" * MORE_THAN_THE_KERNEL
        boom = Boom()

        async def body(backend: Backend) -> None:
            raise boom

        stuck = Recorder(connectionMade=lambda p: p.verb("write", data))
        async with Program(net, stuck, body) as left:
            assert type(await left.over()) is ConnectionAborted
            assert left.error is boom, f"run raised {left.error!r}"
            assert left.seconds < LIMIT / 2, "it waited"
            await self._truncated(left)

        # The same by `open_backend`, inside a loop that goes on.
        stuck = Recorder(connectionMade=lambda p: p.verb("write", data))
        raised: BaseException | None = None
        begun = net.backend.time()
        try:
            async with open_backend(net.backend.name) as backend:
                inner = Net(backend, net.channel_type.polled)
                try:
                    await inner.pair(stuck)
                    raise boom
                finally:
                    await inner.close()
        except BaseException as error:
            raised = error
        assert raised is boom, f"open_backend raised {raised!r}"
        assert net.backend.time() - begun < LIMIT / 2, "it waited"
        assert type(stuck.reason) is ConnectionAborted
        net.watch(stuck)

    async def _body_is_cancelled(self, net: Net) -> None:
        data = b"x" * MORE_THAN_THE_KERNEL
        seen: list[BaseException] = []

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        async def body(backend: Backend) -> None:
            # A KeyboardInterrupt that an event raises cancels the body (ERR-05).
            inner = Net(backend, net.channel_type.polled)
            try:
                pair = await inner.recorded(dataReceived=interrupt)
                pair.peer.send_now(b"!")
                await backend.create_event().wait()
            except BaseException as error:
                seen.append(error)
                raise
            finally:
                await inner.close()

        stuck = Recorder(connectionMade=lambda p: p.verb("write", data))
        async with Program(net, stuck, body) as left:
            assert type(await left.over()) is ConnectionAborted
            assert type(left.error) is KeyboardInterrupt, f"run raised {left.error!r}"
            assert left.seconds < LIMIT / 2, "it waited"
            assert len(seen) == 1
            await self._truncated(left)

    async def _task_is_cancelled(self, net: Net) -> None:
        """Check a task that is cancelled inside ``open_backend``, in a loop that goes on."""
        data = b"x" * MORE_THAN_THE_KERNEL
        cancelled = Recorder(connectionMade=lambda p: p.verb("write", data))

        async def task(up: Any) -> None:
            async with open_backend(net.backend.name) as backend:
                inner = Net(backend, net.channel_type.polled)
                try:
                    await inner.pair(cancelled)
                    up.set()
                    await backend.create_event().wait()
                finally:
                    await inner.close()

        async def leave(backend: Backend) -> None:
            up = backend.create_event()
            backend.start_soon(task, up)
            await up.wait()

        idle = Recorder(connectionMade=lambda p: p.verb("loseConnection"))
        async with Program(net, idle, leave, grace=0.05) as left:
            await left.over()
            assert left.error is None
            assert left.seconds < LIMIT / 2, "it waited"
            assert type(cancelled.reason) is ConnectionAborted
        net.watch(cancelled)

    @rule("END-04")
    async def test_end_04_close_timeout(self, net: Net) -> None:
        """With `close_timeout`, a connection that makes no progress for so many seconds after
        loseConnection, the wait for a producer included, is aborted with
        connectionLost(CloseTimeout), which is a ConnectionLost. It is off by default.
        (twisted#8902)

        Where to look: the connection keeps the time. It sees progress if the channel's ``write``
        takes bytes, or ``unsent`` returns less than before. Without ``unsent`` it would abort
        while a peer reads a big socket buffer, which takes no bytes until much of it is free.
        """
        data = b"x" * MORE_THAN_THE_KERNEL

        async def stuck(net: Net, timeout: float) -> None:
            begun = net.backend.time()
            made = Recorder(connectionMade=write_and_lose(data))
            pair = await net.pair(made, close_timeout=timeout)
            reason = await net.lost(made)
            assert type(reason) is CloseTimeout
            assert isinstance(reason, ConnectionLost)
            assert net.backend.time() - begun >= timeout * 0.9
            received, end = await pair.peer.read_all()
            assert len(received) < len(data)
            assert end == "reset" or not pair.can.can_reset

        async def waits_for_a_producer(net: Net, timeout: float) -> None:
            begun = net.backend.time()
            made = Recorder(
                connectionMade=lambda p: (
                    p.verb("registerProducer", producer, True),
                    p.verb("loseConnection"),
                )
            )
            producer = Idle(made)
            await net.pair(made, close_timeout=timeout)
            assert type(await net.lost(made)) is CloseTimeout
            assert net.backend.time() - begun >= timeout * 0.9
            assert producer.names == ["stopProducing"]

        async def producer_writes(net: Net, timeout: float) -> None:
            pair = await net.pair(Recorder(), close_timeout=timeout)
            pair.protocol.verb("registerProducer", Idle(pair.protocol), True)
            pair.protocol.verb("loseConnection")

            async def write() -> None:
                pair.protocol.verb("write", b"p")

            await ticking(net, 1.6 * timeout, timeout, write)
            with in_time(net, timeout):
                pair.protocol.verb("unregisterProducer")
                received = await pair.peer.read_to_eof()
                assert set(received) == {ord("p")}
                assert type(await net.lost(pair.protocol)) is ConnectionDone

        async def slow(net: Net, timeout: float) -> None:
            pair = await net.pair(Recorder(), close_timeout=timeout)
            write_and_lose(data)(pair.protocol)
            size = 0

            async def read() -> None:
                nonlocal size
                size += len(await pair.peer.read_exactly(1 << 17))

            with suppress(ConnectionResetError):
                await ticking(net, 2 * timeout, timeout, read)
            assert "connectionLost" not in pair.protocol.events, (
                f"{pair.protocol.reason!r} although the peer reads, {size} bytes so far"
            )
            with in_time(net, timeout):
                received, end = await pair.peer.read_all()
                assert (size + len(received), end) == (len(data), "eof")
                assert type(await net.lost(pair.protocol)) is ConnectionDone

        async def only_sends(net: Net, timeout: float) -> None:
            pair = await net.pair(
                Recorder(connectionMade=write_and_lose(data)), close_timeout=timeout
            )
            begun = net.backend.time()
            with suppress(ConnectionError):
                while "connectionLost" not in pair.protocol.events:
                    late = net.backend.time() - begun > LIMIT
                    assert not late, "what the peer sends was taken for progress"
                    pair.peer.send_some(b"u")
                    await net.backend.sleep(timeout / 6)
            assert type(await net.lost(pair.protocol)) is CloseTimeout

        async def off(net: Net, timeout: float) -> None:
            pair = await net.recorded(connectionMade=write_and_lose(data))
            await net.backend.sleep(1.3 * timeout)
            await aborted(net, pair)

        await at_once(net, stuck, waits_for_a_producer, producer_writes, slow, only_sends, off)

    @rule("END-05", needs=("can_half_close",))
    async def test_end_05_half_close_timeout(self, net: Net) -> None:
        """`half_close_timeout` is armed only once one half has ended. Any byte resets it, and it
        never ends a connection that is open both ways. When it runs out,
        connectionLost(HalfCloseTimeout) comes, which is a ConnectionLost. It is off by default.
        (outline-sdk#633)

        Where to look: the connection keeps the time. Bytes that the channel gives to ``received``
        count, and bytes that its ``write`` takes, and a smaller ``unsent``, as for
        `close_timeout`.
        """

        async def our_half(net: Net, timeout: float) -> None:
            pair = await net.pair(Recorder(), half_close_timeout=timeout)
            await net.backend.sleep(1.3 * timeout)
            assert pair.protocol.events == ["connectionMade"], "it was open both ways"
            begun = net.backend.time()
            pair.protocol.verb("loseWriteConnection")
            await net.until(pair.protocol, "writeConnectionLost")

            async def send() -> None:
                pair.peer.send_now(b"x")

            await ticking(net, 1.6 * timeout, timeout, send, begun)
            assert "connectionLost" not in pair.protocol.events, "input did not reset it"
            await self._reaped(net, pair, "writeConnectionLost")

        async def peers_half(net: Net, timeout: float) -> None:
            pair = await net.pair(Recorder(), half_close_timeout=timeout)
            begun = net.backend.time()
            pair.peer.shutdown()
            await net.until(pair.protocol, "readConnectionLost")

            async def write() -> None:
                pair.protocol.verb("write", b"x")

            await ticking(net, 1.6 * timeout, timeout, write, begun)
            assert "connectionLost" not in pair.protocol.events, "output did not reset it"
            # With a peer that reads slowly, the kernel takes bytes long before it sends them.
            pair.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)

            async def read() -> None:
                await pair.peer.read_exactly(40 << 10)

            # The kernel sends more only after several steps. So they are small, and a pause that
            # would be short enough for one of them already counts as late.
            with suppress(ConnectionResetError):
                await ticking(net, 1.6 * timeout, 0.3 * timeout, read)
            assert "connectionLost" not in pair.protocol.events, "slow output did not reset it"
            await self._reaped(net, pair, "readConnectionLost")

        async def not_yet_ended(net: Net, timeout: float) -> None:
            pair = await net.pair(Recorder(), half_close_timeout=timeout)
            pair.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
            pair.protocol.verb("loseWriteConnection")
            await net.backend.sleep(1.3 * timeout)
            assert pair.protocol.events == ["connectionMade"], "our half had not ended"
            await aborted(net, pair)

        async def plain(net: Net, timeout: float) -> None:
            pair = await net.pair(PlainRecorder(), half_close_timeout=timeout)
            begun = net.backend.time()
            pair.protocol.verb("loseWriteConnection")
            assert type(await net.lost(pair.protocol)) is HalfCloseTimeout
            assert net.backend.time() - begun >= timeout * 0.9

        async def off(net: Net, timeout: float) -> None:
            pair = await net.recorded()
            pair.peer.shutdown()
            await net.until(pair.protocol, "readConnectionLost")
            await net.backend.sleep(1.3 * timeout)
            await aborted(net, pair)

        await at_once(net, our_half, peers_half, not_yet_ended, plain, off)

    @rule("END-06")
    async def test_end_06_producers_at_leaving(self, net: Net) -> None:
        """Leaving a backend tells stopProducing to a streaming producer that is not paused, once,
        in the next turn, and counts it as unregistered: it could write and does not, and nothing
        else would tell it that the end is wanted. A paused one is resumed first, and is told a turn
        after that, unless it is paused again or has unregistered. A pull producer is asked until it
        is done. A producer that is told and has more to send calls abortConnection; otherwise what
        it has sent looks complete.

        Where to look: the connection calls the producer, by ``call_soon``, while the backend
        waits for the connection. The loop must go on meanwhile.
        """
        producer: Idle

        def begin(protocol: Recorder) -> None:
            nonlocal producer
            producer = Idle(protocol)
            protocol.verb("registerProducer", producer, True)
            protocol.verb("write", b"before it was told")

        async with Program(net, Recorder(connectionMade=begin)) as left:
            data, end = await left.peer.read_all()
            left.peer.close()
            reason = await left.over()
            assert left.error is None
            assert left.seconds < LIMIT / 2, "it waited for a producer that was not told"
            assert producer.names == ["stopProducing"]
            if not left.held:
                # A task of the program serves it, and leaving cancels the program's tasks.
                assert type(reason) is ConnectionAborted
                return
            assert (data, end) == (b"before it was told", "eof")
            assert type(reason) is ConnectionDone

        def begin_paused(protocol: Recorder) -> None:
            nonlocal producer
            producer = Idle(protocol)
            protocol.verb("registerProducer", producer, True)
            protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)

        async with Program(net, Recorder(connectionMade=begin_paused)) as left:
            assert len(await left.peer.read_to_eof()) == MORE_THAN_THE_KERNEL
            left.peer.close()
            assert type(await left.over()) is ConnectionDone
            assert producer.names == ["pauseProducing", "resumeProducing", "stopProducing"]

        # Producers that still have much to send lose nothing.
        data = pattern(MORE_THAN_THE_KERNEL)

        def push(protocol: Recorder) -> None:
            pushing = Push(protocol, data)
            pushing.register()
            pushing.produce()

        def pull(protocol: Recorder) -> None:
            protocol.verb("registerProducer", _Answers(protocol, data), False)

        for begin_to_send in (push, pull):
            async with Program(net, Recorder(connectionMade=begin_to_send)) as left:
                assert_same(await left.peer.read_to_eof(), data)
                left.peer.close()
                assert type(await left.over()) is ConnectionDone

    async def _reaped(self, net: Net, pair: Pair[Recorder], half: str) -> None:
        reason = await net.lost(pair.protocol)
        assert type(reason) is HalfCloseTimeout
        assert isinstance(reason, ConnectionLost)
        events = [event for event in pair.protocol.events if event != "dataReceived"]
        assert events == ["connectionMade", half, "connectionLost"]
