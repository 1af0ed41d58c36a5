"""^C on trio: it comes to the main task, and not into the middle of a connection."""

from __future__ import annotations

import gc
import signal
import sys
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

import halfclose
import halfclose.io.socket_channel
import halfclose_anyio.channel
import pytest
import trio
from core.support import LIMIT, Recorder, until
from halfclose import Backend, ConnectionAborted, open_backend
from halfclose_anyio.backend import AnyioBackend

both_ways = pytest.mark.parametrize("sockets", ["poller", "native"])

CHANNELS: dict[str, Any] = {
    "poller": halfclose.io.socket_channel.SocketChannel,
    "native": halfclose_anyio.channel.StreamChannel,
}


def interrupt() -> None:
    """^C, here and now."""
    signal.raise_signal(signal.SIGINT)


def by_run(main: Callable[..., Any], options: dict[str, Any]) -> None:
    halfclose.run(main, backend="anyio+trio", options=options)


def by_open_backend(main: Callable[..., Any], options: dict[str, Any]) -> None:
    async def body() -> None:
        async with open_backend(options=options) as backend:
            await main(backend)

    trio.run(body)


HOSTS = {"run": by_run, "open_backend": by_open_backend}

Run = Callable[[Callable[..., Any], dict[str, Any]], None]

each_host = pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)


