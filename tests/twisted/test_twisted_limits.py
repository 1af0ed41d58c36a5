"""Descriptors that select cannot watch, reactors that are stopped, and SIGPIPE at its default."""

from __future__ import annotations

import contextvars
import errno
import signal
import threading
from pathlib import Path
from typing import Any

import halfclose
import pytest
from core.support import LIMIT, TWISTED, python, run
from halfclose import Backend

FOLDER = str(Path(__file__).parent.parent)

each_variant = pytest.mark.parametrize("variant", TWISTED)
each_way = pytest.mark.parametrize("sockets", ["poller", "native"])

MANY = """
    import contextlib, logging, os, resource, socket, sys
    sys.path.insert(0, {folder!r})
    import halfclose
    from core.support import EchoBack, Recorder, until

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2048), hard))

    lines = []

    class Lines(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logging.getLogger().addHandler(Lines())

    from twisted.logger import globalLogPublisher
    events = []
    globalLogPublisher.addObserver(events.append)

    @contextlib.contextmanager
    def all_below_1024_taken():
        taken = [os.open("/dev/null", os.O_RDONLY)]
        while taken[-1] < 1100:
            taken.append(os.dup(taken[0]))
        try:
            yield
        finally:
            for fd in taken:
                os.close(fd)

    async def exchange(backend, endpoint):
        client = await backend.connect(endpoint, Recorder)
        client.transport.write(b"x")
        client.transport.loseWriteConnection()
        await client.transport.whenClosed()
        assert client.data == b"x", client.data

    {body}

    halfclose.run(main, backend="twisted+select", options={{"sockets": {sockets!r}}})
    assert len(events) < 10, events[:20]
    print("done")
"""


def many(sockets: str, body: str) -> None:
    import textwrap

    body = textwrap.indent(textwrap.dedent(body), "    ").strip()
    code = MANY.format(folder=FOLDER, sockets=sockets, body=body)
    assert python(code, warm=True).splitlines() == ["done"]


@each_way
def test_connecting_and_listening_beyond_what_select_can_watch(sockets: str) -> None:
    """Refused, and served as before once there is room."""
    many(
        sockets,
        """
        async def main(backend):
            with socket.create_server(("127.0.0.1", 0)) as server, all_below_1024_taken():
                endpoint = halfclose.TCP(*server.getsockname())
                for _ in range(2):
                    try:
                        await backend.connect(endpoint, Recorder, 5)
                    except halfclose.ConnectError as error:
                        assert "cannot watch descriptor" in str(error), error
                        assert str(endpoint) in str(error)
                    else:
                        raise AssertionError("connected")
                    try:
                        await backend.listen("tcp:127.0.0.1:0", Recorder)
                    except halfclose.ListenError as error:
                        assert "cannot watch descriptor" in str(error), error
                    else:
                        raise AssertionError("listens")
                reader, writer = socket.socketpair()
                with reader, writer:
                    try:
                        backend.watch(reader.fileno(), print)
                    except OSError as error:
                        assert "cannot watch descriptor" in str(error), error
                    else:
                        raise AssertionError("watched")
            async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
                await exchange(backend, listener.endpoint)
            assert not lines, lines
        """,
    )


def test_accepted_connections_beyond_what_select_can_watch() -> None:
    """Each is dropped, with a line of the log, and the listener goes on."""
    many(
        "native",
        """
        async def main(backend):
            async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
                address = listener.endpoint.host, listener.endpoint.port
                with all_below_1024_taken():
                    for number in range(1, 4):
                        with socket.create_connection(address) as peer:
                            peer.setblocking(False)
                            await until(backend, lambda: len(lines) == number)
                            assert "cannot watch descriptor" in lines[-1], lines
                            assert "was dropped" in lines[-1], lines
                            peer.settimeout(5)
                            try:
                                assert peer.recv(1) == b""
                            except ConnectionResetError:
                                pass
                await exchange(backend, listener.endpoint)
                assert len(lines) == 3, lines
        """,
    )


def test_a_poller_that_was_there_before_goes_on() -> None:
    """select sees one descriptor of it; the sockets' own can have any number."""
    many(
        "poller",
        """
        async def main(backend):
            async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
                with all_below_1024_taken():
                    await exchange(backend, listener.endpoint)
            assert not lines, lines
        """,
    )


