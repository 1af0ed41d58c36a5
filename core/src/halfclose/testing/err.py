"""ERR: failures, whose they are, and whom they must not reach."""

from __future__ import annotations

import errno
import functools
import logging
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from itertools import count
from typing import Any, NoReturn

from ..backend import Backend
from ..channel import Capabilities
from ..endpoints import TCP, Endpoint
from ..interfaces import Protocol
from ..loop import Address
from ..options import ConnectionOptions
from ..reasons import (
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefused,
    ConnectTimeout,
    DNSLookupFailed,
    ListenError,
)
from ..running import open_backend
from .fakes import FakeChannel, FaultySink
from .faults import ENDINGS, Faults, converse
from .forks import Children, check_foreign
from .harness import MORE_THAN_THE_KERNEL, Net, Pair, rule
from .hosts import Host
from .kinds import Kind
from .logs import errors_in, logged, showing
from .loops import (
    check_failures,
    check_fatal,
    check_fatal_told,
    check_interruption,
    check_names,
    check_program,
    check_threads,
    check_watches,
    raised_by,
)
from .peers import LIMIT, RawListener, RawPeer
from .producers import Idle
from .reactions import Boom, abort, lose, lose_write, raises, raising
from .recorder import EVENTS, Recorder
from .shortage import no_more_descriptors
from .sockets import dial, shut_down_listener, temporary_unix_path
from .threads import join_threads
from .vrb import reset_by_peer
from .waiting import eventually, idle

__all__ = ["FailureRules"]

PREFIX = "a protocol of the contract suite"


class StrayCancellation(BaseException):
    """Like the cancellation of an event loop: no Exception, and no end of the program either."""


class Stray(BaseException):
    """A BaseException that means nothing to anybody."""


class Named(Recorder):
    """A recorder with a name of its own in the log."""

    def logPrefix(self) -> str:
        return PREFIX


def check_logged_once(error: BaseException, records: list[logging.LogRecord]) -> None:
    """*error* was logged once, with the protocol's prefix, and nothing else was."""
    shown = showing(error, records)
    assert len(shown) == 1, [record.getMessage() for record in records]
    assert PREFIX in shown[0].getMessage()
    assert len(errors_in(records)) == 1, errors_in(records)


def check_cause(can: Capabilities, reason: BaseException, *codes: int) -> bool:
    """The system's error is the cause of *reason*, where the channel can tell.

    :returns: whether it is.
    """
    cause = reason.__cause__
    told = isinstance(cause, OSError) and cause.errno in codes
    if can.tells_cause:
        wanted = " or ".join(errno.errorcode[code] for code in codes)
        assert told, f"{reason!r} has the cause {cause!r}, and no {wanted}"
    else:
        assert cause is None or isinstance(cause, OSError)
    return told


def check_reset(can: Capabilities, end: str, case: str = "") -> None:
    """The raw peer saw a reset, where there is one."""
    if can.can_reset:
        assert end == "reset", f"{case}: no reset, but a clean end of stream"


async def check_abort_seen(can: Capabilities, peer: RawPeer) -> None:
    """The raw peer sees a reset, where there is one, and nothing before it."""
    received, end = await peer.read_all()
    assert received == b""
    check_reset(can, end)


async def trigger(net: Net, pair: Pair[Named], event: str) -> None:
    """Make *event* happen; the connection was made already."""
    if event == "dataReceived":
        # More input and an end of stream wait behind it, which are never to be delivered.
        pair.peer.send_now(b"x")
        if net.kind.scheme != "stdio":
            pair.peer.shutdown()
    elif event == "readConnectionLost":
        pair.peer.shutdown()
    elif event == "writeConnectionLost":
        pair.protocol.verb("loseWriteConnection")


@asynccontextmanager
async def neighbour(net: Net) -> AsyncIterator[Pair[Recorder]]:
    """Another connection of the same backend; over TCP where there can be only one of a kind."""
    other = Net(net.backend, net.kind.beside)
    try:
        yield await other.recorded()
    finally:
        await other.close()
    other.check_order()


async def check_works(net: Net, pair: Pair[Recorder]) -> None:
    """*pair* is open both ways."""
    before = len(pair.protocol.received)
    pair.peer.send_now(b"ping")
    await net.until(pair.protocol, lambda: len(pair.protocol.received) == before + 4)
    pair.protocol.verb("write", b"pong")
    assert await pair.peer.read_exactly(4) == b"pong"