@each_host
@both_ways
@pytest.mark.parametrize("method", ["write", "end_write", "abort", "pause_reading"])
def test_inside_a_channels_method(
    host: Run, sockets: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The method, and the event that called for it, come to their end; then the program does."""
    channel = CHANNELS[sockets]
    original = getattr(channel, method)
    interrupted: list[str] = []

    def interrupting(self: Any, *args: Any) -> Any:
        if self is server.transport.channel and not interrupted:  # type: ignore[attr-defined]
            interrupted.append("in the method")
            interrupt()
            interrupted.append("after it")
        return original(self, *args)

    monkeypatch.setattr(channel, method, interrupting)

    class Server(Recorder):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            match method:
                case "write":
                    self.transport.write(b"x")
                case "end_write":
                    self.transport.loseWriteConnection()
                case "abort":
                    self.transport.abortConnection()
                case "pause_reading":
                    self.transport.pauseProducing()
            interrupted.append("after the verb")

    class Client(Recorder):
        def readConnectionLost(self) -> None:
            super().readConnectionLost()
            self.transport.loseConnection()

    server, client = Server(), Client()

    async def main(backend: Backend) -> None:
        listener = await backend.listen("tcp:127.0.0.1:0", lambda: server)
        await backend.connect(listener.endpoint, lambda: client)
        client.transport.write(b"x")
        await backend.sleep(LIMIT)

    with pytest.raises(KeyboardInterrupt):
        host(main, {"sockets": sockets})
    assert sorted(interrupted) == ["after it", "after the verb", "in the method"]
    for protocol in (server, client):
        assert protocol.events.count("lost") == 1
        assert protocol.events[-1] == "lost"
        assert protocol.transport.state.value == "closed"


WAYS: dict[str, Callable[[Backend, Callable[[], None]], object]] = {
    "call_soon": lambda backend, function: backend.call_soon(function),
    "call_later": lambda backend, function: backend.call_later(0.001, function),
    "call_soon_threadsafe": lambda backend, function: backend.call_soon_threadsafe(function),
}


@each_host
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_inside_a_call(host: Run, way: Callable[[Backend, Callable[[], None]], object]) -> None:
    went_on: list[bool] = []

    def function() -> None:
        interrupt()
        went_on.append(True)

    async def main(backend: Backend) -> None:
        way(backend, function)
        await backend.sleep(LIMIT)

    with pytest.raises(KeyboardInterrupt):
        host(main, {})
    assert went_on == [True]


@each_host
def test_inside_a_task_of_the_programs(host: Run) -> None:
    """Into that it comes at once, as into any code of the program's that trio runs."""
    went_on: list[bool] = []

    async def task() -> None:
        interrupt()
        went_on.append(True)

    async def main(backend: Backend) -> None:
        backend.start_soon(task)
        await backend.sleep(LIMIT)

    with pytest.raises(KeyboardInterrupt):
        host(main, {})
    assert went_on == []


@both_ways
def test_an_event_that_does_not_return(sockets: str) -> None:
    """The second ^C ends it, where the run is ours."""
    turns: list[int] = []

    class Stuck(Recorder):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            while len(turns) < 5:
                turns.append(1)
                interrupt()

    server = Stuck()

    async def main(backend: Backend) -> None:
        listener = await backend.listen("tcp:127.0.0.1:0", lambda: server)
        client = await backend.connect(listener.endpoint, Recorder)
        client.transport.write(b"x")
        await backend.sleep(LIMIT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        halfclose.run(main, backend="anyio+trio", options={"sockets": sockets})
    assert len(turns) == 2
    assert server.events == ["made", "data", "lost"]
    assert isinstance(server.reason, KeyboardInterrupt)
    assert signal.getsignal(signal.SIGINT) is before


def test_two_of_them_in_different_events() -> None:
    """The second one of a person who is not patient comes to the main task too."""
    ended: list[str] = []

    async def main(backend: Backend) -> None:
        backend.call_soon(interrupt)
        try:
            await backend.sleep(LIMIT)
        finally:
            backend.call_soon(interrupt)
            try:
                await backend.sleep(LIMIT)
            finally:
                ended.append("clean")

    with pytest.raises(KeyboardInterrupt):
        halfclose.run(main, backend="anyio+trio")
    assert ended == ["clean"]


def test_a_handler_of_the_programs_is_left_alone() -> None:
    heard: list[int] = []

    def handler(number: int, frame: object) -> None:
        heard.append(number)

    async def main(backend: Backend) -> str:
        interrupt()
        backend.call_soon(interrupt)
        await until(backend, lambda: len(heard) == 2)
        assert signal.getsignal(signal.SIGINT) is handler
        return "went on"

    before = signal.signal(signal.SIGINT, handler)
    try:
        assert halfclose.run(main, backend="anyio+trio") == "went on"
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_leaving_goes_on_when_it_is_interrupted() -> None:
    """^C while the backend waits for its connections aborts them."""

    class Deaf(Recorder):
        def connectionMade(self) -> None:
            self.transport.pauseProducing()

    client = Recorder()

    async def main(peers: Backend) -> None:
        listener = await peers.listen("tcp:127.0.0.1:0", Deaf)
        async with open_backend(options={"grace": 3600}) as backend:
            await backend.connect(listener.endpoint, lambda: client)
            client.transport.write(b"x" * 30_000_000)
            peers.call_later(0.01, interrupt)

    with pytest.raises(KeyboardInterrupt):
        halfclose.run(main, backend="anyio+trio")
    assert type(client.reason) is ConnectionAborted


# -- what trio itself leaves open --------------------------------------------------------------


def protected(original: Callable[..., Any], seen: list[bool]) -> Callable[..., Any]:
    """*original*, noting whether ^C would have to wait for its end."""

    def noting(*args: Any, **options: Any) -> Any:
        seen.append(trio.lowlevel.currently_ki_protected())
        return original(*args, **options)

    return noting


def test_waiting_for_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in its midst, the task would be woken after its end: TrioInternalError."""
    seen: list[bool] = []

    async def main(backend: Backend) -> None:
        event = backend.create_event()
        monkeypatch.setattr(trio.Event, "wait", protected(trio.Event.wait, seen))
        backend.call_soon(event.set)
        await event.wait()
        monkeypatch.undo()
        assert not trio.lowlevel.currently_ki_protected()

    by_run(main, {})
    assert seen
    assert all(seen)


def test_what_connecting_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in its midst, trio would count a task that never runs."""
    seen: list[bool] = []

    async def main(backend: Backend) -> None:
        listener = await backend.listen("tcp:127.0.0.1:0", Recorder)
        start_soon = protected(trio.Nursery.start_soon, seen)
        monkeypatch.setattr(trio.Nursery, "start_soon", start_soon)
        await backend.connect(listener.endpoint, Recorder)
        monkeypatch.undo()

    by_run(main, {"sockets": "native"})
    assert seen
    assert all(seen)


def test_a_backend_that_is_freed_calls_no_python() -> None:
    """^C in such a call is told to nobody, and lost."""
    called: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            called.append(frame.f_code.co_filename)

    # What others have left is not freed meanwhile: a first round may leave more for a second.
    for _ in range(3):
        gc.collect()
    backend = AnyioBackend("anyio+trio")
    freed = weakref.ref(backend)
    sys.setprofile(note)
    try:
        del backend
        gc.collect()
    finally:
        sys.setprofile(None)
    assert freed() is None
    assert not [name for name in called if "weakref" in name], called
