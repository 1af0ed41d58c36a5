"""Hooks and prefixes that raise, readers that go away, and backends that are not entered."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import halfclose
import pytest
from core.support import VARIANTS, EchoBack, Recorder, descriptors, python, run, until
from halfclose import (
    Backend,
    BaseProtocol,
    Connection,
    ConnectionAborted,
    ConnectionDone,
    Protocol,
    State,
    Transport,
    hookimpl,
    open_backend,
)

pytestmark = pytest.mark.parametrize("variant", VARIANTS)

Addresses = list[tuple[int, Any]]


class OddBase(BaseException):
    pass


def never() -> Protocol:
    raise AssertionError("the factory was called")


# -- hooks -------------------------------------------------------------------------------------


class Raising:
    """Raises *error* in every hook."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    @hookimpl
    def halfclose_connection_made(self) -> None:
        raise self.error("made hook")

    @hookimpl
    def halfclose_half_closed(self) -> None:
        raise self.error("half hook")

    @hookimpl
    def halfclose_connection_lost(self) -> None:
        raise self.error("lost hook")


class Counting:
    """Counts what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @hookimpl
    def halfclose_connection_made(self, transport: Transport, protocol: BaseProtocol) -> None:
        self.heard.append("made")

    @hookimpl
    def halfclose_half_closed(self, transport: Transport, side: str) -> None:
        self.heard.append(side)

    @hookimpl
    def halfclose_connection_lost(self, transport: Transport, reason: BaseException) -> None:
        self.heard.append("lost")


@pytest.mark.parametrize("error", [asyncio.CancelledError, OddBase, GeneratorExit])
def test_a_hook_that_raises_no_exception(
    variant: str, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """A plugin that watches must not cost what it watches, whatever it raises."""
    counting = [Counting(), Counting()]
    plugins = [counting[0], Raising(error), counting[1]]

    async def main(backend: Backend) -> Recorder:
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            client = await backend.connect(listener.endpoint, Recorder)
            assert isinstance(client, Recorder)
            client.transport.write(b"hello")
            client.transport.loseWriteConnection()
            await client.transport.whenClosed()
            # And the server's side.
            await until(backend, lambda: counting[0].heard.count("lost") == 2)
            return client

    with contextlib.ExitStack() as stack:
        for plugin in plugins:
            halfclose.register(plugin)
            stack.callback(halfclose.unregister, plugin)
        client = run(main, variant=variant)
    assert client.data == b"hello"
    assert client.events[0] == "made"
    assert client.events[-1] == "lost"
    assert isinstance(client.reason, ConnectionDone)
    assert counting[0].heard == counting[1].heard
    assert sorted(counting[0].heard) == ["lost"] * 2 + ["made"] * 2 + ["read"] * 2 + ["write"]
    failures = [record for record in caplog.records if "failed" in record.getMessage()]
    assert len(failures) == len(counting[0].heard)
    for record in failures:
        assert record.exc_info is not None
        assert record.exc_info[0] is error


# -- warnings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sockets", ["poller", "native"])
def test_a_prefix_that_raises_in_a_late_write(
    variant: str, sockets: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The prefix is for the log: a write that is late is counted, and raises nothing."""

    class Unnamed(Recorder):
        def logPrefix(self) -> str:
            raise ValueError("no name")

    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            client = await backend.connect(listener.endpoint, Unnamed)
            client.transport.abortConnection()
            client.transport.write(b"abc")
            client.transport.writeSequence([b"de", b"f"])
            assert client.transport.droppedBytes == 6
            assert isinstance(await client.transport.whenClosed(), ConnectionAborted)
            client.transport.write(b"g")
            assert client.transport.droppedBytes == 7

    run(main, variant=variant, options={"sockets": sockets})
    told = [record.getMessage() for record in caplog.records if record.name == "halfclose"]
    assert len(told) == 1
    assert told[0].startswith("Unnamed: 3 bytes")


READER_GOES_AWAY = """
    import logging, os, sys
    sys.path.insert(0, {tests!r})
    import halfclose
    from core.support import Recorder, run, until

    class Notes(logging.Handler):
        def emit(self, record):
            notes.append((record.levelname, record.getMessage()))

    notes = []
    logging.getLogger("halfclose").addHandler(Notes())
    report = os.dup(1)
    source, feed = os.pipe()
    sink, outlet = os.pipe()
    os.dup2(source, 0)
    os.dup2(outlet, 1)
    os.close(source)
    os.close(outlet)

    class Client(Recorder):
        def connectionMade(self):
            super().connectionMade()
            self.transport.write(b"x" * 1_000_000)

        def writeConnectionLost(self):
            super().writeConnectionLost()
            self.pending = self.transport.droppedBytes
            self.transport.write(b"late")

    async def main(backend):
        client = await backend.connect("stdio:", Client)
        os.close(sink)
        await until(backend, lambda: "write" in client.events)
        client.transport.write(b"later")
        os.close(feed)
        reason = await client.transport.whenClosed()
        assert client.events == ["made", "write", "read", "lost"], client.events
        assert type(reason) is halfclose.ConnectionLost, reason
        assert isinstance(reason.__cause__, BrokenPipeError), reason
        assert 0 < client.pending < 1_000_000
        assert client.transport.droppedBytes == client.pending + len(b"late" + b"later")
        return client.pending

    pending = run(main, variant={variant!r})
    assert len(notes) == 1, notes
    level, message = notes[0]
    assert level == "WARNING"
    assert f" {{pending}} bytes " in message, (pending, message)
    os.write(report, b"done")
"""