@contextmanager
def resolving(backend: Backend, addresses: list[Address] | None) -> Iterator[None]:
    """Every name has these *addresses*; with None, the lookup takes for ever."""

    async def resolve(host: str, port: int) -> list[Address]:
        if addresses is None:
            await backend.sleep(LIMIT)
            raise socket.gaierror(socket.EAI_AGAIN, "the lookup was to be given up")
        return [(family, (address[0], port)) for family, address in addresses]

    setattr(backend, "resolve", resolve)  # noqa: B010 - an instance's method, for this test
    try:
        yield
    finally:
        delattr(backend, "resolve")


def no_protocol() -> Protocol:
    """A factory that nobody may call."""
    raise AssertionError("the factory was called")


async def refusal(net: Net, endpoint: str | Endpoint, timeout: float = 2 * LIMIT) -> ConnectError:
    """The failure to connect to *endpoint*, which it names.

    A resolver that has lost a packet asks again after five seconds.
    """
    done = net.backend.create_event()
    caught: list[Exception] = []

    async def connect() -> None:
        try:
            await net.backend.connect(endpoint, no_protocol, timeout=timeout)
        except Exception as error:
            caught.append(error)
        done.set()

    net.backend.start_soon(connect)
    await net.wait(done, f"the failure to connect to {endpoint}")
    assert len(caught) == 1, f"{endpoint} was connected to"
    error = caught[0]
    assert isinstance(error, ConnectError), repr(error)
    assert str(endpoint) in str(error)
    return error


