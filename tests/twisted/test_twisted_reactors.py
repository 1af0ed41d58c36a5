"""Reactors of our own, the caller's, and the global one that is never installed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from typing import Any

import core.support
import halfclose
import pytest
from core.support import TWISTED, EchoBack, Recorder, Threads, descriptors, python, run
from halfclose import Backend
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.selectreactor import SelectReactor


async def exchange(backend: Backend) -> None:
    async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
        client = await backend.connect(listener.endpoint, Recorder)
        client.transport.write(b"x")
        client.transport.loseWriteConnection()
        await client.transport.whenClosed()
        assert client.data == b"x"


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in range(1, signal.NSIG) if number not in (32, 33)]


HUNDRED = """
    import os, signal, sys, threading
    sys.path.insert(0, {tests!r})
    import halfclose
    from core.support import EchoBack, Recorder, descriptors

    def state():
        signals = [signal.getsignal(n) for n in range(1, 65) if n not in (32, 33)]
        kinds = sorted(what.split(":")[0] for what in descriptors().values())
        return kinds, threading.active_count(), signals

    async def main(backend, number):
        async with await backend.listen({endpoint!r}, EchoBack) as listener:
            client = await backend.connect(listener.endpoint, Recorder)
            client.transport.write(b"x")
            client.transport.loseWriteConnection()
            await client.transport.whenClosed()
        if number % 3 == 1:
            raise LookupError(number)
        if number % 3 == 2:
            backend.call_later(3600, print)
            backend.start_soon(backend.sleep, 3600)
        return number

    first = None
    for number in range(100):
        try:
            assert halfclose.run(main, number, backend={variant!r}) == number
        except LookupError as error:
            assert error.args == (number,)
        if number == 2:
            first = state()
    assert state() == first, (state(), first)
    assert "twisted.internet.reactor" not in sys.modules
    print("done")
"""


def folder() -> str:
    file = core.support.__file__
    assert file is not None
    return os.path.dirname(os.path.dirname(file))


@pytest.mark.parametrize("variant", TWISTED)
@pytest.mark.parametrize("endpoint", ["tcp:127.0.0.1:0", "tcp:localhost:0"])
def test_a_hundred_runs_leave_nothing(variant: str, endpoint: str) -> None:
    """With a literal address, and with lookups in the reactor's thread pool."""
    code = HUNDRED.format(variant=variant, endpoint=endpoint, tests=folder())
    assert python(code, limit=120, warm=True) == "done\n"


@pytest.mark.parametrize("variant", TWISTED)
def test_a_hundred_runs_in_this_process(variant: str) -> None:
    run(exchange, variant=variant)
    before, threads = (len(descriptors()), handlers()), Threads()
    for _ in range(100):
        run(exchange, variant=variant)
    assert (len(descriptors()), handlers()) == before
    assert threads.new() == []


@pytest.mark.parametrize("variant", TWISTED)
def test_failing_lookups_leave_nothing(variant: str) -> None:
    async def main(backend: Backend) -> None:
        with pytest.raises(halfclose.DNSLookupFailed):
            await backend.connect("tcp:nosuch.invalid:80", Recorder)

    run(main, variant=variant)
    before, threads = len(descriptors()), Threads()
    for _ in range(10):
        run(main, variant=variant)
    assert len(descriptors()) == before
    assert threads.new() == []