def test_twisteds_own_endpoints_beyond_what_select_can_watch() -> None:
    many(
        "poller",
        """
        async def main(backend):
            from halfclose_twisted import as_factory
            from twisted.internet.endpoints import TCP4ServerEndpoint
            endpoint = TCP4ServerEndpoint(backend.reactor, 0, interface="127.0.0.1")
            port = await endpoint.listen(as_factory(EchoBack, reactor=backend.reactor))
            address = "127.0.0.1", port.getHost().port
            with all_below_1024_taken(), socket.create_connection(address) as peer:
                await until(backend, lambda: lines)
                assert "cannot watch descriptor" in lines[-1], lines
                peer.settimeout(5)
                try:
                    assert peer.recv(1) == b""
                except ConnectionResetError:
                    pass
                assert len(lines) == 1, lines
            await exchange(backend, halfclose.TCP(*address))
            await port.stopListening()
        """,
    )


# -- a reactor that its program stops ----------------------------------------------------------

STOPPED = """
    import os, socket, sys
    sys.path.insert(0, {folder!r})
    {install}
    import halfclose
    from halfclose_twisted import as_factory
    from core.support import Recorder, until
    from twisted.internet import defer, endpoints, reactor

    class Producer:
        def pauseProducing(self): pass
        def resumeProducing(self): pass
        def stopProducing(self): made.append("stopped")

    class Noting(Recorder):
        def connectionMade(self):
            super().connectionMade()
            made.append(self)

    made, peers = [], []

    async def each_state(backend, address):
        async def peer():
            count = len(made)
            peers.append(socket.create_connection(address))
            await until(backend, lambda: len(made) > count)
            return made[-1]
        await peer()
        (await peer()).transport.pauseProducing()
        ended = await peer()
        peers[-1].shutdown(socket.SHUT_WR)
        await until(backend, lambda: ended.events[-1] == "read")
        (await peer()).transport.loseWriteConnection()
        await until(backend, lambda: made[-1].events[-1] == "write")
        paused = await peer()
        paused.transport.loseWriteConnection()
        await until(backend, lambda: paused.events[-1] == "write")
        paused.transport.pauseProducing()
        full = await peer()
        full.transport.pauseProducing()
        full.transport.write(bytes(20_000_000))
        closing = await peer()
        closing.transport.write(bytes(20_000_000))
        closing.transport.loseConnection()
        produced = await peer()
        produced.transport.registerProducer(Producer(), True)

    async def main():
        async with halfclose.open_backend() as clock:
            {body}
            reactor.stop()
            await defer.Deferred()

    reactor.callWhenRunning(lambda: defer.Deferred.fromCoroutine(main()))
    reactor.run()
    assert made.count("stopped") == 1
    noting = [each for each in made if each != "stopped"]
    for each in noting:
        assert each.events.count("lost") == 1 and each.events[-1] == "lost", each.events
        assert isinstance(each.reason, halfclose.ConnectionLost), each.reason
    print(len(noting))
"""

INSTALL = {
    "twisted+select": "from twisted.internet import selectreactor; selectreactor.install()",
    "twisted+poll": "from twisted.internet import pollreactor; pollreactor.install()",
    "twisted+epoll": "from twisted.internet import epollreactor; epollreactor.install()",
    "twisted+asyncio": "from twisted.internet import asyncioreactor; asyncioreactor.install()",
    "twisted+uvloop": "import uvloop; from twisted.internet import asyncioreactor; "
    "asyncioreactor.install(uvloop.new_event_loop())",
}

SERVED = {
    "as_factory": """
            endpoint = endpoints.TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
            port = await endpoint.listen(as_factory(Noting))
            await each_state(clock, ("127.0.0.1", port.getHost().port))
    """,
    "poller": """
            listener = await clock.listen("tcp:127.0.0.1:0", Noting)
            await each_state(clock, (listener.endpoint.host, listener.endpoint.port))
    """,
    "native": """
            inner = await halfclose.open_backend(options={"sockets": "native"}).__aenter__()
            listener = await inner.listen("tcp:127.0.0.1:0", Noting)
            await each_state(inner, (listener.endpoint.host, listener.endpoint.port))
    """,
}