class FailureRules:
    """The rules ERR-01 to ERR-18."""

    @rule("ERR-01", needs=("can_half_close",))
    async def test_err_01_reasons(self, net: Net) -> None:
        """Reasons are exception instances, the same on every backend: the peer's FIN or our own
        close `ConnectionDone`; RST, EPIPE, ETIMEDOUT `ConnectionLost` with the OSError as
        `__cause__` (capability `tells_cause`; † Twisted discards it); abortConnection
        `ConnectionAborted`.

        Where to look: ``ChannelSink.failed`` and ``write_failed`` want the OSError itself, not
        the framework's exception around it. A channel whose framework keeps it for itself
        declares ``tells_cause`` off, and gives None.
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
        if net.kind.scheme != "stdio":
            was_reset = await net.recorded()
            await reset_by_peer(was_reset)
            reason = await net.lost(was_reset.protocol)
            assert type(reason) is ConnectionLost
            told.append(check_cause(was_reset.can, reason, errno.ECONNRESET))

        # EPIPE: nobody will ever read what we write.
        broken = await net.recorded()
        if net.kind.scheme == "stdio":
            broken.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
            broken.peer.stop_reading()
            await net.until(broken.protocol, "writeConnectionLost")
            broken.peer.shutdown()
        else:
            broken.peer.close()

            def write_again() -> bool:
                # The first answer of TCP is a reset, and only then a write can fail.
                broken.protocol.verb("write", b"x")
                return "connectionLost" in broken.protocol.events

            await eventually(net, write_again)
        reason = await net.lost(broken.protocol)
        assert type(reason) is ConnectionLost
        told.append(check_cause(broken.can, reason, errno.EPIPE, errno.ECONNRESET))
        # Of a capability that is off, one case that fails is enough.
        works = all(told) and not broken.can.tells_cause
        assert not works, "tells_cause is declared off, and works"

        # No test can wait for the kernel to give a peer up.
        channel = FakeChannel(Capabilities())
        protocol = Recorder()
        channel.attach(net, protocol)
        error = TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        channel.sink.failed(error)
        reason = await net.lost(protocol)
        assert type(reason) is ConnectionLost
        assert reason.__cause__ is error

    @rule("ERR-02", needs=("can_half_close",))
    async def test_err_02_an_event_raises(self, net: Net) -> None:
        """dataReceived, rcl or wcl raises: logged once with the protocol's logPrefix and its
        traceback, the connection aborted, connectionLost(that exception).

        Where to look: nothing in a channel, but that ``abort`` works also inside a call to the
        sink; after it, the channel goes on with nothing that it was doing.
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
                # Our end of stream came first, and is what the peer sees.
                assert (await pair.peer.read_all())[0] == b""
            else:
                await check_abort_seen(pair.can, pair.peer)

        # What was written is aborted with it.
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

        # Also in the last event, after which there is nothing to be aborted.
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
        """connectionMade raises: the same. † ‡ (it stays open there, and on uvloop is never read)

        Where to look: ``Connection.attach`` returns the exception; a channel can be aborted as
        soon as it was started, also where its first read has not begun.
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
                # Where our side connects, as to stdio, connect raises it (ERR-11).
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
        """connectionLost raises: logged, and it reaches no verb's caller and no other connection.
        †

        Where to look: nothing in a channel; it is released before the event.
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

    @rule("ERR-05", needs=("can_half_close",))
    def test_err_05_exceptions_that_end_the_program(self: Any, kind: Kind, host: Host) -> None:
        """KeyboardInterrupt or SystemExit in an event: the connection aborted, connectionLost(it),
        and then raised, bare, from `run` or `open_backend`; under a caller's own reactor it is
        logged and the reactor stopped. Every other BaseException, a stray CancelledError too, is
        ERR-02 and stops nothing else. † ‡

        Where to look: ``Backend.fatal`` ends the body of ``async with``, and ``stop`` or ``run``
        raises what it was given, in no group and with no other exception in its place.
        """
        for event in EVENTS:
            _check_fatal_event(host, self.backend, kind, event, KeyboardInterrupt())
        _check_fatal_event(host, self.backend, kind, "dataReceived", SystemExit(3))
        _check_fatal_in_open_backend(host, self.backend, kind)
        host.run(lambda opened: _check_strays(opened, kind), self.backend, kind.options)
        check_fatal(host, self.backend)
        check_interruption(host, self.backend)
        check_program(host, self.backend)

    @rule("ERR-06", needs=("can_half_close",))
    async def test_err_06_abort(self, net: Net) -> None:
        """abortConnection: the peer sees RST (capability `can_reset`), pending bytes are
        discarded. ‡

        Where to look: ``Channel.abort``: SO_LINGER of zero seconds before close(2), whatever the
        framework's own transport still holds. Where there is no reset, throw away what is
        pending and close.
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
        """RST while lwc is pending: connectionLost(ConnectionLost), no wcl.

        Where to look: ``writable`` and ``write_ended`` are never told of a connection that was
        reset; a failed send is an error, not the end of the sending.
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

    @rule("ERR-08", schemes=("tcp", "unix", "memory"))
    async def test_err_08_a_factory_that_fails(self, net: Net) -> None:
        """A factory that raises, or gives something that is no protocol: logged, that connection
        aborted, the listener goes on.

        Where to look: whatever accepts a connection makes the protocol inside a ``try`` of its
        own, and owns the connection until a ``Connection`` does.
        """
        error = Boom("the factory")
        makers: list[Callable[[], Any]] = [
            raising(error),
            lambda: None,
            object,
            lambda: Recorder,
        ]
        made: list[Recorder] = []

        def factory() -> Any:
            if makers:
                return makers.pop(0)()
            made.append(Recorder())
            return made[-1]

        connect = await net.serve(factory)
        peers = []
        for expected in (Boom, TypeError, TypeError, TypeError):
            with logged() as records:
                peer = net.closing(await connect())
                peers.append((peer, await peer.read_all()))
                await net.turns()
            assert len(errors_in(records)) == 1, errors_in(records)
            assert [record.exc_info[0] for record in records if record.exc_info] == [expected]
        good = net.closing(await connect())
        good.send_now(b"x")
        assert await eventually(net, lambda: bool(made) and bool(made[0].received))
        can = Pair(made[0], good).can
        for _, (received, end) in peers:
            assert received == b""
            check_reset(can, end)

    @rule("ERR-09", schemes=("tcp", "unix", "memory"), needs=("descriptors",))
    async def test_err_09_accepting_fails(self, net: Net) -> None:
        """accept(2) failing with EMFILE, ENFILE, ECONNABORTED: the listener goes on and does not
        spin.

        Where to look: nothing in a backend, unless its ``watch`` stops at a descriptor whose
        handler did not make it unready. Core's listener stops watching for a moment.
        """
        made: list[Recorder] = []

        def factory() -> Recorder:
            made.append(Recorder())
            return made[-1]

        async with net.kind.lane.serve(net.backend, factory, ConnectionOptions()) as connect:
            first = net.closing(await connect())
            assert await eventually(net, lambda: len(made) == 1)

            # There in the queue, and nobody can take it.
            waiting = net.closing(await connect())
            with no_more_descriptors():
                await idle(net, "a connection waits, and there is no descriptor for it")
                assert len(made) == 1
                # The connections that are there already are served meanwhile.
                first.send_now(b"x")
                assert await eventually(net, lambda: bool(made[0].received))
            assert await eventually(net, lambda: len(made) == 2)
            waiting.send_now(b"y")
            assert await eventually(net, lambda: bytes(made[1].received) == b"y")

            # Gone before it is accepted: ECONNABORTED on some systems, a short life on others.
            (await connect()).close()
            aborted = await connect()
            if net.kind.scheme == "tcp":
                aborted.reset()
            aborted.close()
            last = net.closing(await connect())
            last.send_now(b"z")
            assert await eventually(net, lambda: bytes(made[-1].received) == b"z")

    @rule("ERR-16", schemes=("tcp", "unix", "memory"), needs=("descriptors",))
    async def test_err_16_accepting_fails_for_good(self, net: Net) -> None:
        """accept(2) failing for good (EINVAL once somebody has shut the listening socket down,
        EBADF, ENOTSOCK, EOPNOTSUPP): logged once, `Listener.failure` is that error, and the
        listener does not spin; connections that it has accepted go on. An error of one
        connection costs that one only, and any other error is met again a little later.

        Where to look: nothing in a backend. Core closes the socket. (Of a unix socket that is shut
        down accept(2) says EAGAIN on Linux, and poll(2) that it is ready, for ever.)
        """
        made: list[Recorder] = []

        def factory() -> Recorder:
            made.append(Recorder())
            return made[-1]

        with temporary_unix_path() as folder, logged() as records:
            endpoint = f"unix:{folder}/s" if net.kind.scheme == "unix" else "tcp:127.0.0.1:0"
            async with await net.backend.listen(endpoint, factory) as listener:
                peer = net.closing(dial(net.backend, listener.endpoint))
                assert await eventually(net, lambda: len(made) == 1)
                net.watch(made[0])
                assert listener.failure is None
                shut_down_listener(listener.endpoint)
                assert await eventually(net, lambda: listener.failure is not None)
                assert listener.failure is not None
                assert listener.failure.errno == errno.EINVAL
                await idle(net, "the socket does not listen any more")
                peer.send_now(b"x")
                assert await eventually(net, lambda: bytes(made[0].received) == b"x")
                told = [each for each in records if str(listener.endpoint) in each.getMessage()]
                assert len(told) == 1, f"told {len(told)} times"
            assert listener.failure.errno == errno.EINVAL
            made[0].verb("abortConnection")
            await net.lost(made[0])

    @rule("ERR-10", schemes=("tcp", "unix", "memory"))
    async def test_err_10_connecting_fails(self, net: Net) -> None:
        """connect to a closed port, an unknown host, a black hole: `ConnectionRefused`,
        `DNSLookupFailed`, `ConnectTimeout`, the same classes everywhere, all `ConnectError`, each
        naming the endpoint and, with several addresses, each attempt; any other errno a plain
        ConnectError. The timeout covers the name lookup. listen fails with `ListenError`.

        Where to look: ``Backend.resolve`` raises ``socket.gaierror``, not the framework's own
        exception; cancelling it, or never awaiting it to its end, leaves nothing behind.
        """
        kind = net.kind
        with kind.refusing(net.backend) as endpoint:
            error: BaseException = await refusal(net, endpoint)
            assert type(error) is ConnectionRefused
            assert isinstance(error.__cause__, OSError)
            assert error.__cause__.errno == errno.ECONNREFUSED
        with kind.black_hole(net.backend) as endpoint:
            assert type(await refusal(net, endpoint, timeout=0.02)) is ConnectTimeout
        with kind.hopeless(net.backend) as endpoint:
            error = await refusal(net, endpoint)
            assert type(error) is ConnectError
            assert isinstance(error.__cause__, OSError)
            if kind.scheme == "unix":
                with raises(ListenError):
                    await net.backend.listen(endpoint, no_protocol)

        with kind.listening(net.backend) as taken, raises(ListenError) as caught:
            await net.backend.listen(taken.endpoint, no_protocol)
        assert str(taken.endpoint) in str(caught.value)
        with raises(ListenError):
            await net.backend.listen("stdio:", no_protocol)
        if kind.scheme != "tcp":
            return

        # Names, which only TCP has.
        await check_names(net)
        unknown = "tcp:nosuch.invalid:80"
        assert type(await refusal(net, unknown)) is DNSLookupFailed
        with raises(ListenError) as caught:
            await net.backend.listen(unknown, no_protocol)
        assert unknown in str(caught.value)
        several: list[Address] = [
            (socket.AF_INET, ("127.0.0.1", 0)),
            (socket.AF_INET, ("127.0.0.2", 0)),
        ]
        with ExitStack() as stack:
            stack.enter_context(resolving(net.backend, several))
            sock = stack.enter_context(socket.socket())
            sock.bind(("0.0.0.0", 0))
            error = await refusal(net, TCP("several.invalid", sock.getsockname()[1]))
            assert type(error) is ConnectionRefused
            assert "127.0.0.1" in str(error)
            assert "127.0.0.2" in str(error)
        with resolving(net.backend, None):
            error = await refusal(net, "tcp:slow.invalid:80", timeout=0.02)
            assert type(error) is ConnectTimeout

    @rule("ERR-11", schemes=("tcp", "unix", "memory"))
    async def test_err_11_what_connect_gives(self, net: Net) -> None:
        """connect returns the protocol even if it is lost already; raises what the factory or
        connectionMade raised; cancelled, it leaks nothing, and a protocol that was made hears
        connectionLost(ConnectionAborted).

        Where to look: nothing is awaited between the making of the protocol and the return of
        ``Backend.connect``; leaving a backend cancels its tasks and waits for their end.
        """
        with net.kind.listening(net.backend) as listener:
            await self._what_connect_gives(net, listener)

        # Cancelled on its way, and while the name is looked up.
        before = net.kind.holdings(net.backend)
        with net.kind.black_hole(net.backend) as endpoint:
            await _cancel_connecting(net, endpoint)
        if net.kind.scheme == "tcp":
            with resolving(net.backend, None):
                await _cancel_connecting(net, TCP("slow.invalid", 80), net.backend.resolve)
        left = net.kind.holdings(net.backend) - before
        assert not left, f"held after the connecting was cancelled: {left}"

    async def _what_connect_gives(self, net: Net, listener: RawListener) -> None:
        endpoint = listener.endpoint

        async def accepted() -> RawPeer:
            peer: RawPeer = net.closing(await listener.accept())
            return peer

        lost = Recorder(connectionMade=abort)
        assert await net.backend.connect(endpoint, lambda: lost) is lost
        assert type(await net.lost(lost)) is ConnectionAborted
        await (await accepted()).read_all()

        error = Boom("the factory")
        with raises(Boom) as caught:
            await net.backend.connect(endpoint, raising(error))
        assert caught.value is error
        peer = await accepted()
        assert (await peer.read_all())[0] == b""

        with raises(TypeError):
            await net.backend.connect(endpoint, object)  # type: ignore[type-var]
        assert (await (await accepted()).read_all())[0] == b""

        error = Boom("connectionMade")
        broken = Named(connectionMade=raising(error))
        with logged() as records, raises(Boom) as caught:
            await net.backend.connect(endpoint, lambda: broken)
        assert caught.value is error
        assert await net.lost(broken) is error
        check_logged_once(error, records)
        assert (await (await accepted()).read_all())[0] == b""

        # Cancelled with the protocol made: it ended in the hands of the backend.
        made = net.backend.create_event()
        protocol = Recorder(connectionMade=lambda _: made.set())
        leaving = Boom("leaving")

        async def connect_and_leave() -> None:
            async with open_backend(net.backend.name) as inner:
                inner.start_soon(inner.connect, endpoint, lambda: protocol)
                await net.wait(made, "connectionMade")
                raise leaving

        with raises(Boom) as caught:
            await connect_and_leave()
        assert caught.value is leaving
        assert protocol.events == ["connectionMade", "connectionLost"]
        assert type(protocol.reason) is ConnectionAborted
        net.watch(protocol)
        assert (await (await accepted()).read_all())[0] == b""

    @rule("ERR-12")
    async def test_err_12_an_error_in_one_channel(self, net: Net) -> None:
        """An error in one connection's channel never stops the poller, the listener or another
        connection.

        Where to look: whatever calls a channel, a poller, a task or the framework, has an
        ``except`` of its own around that one channel, and gives it up by ``failed``. Whatever the
        loop calls for a backend goes through ``Backend.guarded``, and a task's failure is logged.
        """
        async with neighbour(net) as other:
            for call in ("received", "read_ended", "writable"):
                pair = await net.recorded()
                error = Boom(call)
                # What the channel calls fails, as if the channel itself had.
                pair.transport.channel.start(FaultySink(pair.transport, call, error))
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
        await check_failures(net)
        if net.backend.capabilities.descriptors:
            await check_watches(net)
            await check_threads(net)

    @rule("ERR-13")
    def test_err_13_whatever_raises(self: Any, kind: Kind, host: Host) -> None:
        """Whatever a channel or the loop raises, at whichever call, and wherever ^C comes:
        connectionLost still comes, once and last, no verb raises but KeyboardInterrupt or
        SystemExit, which end the run bare, and the next connection works.

        Where to look: the connection ends itself by ``abort`` when a call fails that never
        should, and by ``close`` where that fails; so both release the descriptor, whatever was
        begun before. Nothing of the loop's may depend on a call that has raised.
        """

        async def every_call(opened: Backend) -> None:
            for ending in ENDINGS:
                for after in (False, True):
                    for number in count():
                        net = Net(opened, kind, host)
                        faults = Faults(number, Boom("injected"), after=after)
                        try:
                            await converse(net, ending, faults)
                        finally:
                            await net.close()
                        net.check_order()
                        if faults.raised is None:
                            break

        with logged():
            host.run(every_call, self.backend, kind.options)
            if not host.brings_fatal:
                # Its loop is stopped where it is, and what the program was about never ends.
                return
            for ending in ENDINGS:
                for number in count():
                    faults = Faults(number, KeyboardInterrupt(), after=False)
                    _check_interrupted(host, self.backend, kind, ending, faults)
                    if faults.raised is None:
                        break

    @rule("ERR-14")
    def test_err_14_a_backend_that_was_left(self: Any, kind: Kind, host: Host) -> None:
        """What is given to call_soon_threadsafe, call_soon, call_later or start_soon of a backend
        that was left is never run, neither there nor in the next program, and the call raises
        nothing, also where the loop is closed; nor is run what was given before and not yet begun
        when it was left. (A Twisted reactor that is run again runs it in the next program, and
        asyncio raises.)

        Where to look: each of them looks at ``Backend.left``, once when it is called and once
        when its turn has come. A framework's loop may be used again by the next program, and
        raise once it is closed.
        """
        ran: list[str] = []
        host.run(functools.partial(_give_too_late, ran), self.backend, kind.options)
        assert not ran, f"run on a backend that was left: {ran}"

        kept: list[Backend] = []

        async def keep(backend: Backend) -> None:
            kept.append(backend)
            _give(backend, "at the end of its program", ran)

        async def next_program(backend: Backend) -> None:
            _give(kept[0], "in the next program", ran)
            await Net(backend, kind, host).quiet()

        host.run(keep, self.backend, kind.options)
        _give(kept[0], "after its program", ran)
        host.run(next_program, self.backend, kind.options)
        assert not ran, f"run in the next program: {ran}"

    @rule("ERR-18")
    async def test_err_18_a_forked_child(self, net: Net) -> None:
        """A forked child has no part in its parent's connections. In it each is over: `state` is
        CLOSED, verbs do nothing, no event is told, and to begin anything raises RuntimeError, which
        names the parent. Where it would come back to the loop, out of an event, a task or the body
        of `async with`, it ends: with SystemExit's status, or with the reason on stderr and
        status 1. The parent goes on unharmed, and its abort and its end of stream reach the peer,
        sockets only, although a child holds a copy of the descriptor. † ‡ (A child that leaves the
        loop takes the parent's descriptors out of the epoll instance that they share, and close(2)
        says nothing to a peer while there is a copy: cpython#66197.)

        Where to look: ``Channel.descriptors`` names what the child has to let go of; a channel's
        ``close`` and ``abort`` shut the socket down or disconnect it where the process has forked,
        since close(2) says nothing while there is a copy. Whatever the loop calls, and each task,
        is followed by ``Backend.check_process``, unless it goes through ``Backend.guarded``.
        """
        children = Children()
        async with neighbour(net) as other:
            await _check_children(net, children, other)
        if net.kind.scheme != "stdio":
            for verb in ("abortConnection", "loseConnection"):
                await _check_copies(net, children, verb)