EVERYTHING = """
    import sys, threading
    sys.path.insert(0, {tests!r})
    import halfclose, halfclose_twisted
    from core.support import EchoBack, Recorder

    async def main(backend):
        options = halfclose.ConnectionOptions(close_timeout=5, half_close_timeout=5)
        for endpoint in ("tcp:localhost:0", "unix:" + sys.argv[-1]):
            async with await backend.listen(endpoint, EchoBack, options) as listener:
                client = await backend.connect(listener.endpoint, Recorder, options=options)
                client.transport.write(b"x" * 100000)
                client.transport.loseWriteConnection()
                await client.transport.whenClosed()
                await client.transport.whenClosed()
        for endpoint in ("tcp:127.0.0.1:1", "tcp:nosuch.invalid:80", "tcp:192.0.2.1:80"):
            try:
                await backend.connect(endpoint, Recorder, 0.1)
            except halfclose.ConnectError:
                pass
        client = await backend.connect("stdio:", Recorder)
        client.transport.loseWriteConnection()
        await client.transport.whenClosed()
        backend.call_later(0, str)
        backend.call_soon_threadsafe(str)
        backend.start_soon(backend.sleep, 0)
        event = backend.create_event()
        backend.call_soon(event.set)
        await event.wait()
        await backend.sleep(0.01)
        async with halfclose.open_backend() as inner:
            await inner.sleep(0)

    halfclose.run(main, backend={variant!r}, options={{"sockets": {sockets!r}}})
    assert "twisted.internet.reactor" not in sys.modules
    sys.stderr.write("done")
"""


@pytest.mark.parametrize("variant", TWISTED)
@pytest.mark.parametrize("sockets", ["poller", "native"])
def test_the_global_reactor_is_never_installed(variant: str, sockets: str, tmp_path: Any) -> None:
    code = EVERYTHING.format(variant=variant, sockets=sockets, tests=folder())
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "sock")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b""), done.stderr.decode()
    assert done.stderr == b"done"


# -- the caller's reactor ----------------------------------------------------------------------


def test_the_callers_reactor() -> None:
    reactor = SelectReactor()
    seen: list[object] = []

    async def main(backend: Any) -> str:
        seen.append(backend.reactor)
        assert reactor.running
        await exchange(backend)
        return "done"

    before, threads = handlers(), Threads()
    for _ in range(3):
        assert run(main, variant="twisted", options={"reactor": reactor}) == "done"
        assert not reactor.running
    assert seen == [reactor] * 3
    assert handlers() == before
    assert threads.new() == []
    for descriptor in reactor.removeAll():
        descriptor.connectionLost(None)


def test_the_callers_reactor_that_runs_already() -> None:
    async def main(backend: Any) -> None:
        reactor = backend.reactor
        with pytest.raises(RuntimeError):
            halfclose.run(exchange, backend="twisted", options={"reactor": reactor})
        await backend.sleep(0)

    run(main, variant="twisted+select")
    run(exchange, variant="twisted+select")


def test_reactors_are_lent_and_taken_back() -> None:
    seen: list[int] = []

    async def main(backend: Any) -> None:
        seen.append(id(backend.reactor))
        await backend.sleep(0)

    async def failing(backend: Any) -> None:
        seen.append(id(backend.reactor))
        raise ZeroDivisionError

    for _ in range(3):
        run(main, variant="twisted+epoll")
        with pytest.raises(ZeroDivisionError):
            run(failing, variant="twisted+epoll")
    assert len(set(seen)) == 1


@pytest.mark.parametrize("variant", TWISTED)
def test_what_the_program_leaves_open_ends_with_the_run(variant: str) -> None:
    """Ports and connections of Twisted's own, in a reactor that is lent again and again."""
    out = python(
        f"""
        import socket, sys
        sys.path.insert(0, {folder()!r})
        import halfclose
        from core.support import descriptors
        from twisted.internet import protocol

        class Server(protocol.Protocol):
            def connectionMade(self):
                self.transport.write(b"x")
            def connectionLost(self, reason):
                print("lost")

        async def main(backend):
            reactor = backend.reactor
            reactor.callLater(3600, print)
            port = reactor.listenTCP(
                0, protocol.Factory.forProtocol(Server), interface="127.0.0.1"
            )
            raw = socket.create_connection(("127.0.0.1", port.getHost().port))
            raw.setblocking(False)
            for _ in range(2000):
                await backend.sleep(0.002)
                try:
                    assert raw.recv(1) == b"x"
                    break
                except BlockingIOError:
                    pass
            return raw

        counts = []
        for _ in range(4):
            with halfclose.run(main, backend={variant!r}) as raw:
                raw.settimeout(5)
                assert raw.recv(1) == b""
                try:
                    socket.create_connection(raw.getpeername()).close()
                    print("accepted")
                except ConnectionRefusedError:
                    print("refused")
            counts.append(len(descriptors()))
        print(counts[1:] == counts[:1] * 3)
        """,
        warm=True,
    )
    assert out.splitlines() == ["lost", "refused"] * 4 + ["True"]


