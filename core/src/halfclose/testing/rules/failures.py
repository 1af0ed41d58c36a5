"""ERR: failures, and that they reach their own connection only."""

from __future__ import annotations

import errno
import logging
import os
import threading
from contextlib import suppress
from itertools import count
from typing import Any

from ...backend import Backend
from ...channel import Capabilities
from ...reasons import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)
from ..channels.channel_types import ChannelType
from ..channels.peers import RawPeer
from ..channels.threads import join_threads
from ..hosts import Host
from ..tools.failing import (
    Named,
    Stray,
    check_abort_seen,
    check_cause,
    check_logged_once,
    check_reset,
    check_works,
    neighbour,
    trigger,
)
from ..tools.fakes import FakeChannel, FaultyHandler
from ..tools.faults import ENDINGS, Faults, converse
from ..tools.harness import MORE_THAN_THE_KERNEL, Net, Pair, rule
from ..tools.logs import logged
from ..tools.producers import Idle
from ..tools.reactions import Boom, lose_write, raising
from ..tools.recorder import Recorder
from ..tools.waiting import eventually
from .verbs import reset_by_peer

__all__ = ["FailureRules"]


class FailureRules:
    """The rules ERR-01 to ERR-04, ERR-06, ERR-07, ERR-12 and ERR-13."""

    @rule("ERR-01", needs=("can_half_close",))
    async def test_err_01_reasons(self, net: Net) -> None:
        """Reasons are exception instances, the same on every backend: `ConnectionDone` for the
        peer's end of stream or our own close; `ConnectionLost` for a reset, EPIPE or ETIMEDOUT,
        with the OSError as its `__cause__` (capability `tells_cause`; † Twisted discards it);
        `ConnectionAborted` for abortConnection.

        Where to look: ``ChannelHandler.failed`` and ``write_failed`` want the OSError itself, not
        the framework's exception around it. If the framework does not give the OSError, the
        channel passes None and declares ``tells_cause`` off.
        """
        done = await net.recorded(readConnectionLost=lose_write)
        done.peer.shutdown()
        assert type(await net.lost(done.protocol)) is ConnectionDone

        for verb, kind_of_reason in (
            ("loseConnection", ConnectionDone),
            ("abortConnection", ConnectionAborted),
        ):
            pair = await net.recorded()
            pair.protocol.verb(verb)
            assert type(await net.lost(pair.protocol)) is kind_of_reason

        told = []
        if net.channel_type.scheme != "stdio":
            was_reset = await net.recorded()
            await reset_by_peer(was_reset)
            reason = await net.lost(was_reset.protocol)
            assert type(reason) is ConnectionLost
            told.append(check_cause(was_reset.can, reason, errno.ECONNRESET))

        # EPIPE: nobody will ever read what we write.
        broken = await net.recorded()
        if net.channel_type.scheme == "stdio":
            broken.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
            broken.peer.stop_reading()
            await net.until(broken.protocol, "writeConnectionLost")
            broken.peer.shutdown()
        else:
            broken.peer.close()

            def write_again() -> bool:
                # TCP answers the first write with a reset, and only a later write can fail.
                broken.protocol.verb("write", b"x")
                return "connectionLost" in broken.protocol.events

            await eventually(net, write_again)
        reason = await net.lost(broken.protocol)
        assert type(reason) is ConnectionLost
        told.append(check_cause(broken.can, reason, errno.EPIPE, errno.ECONNRESET))
        # A capability may be declared off if it fails in one case.
        works = all(told) and not broken.can.tells_cause
        assert not works, "tells_cause is declared off, and works"

        # ETIMEDOUT by a fake channel: no test can wait until the kernel gives a peer up.
        channel = FakeChannel(Capabilities())
        protocol = Recorder()
        channel.attach(net, protocol)
        error = TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        channel.handler.failed(error)
        reason = await net.lost(protocol)
        assert type(reason) is ConnectionLost
        assert reason.__cause__ is error

    @rule("ERR-02", needs=("can_half_close",))
    async def test_err_02_an_event_raises(self, net: Net) -> None:
        """If dataReceived, readConnectionLost or writeConnectionLost raises, the exception is
        logged once, with the protocol's logPrefix and the traceback, the connection is aborted, and
        connectionLost gets that exception.

        Where to look: ``Channel.abort`` must work inside a call of the handler, too. When that
        call returns, the channel must not go on with what it was doing.
        """
        for event in ("dataReceived", "readConnectionLost", "writeConnectionLost"):
            error = Boom(event)
            with logged() as records:
                pair = await net.pair(Named(**{event: raising(error)}))
                await trigger(net, pair, event)
                assert await net.lost(pair.protocol) is error
                await net.turns()
            check_logged_once(error, records)
            assert pair.protocol.events == ["connectionMade", event, "connectionLost"]
            if event == "writeConnectionLost":
                # Our end of stream was sent before the abort, so the peer may see that first.
                assert (await pair.peer.read_all())[0] == b""
            else:
                await check_abort_seen(pair.can, pair.peer)

        # Bytes that are pending are discarded by the abort.
        error = Boom("with bytes pending")
        with logged() as records:
            pair = await net.pair(Named(dataReceived=raising(error)))
            pair.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
            pair.peer.send_now(b"x")
            assert await net.lost(pair.protocol) is error
        check_logged_once(error, records)
        received, end = await pair.peer.read_all()
        assert len(received) < MORE_THAN_THE_KERNEL
        check_reset(pair.can, end)

        # The same in the last event, after which no half is left to abort.
        error = Boom("the last event")
        with logged() as records:
            last = Named(connectionMade=lose_write, readConnectionLost=raising(error))
            pair = await net.pair(last)
            await net.until(last, "writeConnectionLost")
            pair.peer.shutdown()
            assert await net.lost(last) is error
        check_logged_once(error, records)
        assert last.events[1:] == ["writeConnectionLost", "readConnectionLost", "connectionLost"]

    @rule("ERR-03")
    async def test_err_03_connection_made_raises(self, net: Net) -> None:
        """If connectionMade raises, the same happens as in ERR-02. † ‡ (There the connection stays
        open, and on uvloop it is never read.)

        Where to look: ``Connection.attach`` returns the exception. ``Channel.abort`` must work as
        soon as ``start`` was called, before the first read.
        """
        error = Boom("connectionMade")

        def write_and_raise(protocol: Named) -> None:
            protocol.verb("write", b"never seen")
            raise error

        for reaction in (raising(error), write_and_raise):
            protocol = Named(connectionMade=reaction)
            holder = [protocol]
            connect = await net.serve(holder.pop)
            peer: RawPeer | None = None
            with logged() as records:
                # If our side connects, as it does to stdio, connect raises it (ERR-11).
                with suppress(Boom):
                    peer = net.closing(await connect())
                assert await net.lost(protocol) is error
                await net.turns()
            check_logged_once(error, records)
            assert protocol.events == ["connectionMade", "connectionLost"]
            if peer is not None:
                _, end = await peer.read_all()
                check_reset(Pair(protocol, peer).can, end)

    @rule("ERR-04", needs=("can_half_close",))
    async def test_err_04_connection_lost_raises(self, net: Net) -> None:
        """If connectionLost raises, the exception is logged, and it reaches no verb's caller and no
        other connection. †

        Where to look: ``Connection`` does this. It has released the channel before it calls
        ``connectionLost``.
        """
        async with neighbour(net) as other:
            for verb in ("abortConnection", "loseConnection", None):
                for kind_of_error in (Boom, Stray):
                    error = kind_of_error(verb)
                    with logged() as records:
                        pair = await net.pair(
                            Named(connectionLost=raising(error), readConnectionLost=lose_write)
                        )
                        if verb is None:
                            pair.peer.shutdown()
                        else:
                            pair.protocol.verb(verb)
                        reason = await net.lost(pair.protocol)
                        assert reason is not error
                        assert await pair.transport.whenClosed() is reason
                    check_logged_once(error, records)
                    assert pair.protocol.events.count("connectionLost") == 1
                    await check_works(net, other)

    @rule("ERR-06", needs=("can_half_close",))
    async def test_err_06_abort(self, net: Net) -> None:
        """After abortConnection the peer sees a reset (capability `can_reset`), and pending bytes
        are discarded. ‡

        Where to look: ``Channel.abort`` sets SO_LINGER to zero seconds and then closes, whatever
        the framework's own transport still holds. If the channel cannot reset, it throws away
        what is pending and closes.
        """
        idle = await net.recorded()
        idle.protocol.verb("abortConnection")
        assert type(await net.lost(idle.protocol)) is ConnectionAborted
        received, end = await idle.peer.read_all()
        assert received == b""
        self._check_abort(idle.can, end, "idle")

        for ended in (None, "loseWriteConnection", "loseConnection"):
            pair = await net.recorded()
            pair.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
            if ended is not None:
                pair.protocol.verb(ended)
            await net.turns()
            pair.protocol.verb("abortConnection")
            assert type(await net.lost(pair.protocol)) is ConnectionAborted
            assert pair.protocol.events == ["connectionMade", "connectionLost"]
            assert pair.transport.getHandle() is None
            received, end = await pair.peer.read_all()
            assert len(received) < MORE_THAN_THE_KERNEL, ended
            self._check_abort(pair.can, end, f"after {ended}")

    def _check_abort(self, can: Capabilities, end: str, case: str) -> None:
        check_reset(can, end, case)
        if not can.can_reset:
            assert end == "eof", f"can_reset is declared off, and works: {case}"

    @rule("ERR-07", schemes=("tcp", "unix", "memory"), needs=("can_half_close",))
    async def test_err_07_reset_while_our_end_is_pending(self, net: Net) -> None:
        """A reset while a loseWriteConnection is pending leads to connectionLost(ConnectionLost),
        and to no writeConnectionLost.

        Where to look: a channel must not call ``writable`` or ``write_ended`` after a reset. If a
        send fails, report the error; do not take it for the end of sending.
        """

        for waits_for in ("bytes", "bytes and a paused reader", "a producer"):
            pair = await net.recorded()
            if waits_for == "a producer":
                pair.protocol.verb("write", b"x")
                pair.protocol.verb("registerProducer", Idle(pair.protocol), True)
            else:
                pair.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
            if "paused" in waits_for:
                pair.protocol.verb("pauseProducing")
            pair.protocol.verb("loseWriteConnection")
            await net.quiet()
            assert pair.protocol.events == ["connectionMade"], waits_for
            pair.peer.reset()
            reason = await net.lost(pair.protocol)
            await net.turns()
            assert type(reason) is ConnectionLost, waits_for
            check_cause(pair.can, reason, errno.ECONNRESET, errno.EPIPE)
            assert pair.protocol.events == ["connectionMade", "connectionLost"], waits_for

    @rule("ERR-12")
    async def test_err_12_an_error_in_one_channel(self, net: Net) -> None:
        """An error in one connection's channel never stops the poller, the listener or another
        connection.

        Where to look: whatever calls a channel (a poller, a task or the framework) must have an
        ``except`` around that one call, and end that channel by ``failed``.
        """
        async with neighbour(net) as other:
            for call in ("received", "read_ended", "writable"):
                pair = await net.recorded()
                error = Boom(call)
                # A handler that raises looks to the channel's caller like a fault of the channel.
                pair.transport.channel.start(FaultyHandler(pair.transport, call, error))
                with logged() as records:
                    if call == "received":
                        pair.peer.send_now(b"x")
                    elif call == "read_ended":
                        pair.peer.shutdown()
                    else:
                        pair.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
                        reading = net.backend.create_event()

                        async def read(pair: Pair[Recorder] = pair, done: Any = reading) -> None:
                            await pair.peer.read_all()
                            done.set()

                        net.backend.start_soon(read)
                    reason = await net.lost(pair.protocol)
                    if call == "writable":
                        await net.wait(reading, "the end of the raw peer's reading")
                assert isinstance(reason, ConnectionLost), call
                assert pair.protocol.events == ["connectionMade", "connectionLost"], call
                for record in records:
                    assert record.levelno <= logging.ERROR
                await check_works(net, other)
            again = await net.recorded()
            await check_works(net, again)

    @rule("ERR-13")
    def test_err_13_whatever_raises(self: Any, channel_type: ChannelType, host: Host) -> None:
        """Whatever a channel or the loop raises, at whichever call, and wherever ^C comes:
        connectionLost still comes, once and last, and the next connection works. No verb raises
        anything but KeyboardInterrupt or SystemExit, which end the run bare.

        Where to look: when a call fails that never should, the connection calls ``abort`` of its
        channel, and ``close`` if that fails. So each must release the descriptor by itself,
        whatever was begun before. The loop must go on after a call that raised.
        """

        async def every_call(opened: Backend) -> None:
            for ending in ENDINGS:
                for after in (False, True):
                    for number in count():
                        net = Net(opened, channel_type, host)
                        faults = Faults(number, Boom("injected"), after=after)
                        try:
                            await converse(net, ending, faults)
                        finally:
                            await net.close()
                        net.check_order()
                        if faults.raised is None:
                            break

        with logged():
            host.run(every_call, self.backend, channel_type.options)
            if not host.brings_fatal:
                # A loop that does not raise what ends the program is stopped at once, and main
                # never gets to its end.
                return
            for ending in ENDINGS:
                for number in count():
                    faults = Faults(number, KeyboardInterrupt(), after=False)
                    _check_interrupted(host, self.backend, channel_type, ending, faults)
                    if faults.raised is None:
                        break


def _check_interrupted(
    host: Host, backend: str, channel_type: ChannelType, ending: str, faults: Faults
) -> None:
    """Check what happens if ^C comes at one call of a conversation."""
    nets: list[Net] = []

    async def main(opened: Backend) -> None:
        nets.append(Net(opened, channel_type, host))
        try:
            await converse(nets[0], ending, faults)
        finally:
            await nets[0].close()
        # The call that is interrupted may come after the end of the conversation.
        await nets[0].turns()

    raised: BaseException | None = None
    threads = threading.enumerate()
    try:
        host.run(main, backend, channel_type.options)
    except BaseException as error:
        raised = error
    join_threads(threads)
    where = f"{faults.raised} was interrupted, in a conversation that was to end by {ending}"
    if faults.raised is not None:
        assert isinstance(raised, KeyboardInterrupt), f"{where}: run raised {raised!r}"
    elif raised is not None:
        raise raised
    nets[0].check_order()
    for protocol in nets[0].protocols:
        lost = protocol.events.count("connectionLost")
        assert lost == (1 if protocol.events else 0), f"{where}: {protocol!r}"