async def _check_children(net: Net, children: Children, other: Pair[Recorder]) -> None:
    """What a child does, and how it ends, is nothing to its parent."""
    here = os.getpid()
    due: list[Callable[[], object]] = []

    def received(*_: object) -> None:
        if due:
            children.fork(due.pop())

    def here_only(*_: object) -> None:
        if os.getpid() != here:
            os._exit(99)

    pair = await net.recorded(
        dataReceived=received, readConnectionLost=here_only, connectionLost=here_only
    )
    lives: list[tuple[Callable[[], object], int]] = [
        (lambda: check_foreign(net.backend, pair.transport), 0),
        (raising(SystemExit(3)), 3),
        (raising(Boom("in a child")), 1),
        (lambda: None, 1),
    ]
    for life, status in lives:
        due.append(life)
        forked = len(pair.protocol.received) + 1
        pair.peer.send_now(b"x")
        await net.until(pair.protocol, functools.partial(_has_received, pair.protocol, forked))
        assert children.status() == status
        await check_works(net, pair)
        await check_works(net, other)

    async def task(begun: Any) -> None:
        children.fork(raising(SystemExit(4)))
        begun.set()

    begun = net.backend.create_event()
    net.backend.start_soon(task, begun)
    await net.wait(begun, "the fork in a task")
    assert children.status() == 4
    async with open_backend(net.backend.name):
        children.fork(raising(SystemExit(5)))
    assert children.status() == 5
    if net.backend.capabilities.descriptors:
        await _check_watched(net, children)
    await check_works(net, pair)
    await check_works(net, other)