def test_the_default_is_the_platforms_best() -> None:
    async def main(backend: Any) -> bool:
        return isinstance(backend.reactor, EPollReactor)

    assert run(main, variant="twisted")


# -- a program that owns its reactor -----------------------------------------------------------

PROGRAM = """
    import sys
    sys.path.insert(0, {tests!r})
    {install}
    import halfclose
    from core.support import EchoBack, Recorder
    from twisted.internet import defer, reactor, task

    async def exchange(backend):
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            client = await backend.connect(listener.endpoint, Recorder)
            client.transport.write(b"x")
            client.transport.loseWriteConnection()
            await client.transport.whenClosed()
            return client.events

    async def main(reactor):
        await task.deferLater(reactor, 0)
        {body}

    task.react(lambda reactor: defer.ensureDeferred(main(reactor)))
"""

INSTALL = {
    "twisted+select": "from twisted.internet import selectreactor; selectreactor.install()",
    "twisted+poll": "from twisted.internet import pollreactor; pollreactor.install()",
    "twisted+epoll": "from twisted.internet import epollreactor; epollreactor.install()",
    "twisted+asyncio": "from twisted.internet import asyncioreactor; asyncioreactor.install()",
    "twisted+uvloop": "import uvloop; from twisted.internet import asyncioreactor; "
    "asyncioreactor.install(uvloop.new_event_loop())",
}


def program(variant: str, body: str) -> list[str]:
    code = PROGRAM.format(
        install=INSTALL[variant],
        body=textwrap.indent(textwrap.dedent(body), " " * 8).strip(),
        tests=folder(),
    )
    return python(code, warm=True).splitlines()


@pytest.mark.parametrize("variant", TWISTED)
@pytest.mark.parametrize("sockets", ["poller", "native"])
def test_open_backend_in_a_program(variant: str, sockets: str) -> None:
    out = program(
        variant,
        f"""
        for name in (None, "twisted", {variant!r}):
            async with halfclose.open_backend(name, {{"sockets": {sockets!r}}}) as backend:
                assert backend.reactor is reactor
                print(*await exchange(backend))
        assert reactor.running
        """,
    )
    assert out == ["made write data read lost"] * 3


@pytest.mark.parametrize("variant", TWISTED)
def test_an_exception_of_the_body_in_a_program(variant: str) -> None:
    out = program(
        variant,
        """
        raised = LookupError("mine")
        try:
            async with halfclose.open_backend() as backend:
                listener = await backend.listen("tcp:127.0.0.1:0", EchoBack)
                client = await backend.connect(listener.endpoint, Recorder)
                raise raised
        except LookupError as error:
            print(error is raised, client.events, type(client.reason).__name__)
        """,
    )
    assert out == ["True ['made', 'lost'] ConnectionAborted"]


@pytest.mark.parametrize("variant", TWISTED)
def test_cancelling_a_program(variant: str) -> None:
    """Cancelling the Deferred ends the body, aborts its connections, and is CancelledError."""
    out = program(
        variant,
        """
        clients = []
        async def body():
            async with halfclose.open_backend() as backend:
                listener = await backend.listen("tcp:127.0.0.1:0", EchoBack)
                clients.append(await backend.connect(listener.endpoint, Recorder))
                await backend.sleep(3600)
        deferred = defer.ensureDeferred(body())
        while not clients:
            await task.deferLater(reactor, 0.001)
        deferred.cancel()
        try:
            await deferred
        except defer.CancelledError:
            print(clients[0].events, type(clients[0].reason).__name__)
        await task.deferLater(reactor, 0.01)
        print(reactor.getDelayedCalls() == [])
        """,
    )
    assert out == ["['made', 'lost'] ConnectionAborted", "True"]