def test_what_a_reader_that_went_away_has_not_read_is_warned_of(variant: str) -> None:
    """The first bytes that are dropped are the warning's, and not a late write's only."""
    code = READER_GOES_AWAY.format(tests=str(Path(__file__).parent.parent), variant=variant)
    assert python(code, warm=True) == "done"


# -- backends that are left, and that were not entered -----------------------------------------


@pytest.fixture(scope="module")
def hole() -> Iterator[int]:
    """A port that answers nothing: its queue is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(20):
            sock = stack.enter_context(socket.socket())
            sock.settimeout(0.2)
            try:
                sock.connect(server.getsockname())
            except TimeoutError:
                break
        else:
            raise AssertionError("the queue is never full")
        yield server.getsockname()[1]


@pytest.mark.parametrize("timeout", [None, 3600.0])
@pytest.mark.parametrize("what", ["address", "addresses", "lookup", "queue"])
@pytest.mark.parametrize("body", ["ends", "raises"])
def test_connecting_while_its_backend_is_left(
    variant: str,
    body: str,
    what: str,
    timeout: float | None,
    hole: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The task is not the backend's, which so cannot cancel it; connect must not wait on."""
    address = (socket.AF_INET, ("127.0.0.1", hole))
    path = tmp_path / "full"
    endpoint = {"address": f"tcp:127.0.0.1:{hole}", "queue": f"unix:{path}"}.get(
        what, f"tcp:name.example:{hole}"
    )

    async def main(outer: Backend) -> None:
        told: list[BaseException] = []
        begun: list[str] = []

        async def connect(inner: Backend) -> None:
            async def resolve(host: str, port: int) -> Addresses:
                begun.append(host)
                if what == "lookup":
                    await inner.sleep(3600)
                return [address, address]

            monkeypatch.setattr(inner, "resolve", resolve)
            if not endpoint.startswith("tcp:name"):
                begun.append("no lookup")
            try:
                await inner.connect(endpoint, never, timeout)
            except BaseException as error:
                told.append(error)
                if not isinstance(error, RuntimeError):
                    raise

        async def leave() -> None:
            async with open_backend(options={"grace": 0}) as inner:
                outer.start_soon(connect, inner)
                await until(outer, lambda: begun)
                await outer.sleep(0)
                if body == "raises":
                    raise LookupError("mine")

        for _ in range(2):
            before = descriptors()
            begun.clear()
            told.clear()
            if body == "raises":
                with pytest.raises(LookupError, match="mine"):
                    await leave()
            else:
                await leave()
            await until(outer, lambda: told, 5)
            assert "has been left" in str(told[0])
            assert type(told[0]) is RuntimeError
        assert len(descriptors()) == len(before)

    with contextlib.ExitStack() as stack:
        if what == "queue":
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            server.bind(str(path))
            server.listen(0)
            while True:
                sock = stack.enter_context(socket.socket(socket.AF_UNIX))
                sock.setblocking(False)
                if sock.connect_ex(str(path)):
                    break
        run(main, variant=variant)


def test_a_backend_that_was_not_entered(variant: str, tmp_path: Path) -> None:
    async def main(backend: Backend) -> None:
        before = descriptors()
        other = open_backend()
        for _ in range(2):
            for endpoint in ("tcp:127.0.0.1:1", f"unix:{tmp_path}/sock", "stdio:"):
                with pytest.raises(RuntimeError, match="is not entered"):
                    await other.connect(endpoint, never, 1)
            for endpoint in ("tcp:127.0.0.1:0", f"unix:{tmp_path}/sock"):
                with pytest.raises(RuntimeError, match="is not entered"):
                    await other.listen(endpoint, never)
        assert len(descriptors()) == len(before)
        assert not (tmp_path / "sock").exists()
        # It can be entered still.
        async with other:
            listener = await other.listen("tcp:127.0.0.1:0", EchoBack)
            client = await other.connect(listener.endpoint, Recorder)
            client.transport.loseWriteConnection()
            await client.transport.whenClosed()
        with pytest.raises(RuntimeError, match="has been left"):
            await other.connect("tcp:127.0.0.1:1", never, 1)
        with pytest.raises(RuntimeError, match="has been left"):
            await other.listen("tcp:127.0.0.1:0", never)

    run(main, variant=variant)


def test_a_hook_that_ends_the_program_ends_it(variant: str) -> None:
    class Impatient:
        @halfclose.hookimpl
        def halfclose_connection_made(self, transport: halfclose.Transport) -> None:
            raise SystemExit(7)

    async def main(opened: halfclose.Backend) -> None:
        async with await opened.listen("tcp:127.0.0.1:0", Recorder) as listener:
            await opened.connect(listener.endpoint, Recorder)
            await opened.sleep(10)

    plugin = Impatient()
    halfclose.register(plugin)
    try:
        with pytest.raises(SystemExit) as raised:
            halfclose.run(main, backend=variant)
    finally:
        halfclose.unregister(plugin)
    assert raised.value.code == 7


# -- ^C ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_comes_between_the_end_of_both_halves_and_its_reason(
    variant: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    clients: list[Recorder] = []
    due = [error("just then")]
    original = Connection._clean_reason

    def interrupted(connection: Connection) -> BaseException:
        if due and connection.state is State.ENDED:
            raise due.pop()
        return original(connection)

    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            clients.append(await backend.connect(listener.endpoint, Recorder))
            monkeypatch.setattr(Connection, "_clean_reason", interrupted)
            clients[0].transport.loseWriteConnection()
            await clients[0].transport.whenClosed()
            if error is KeyboardInterrupt:
                await backend.sleep(10)

    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            run(main, variant=variant)
    else:
        run(main, variant=variant)
    assert not due
    assert clients[0].events[-1] == "lost"
    assert clients[0].events.count("lost") == 1
    assert clients[0].reason is not None