async def _check_watched(net: Net, children: Children) -> None:
    """What a child stops to watch, its parent goes on watching."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        readable = net.backend.create_event()
        watch = net.backend.watch(ours.fileno(), readable.set)

        def stop() -> NoReturn:
            try:
                watch.stop()
            finally:
                os._exit(0)

        try:
            children.fork(stop)
            assert children.status() == 0
            theirs.send(b"x")
            await net.wait(readable, "what is watched, once a child has stopped to watch it,")
        finally:
            watch.stop()


def _has_received(protocol: Recorder, size: int) -> bool:
    return len(protocol.received) == size


async def _check_copies(net: Net, children: Children, verb: str) -> None:
    """The peer sees the end that *verb* makes, although a child holds copies."""
    pair = await net.pair(Recorder(), linger_timeout=0.0)
    held, holding = os.pipe()

    def hold() -> None:
        os.close(holding)
        os.read(held, 1)
        os._exit(0)

    # No child lets go of what it cannot know of.
    copies = [os.dup(fd) for fd in pair.transport.channel.descriptors()]
    children.fork(hold)
    for fd in (held, *copies):
        os.close(fd)
    try:
        pair.protocol.verb(verb)
        await net.lost(pair.protocol)
        end = (await pair.peer.read_all())[1]
    finally:
        os.close(holding)
    assert children.status() == 0
    if verb == "loseConnection":
        assert end == "eof"
    else:
        check_reset(pair.can, end)


def _check_interrupted(host: Host, backend: str, kind: Kind, ending: str, faults: Faults) -> None:
    """^C comes at one call of a conversation."""
    nets: list[Net] = []

    async def main(opened: Backend) -> None:
        nets.append(Net(opened, kind, host))
        try:
            await converse(nets[0], ending, faults)
        finally:
            await nets[0].close()
        # Where it came later than the end.
        await nets[0].turns()

    raised: BaseException | None = None
    threads = threading.enumerate()
    try:
        host.run(main, backend, kind.options)
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


def _check_fatal_event(
    host: Host, backend: str, kind: Kind, event: str, error: BaseException
) -> None:
    """*event* raises *error*, which is KeyboardInterrupt or SystemExit."""
    reactions: dict[str, Callable[..., object]] = {event: raising(error)}
    if event == "writeConnectionLost":
        reactions["connectionMade"] = lose_write
    elif event == "connectionLost":
        reactions["connectionMade"] = lose
    protocol = Recorder(**reactions)
    peers: list[RawPeer] = []

    async def main(opened: Backend) -> None:
        async with kind.serve(opened, lambda: protocol, ConnectionOptions()) as connect:
            peers.append(await connect())
            if event == "dataReceived":
                peers[0].send_now(b"x")
            elif event == "readConnectionLost":
                peers[0].shutdown()
            await opened.sleep(LIMIT)
            went_on.append(event)

    went_on: list[str] = []
    try:
        with logged() as records:
            raised = raised_by(host, main, backend, kind.options)
        assert not went_on, f"{event} raised {error!r}, and the program went on"
        check_fatal_told(host, error, raised, records)
        if event == "connectionLost":
            assert type(protocol.reason) is ConnectionDone
            assert protocol.events == ["connectionMade", event]
        else:
            assert protocol.reason is error, protocol.reason
            assert protocol.events == list(
                dict.fromkeys(["connectionMade", event, "connectionLost"])
            )
        assert not protocol.broken, protocol.broken
        # Descriptors 0 and 1 were put back meanwhile, so a pipe shows the end of stream.
        for peer in peers:
            received, end = peer.rest()
            assert received == b""
            if event in ("connectionMade", "dataReceived", "readConnectionLost"):
                check_reset(Pair(protocol, peer).can, end, event)
    finally:
        for peer in peers:
            peer.close()


def _check_fatal_in_open_backend(host: Host, backend: str, kind: Kind) -> None:
    """The same in a backend that was opened in a loop that is somebody else's."""
    error = KeyboardInterrupt()
    protocol = Recorder(dataReceived=raising(error))
    peers: list[RawPeer] = []

    async def main(opened: Backend) -> None:
        async with open_backend(opened.name) as inner:
            serving = kind.lane.serve(inner, lambda: protocol, ConnectionOptions())
            async with serving as connect:
                peers.append(await connect())
                peers[0].send_now(b"x")
                await inner.sleep(LIMIT)

    try:
        with logged() as records:
            raised = raised_by(host, main, backend, kind.options)
        assert protocol.reason is error, protocol.reason
        assert protocol.events == ["connectionMade", "dataReceived", "connectionLost"]
        if raised is not error:
            # Its loop cannot be told to raise anything: it was stopped, and why was logged.
            assert type(raised) is RuntimeError
            assert [record.levelname for record in showing(error, records)] == ["CRITICAL"]
        else:
            assert not [record.getMessage() for record in records]
    finally:
        for peer in peers:
            peer.close()