@pytest.mark.parametrize("variant", TWISTED)
@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_fatal_event_under_a_callers_reactor(variant: str, error: str, count: int) -> None:
    """It is logged and the reactor stopped, also where several events raise it."""
    out = python(
        f"""
        import logging, sys
        sys.path.insert(0, {folder()!r})
        {INSTALL[variant]}
        import halfclose
        from twisted.internet import defer, reactor, task

        class Handler(logging.Handler):
            def emit(self, record):
                if record.levelno >= logging.CRITICAL:
                    print("critical", type(record.exc_info[1]).__name__)
        logging.getLogger("halfclose").addHandler(Handler())

        class Bad(halfclose.Protocol):
            def connectionMade(self):
                raise {error}("mine")
            def connectionLost(self, reason):
                print("lost", type(reason).__name__)

        async def main():
            backend = halfclose.open_backend()
            await backend.__aenter__()
            listener = await backend.listen("tcp:127.0.0.1:0", Bad)
            for _ in range({count}):
                backend.start_soon(backend.connect, listener.endpoint, halfclose.Protocol)

        reactor.callWhenRunning(lambda: reactor.callLater(0, lambda: defer.ensureDeferred(main())))
        reactor.callLater(10, lambda: print("too long") or reactor.stop())
        reactor.run()
        print("stopped")
        """,
        warm=True,
    )
    lines = out.splitlines()
    assert lines[-1] == "stopped"
    assert "too long" not in lines
    assert f"critical {error}" in lines
    assert lines.count(f"lost {error}") >= 1


# -- Deferreds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", TWISTED)
def test_cancelling_a_deferred_that_awaits_when_closed(variant: str) -> None:
    async def main(backend: Any) -> None:
        from twisted.internet.defer import CancelledError, Deferred

        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            client = await backend.connect(listener.endpoint, Recorder)
            waiting = [Deferred.fromCoroutine(client.transport.whenClosed()) for _ in range(4)]
            for number in (0, 2):
                waiting[number].cancel()
                with pytest.raises(CancelledError):
                    await waiting[number]
            assert not waiting[1].called
            assert client.transport.state.value == "open"
            client.transport.loseConnection()
            assert await waiting[1] is await waiting[3] is client.reason

    run(main, variant=variant)


@pytest.mark.parametrize("variant", TWISTED)
def test_a_waiter_that_cancels_another_as_it_is_woken(variant: str) -> None:
    async def main(backend: Any) -> None:
        from twisted.internet.defer import CancelledError, Deferred

        for order in ((0, 1), (1, 0), (0, 2), (2, 0)):
            event = backend.create_event()
            outcome: dict[int, str] = {}
            tasks: list[Deferred[None]] = []
            first, second = order

            async def waiter(
                number: int,
                event: Any = event,
                outcome: dict[int, str] = outcome,
                tasks: Any = tasks,
                first: int = first,
                second: int = second,
            ) -> None:
                try:
                    await event.wait()
                    outcome[number] = "woken"
                    if number == first:
                        tasks[second].cancel()
                except CancelledError:
                    outcome[number] = "cancelled"

            tasks.extend(Deferred.fromCoroutine(waiter(number)) for number in range(3))
            event.set()
            for each in tasks:
                await each
            assert sorted(outcome) == [0, 1, 2]
            assert outcome[first] == "woken"
            assert outcome[({0, 1, 2} - {first, second}).pop()] == "woken"

    run(main, variant=variant)


@pytest.mark.parametrize("variant", TWISTED)
def test_cancelling_a_connect_and_a_sleep(variant: str) -> None:
    async def main(backend: Any) -> None:
        from twisted.internet.defer import CancelledError, Deferred

        for make in (
            lambda: backend.sleep(3600),
            lambda: backend.connect("tcp:192.0.2.1:9", Recorder, 60),
            lambda: backend.connect("tcp:name.invalid:9", Recorder, 60),
            lambda: backend.create_event().wait(),
        ):
            deferred: Deferred[object] = Deferred.fromCoroutine(make())
            if deferred.called:
                # No route to that network here: there is nothing to be cancelled.
                with pytest.raises(halfclose.ConnectError):
                    await deferred
                continue
            deferred.cancel()
            with pytest.raises(CancelledError):
                await deferred

    run(main, variant=variant)