@each_variant
@pytest.mark.parametrize("served", SERVED)
def test_a_reactor_that_is_stopped_ends_every_connection(variant: str, served: str) -> None:
    body = SERVED[served].strip()
    code = STOPPED.format(folder=FOLDER, install=INSTALL[variant], body=body)
    assert python(code, warm=True) == "8\n"


# -- an epoll that is full ---------------------------------------------------------------------


@each_variant
def test_timers_go_on_where_the_reactor_could_watch_no_more(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A single refusal cost every timer of the backend, for good."""

    def refuse(reader: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def main(backend: Backend) -> str:
        late = SystemExit("the timers stand still")
        # No timer of the backend's, since the first one to be set is what this is about.
        guard = threading.Timer(LIMIT, backend.call_soon_threadsafe, (backend.fatal, late))
        guard.start()
        try:
            with monkeypatch.context() as patch:
                patch.setattr(backend.reactor, "addReader", refuse)  # type: ignore[attr-defined]
                await backend.sleep(0.01)
            await backend.sleep(0.01)
        finally:
            guard.cancel()
        return "over"

    assert halfclose.run(main, backend=variant) == "over"


# -- SIGPIPE -----------------------------------------------------------------------------------


@each_variant
@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_sigpipe_at_its_default_does_not_end_the_process(variant: str, scheme: str) -> None:
    out = python(
        f"""
        import os, signal, sys, tempfile
        sys.path.insert(0, {FOLDER!r})
        import halfclose
        from core.support import Recorder, until

        signal.signal(signal.SIGPIPE, signal.SIG_DFL)

        async def main(backend, folder):
            made = []
            def factory():
                made.append(Recorder())
                return made[-1]
            where = "tcp:127.0.0.1:0" if {scheme!r} == "tcp" else f"unix:{{folder}}/s"
            async with await backend.listen(where, factory) as listener:
                client = await backend.connect(listener.endpoint, Recorder)
                await until(backend, lambda: made)
                server = made[0].transport
                server.pauseProducing()
                client.transport.abortConnection()
                await client.transport.whenClosed()
                for _ in range(20):
                    server.write(b"x")
                    await backend.sleep(0.001)
                server.resumeProducing()
                await server.whenClosed()

        with tempfile.TemporaryDirectory() as folder:
            halfclose.run(main, folder, backend={variant!r}, options={{"sockets": "native"}})
        print("alive")
        """,
        warm=True,
    )
    assert out == "alive\n"


# -- contexts ----------------------------------------------------------------------------------

whose = contextvars.ContextVar("whose", default="nobody's")


@pytest.mark.parametrize("variant", [*TWISTED, "memory"])
def test_what_is_called_has_the_context_of_the_call(variant: str) -> None:
    async def main(backend: Any) -> None:
        seen: dict[str, str] = {}
        over = backend.create_event()

        def note(name: str) -> None:
            seen[name] = whose.get()
            # In a copy: nobody else sees it.
            whose.set("changed")
            if len(seen) == 6:
                over.set()

        async def task(name: str) -> None:
            await backend.sleep(0)
            note(name)

        def give(owner: str) -> None:
            whose.set(owner)
            backend.call_soon(note, f"soon {owner}")
            backend.call_later(0.001, note, f"later {owner}")
            backend.start_soon(task, f"task {owner}")

        def in_thread() -> None:
            whose.set("thread")
            backend.call_soon_threadsafe(from_thread.append, 1)
            backend.call_soon_threadsafe(lambda: from_thread.append(whose.get()))

        from_thread: list[object] = []
        for owner in ("first", "second"):
            contextvars.copy_context().run(give, owner)
        await over.wait()
        assert seen == {
            f"{way} {owner}": owner
            for owner in ("first", "second")
            for way in ("soon", "later", "task")
        }
        assert whose.get() == "nobody's"
        thread = threading.Thread(target=in_thread)
        thread.start()
        thread.join()
        while len(from_thread) < 2:
            await backend.sleep(0.001)
        assert from_thread == [1, "thread"]

    run(main, variant=variant)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