def _give(backend: Backend, when: str, ran: list[str]) -> None:
    """Give *backend* something to run in every way; it notes that in *ran*."""

    async def task(name: str) -> None:
        ran.append(name)

    def threadsafe(thread: str) -> None:
        backend.call_soon_threadsafe(ran.append, f"call_soon_threadsafe {thread} {when}")

    threadsafe("here")
    with ThreadPoolExecutor(1) as threads:
        threads.submit(threadsafe, "in a thread").result()
    backend.call_soon(ran.append, f"call_soon {when}")
    backend.call_later(0.0, ran.append, f"call_later {when}").cancel()
    backend.call_later(0.0, ran.append, f"call_later {when}")
    backend.start_soon(task, f"start_soon {when}")


async def _give_too_late(ran: list[str], backend: Backend) -> None:
    async with open_backend(backend.name) as inner:
        _give(inner, "before it was left", ran)
    _give(inner, "after it was left", ran)
    for _ in range(5):
        await backend.sleep(0.01)


async def _check_strays(backend: Backend, kind: Kind) -> None:
    """Every other BaseException is one connection's own affair."""
    net = Net(backend, kind)
    try:
        async with neighbour(net) as other:
            errors = (StrayCancellation("stray"), GeneratorExit(), Stray())
            for error, event in zip(
                errors, ("dataReceived", "readConnectionLost", "writeConnectionLost"), strict=True
            ):
                with logged() as records:
                    pair = await net.pair(Named(**{event: raising(error)}))
                    await trigger(net, pair, event)
                    assert await net.lost(pair.protocol) is error
                    await net.turns()
                check_logged_once(error, records)
                assert pair.protocol.events == ["connectionMade", event, "connectionLost"]
                await check_works(net, other)
    finally:
        await net.close()
    net.check_order()


async def _cancel_connecting(
    net: Net, endpoint: Endpoint, resolve: Callable[..., Any] | None = None
) -> None:
    """Begin to connect to *endpoint*, which never answers, and cancel that."""
    async with open_backend(net.backend.name) as inner:
        begun = inner.create_event()
        if resolve is not None:

            async def look_up(host: str, port: int) -> Any:
                begun.set()
                return await resolve(host, port)

            setattr(inner, "resolve", look_up)  # noqa: B010 - an instance's method
        else:
            inner.call_later(0.02, begun.set)
        inner.start_soon(inner.connect, endpoint, no_protocol)
        await net.wait(begun, "the beginning")
        await net.turns()
