"""What one end's loss means for those that produced for it, or for which it produced."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import halfclose
import pytest
from cli.support import read_to_end, reset
from core.support import LIMIT, VARIANTS, Recorder, run, until
from halfclose import Backend, ConnectionAborted, ConnectionDone, ConnectionOptions

each_variant = pytest.mark.parametrize("variant", VARIANTS)


@asynccontextmanager
async def connected(
    backend: Backend, count: int, **options: Any
) -> AsyncIterator[list[tuple[Recorder, socket.socket]]]:
    """So many connections, and the raw peer of each."""
    made = []
    try:
        for _ in range(count):
            with socket.create_server(("127.0.0.1", 0)) as listening:
                endpoint = f"tcp:127.0.0.1:{listening.getsockname()[1]}"
                recorder = await backend.connect(
                    endpoint, Recorder, options=ConnectionOptions(**options)
                )
                made.append((recorder, listening.accept()[0]))
        yield made
    finally:
        for _, peer in made:
            peer.close()


def rest(peer: socket.socket) -> tuple[bytes, str]:
    """What is to be read at once, and how it ends."""
    peer.settimeout(LIMIT)
    return read_to_end(peer)


class Noted:
    """A producer that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


@each_variant
def test_one_that_is_closed_after_its_failure_cuts_off_who_waits_for_it(variant: str) -> None:
    async def main(backend: Backend) -> None:
        async with connected(backend, 2) as ((source, its_peer), (sink, peer)):
            sink.transport.registerProducer(source.transport, True)
            source.transport.registerProducer(sink.transport, True)
            source.transport.pauseProducing()
            sink.transport.write(b"half")
            sink.transport.loseConnection()
            its_peer.send(b"the other half")
            reset(its_peer)
            while source.transport.failure is None:
                source.transport.write(b"x")
            source.transport.loseConnection()
            await until(backend, lambda: sink.reason is not None)
            assert type(sink.reason) is ConnectionAborted
            assert rest(peer) == (b"half", "reset")

    run(main, variant=variant)


@each_variant
def test_one_that_is_cut_off_cuts_off_who_waits_for_it(variant: str) -> None:
    async def main(backend: Backend) -> None:
        async with connected(backend, 3) as ((source, _), (sink, peer), (other, gone)):
            sink.transport.registerProducer(source.transport, True)
            other.transport.registerProducer(source.transport, True)
            sink.transport.write(b"half")
            sink.transport.loseConnection()
            reset(gone)
            await until(backend, lambda: sink.reason is not None)
            assert type(source.reason) is ConnectionAborted
            assert type(sink.reason) is ConnectionAborted
            assert rest(peer) == (b"half", "reset")

    run(main, variant=variant)


@each_variant
def test_who_has_produced_before_is_none_of_the_next_producers_affairs(variant: str) -> None:
    async def main(backend: Backend) -> None:
        async with connected(backend, 2) as ((source, its_peer), (sink, peer)):
            sink.transport.registerProducer(source.transport, True)
            its_peer.shutdown(socket.SHUT_WR)
            await until(backend, lambda: "read" in source.events)
            producer = Noted()
            sink.transport.registerProducer(producer, True)
            reset(peer)
            await until(backend, lambda: sink.reason is not None)
            assert producer.told == ["stop"]
            assert source.reason is None
            source.transport.abortConnection()

    run(main, variant=variant)


@each_variant
def test_a_producer_that_is_refused_is_told_also_where_no_turn_follows(variant: str) -> None:
    producer = Noted()

    async def main(backend: Backend) -> None:
        async with connected(backend, 1) as ((recorder, _),):
            recorder.transport.abortConnection()
            await recorder.transport.whenClosed()
            recorder.transport.registerProducer(producer, True)

    run(main, variant=variant)
    assert producer.told == ["stop"]


@each_variant
def test_what_is_begun_while_a_backend_is_left_is_asked_to_end_too(variant: str) -> None:
    late: list[Recorder] = []
    peers: list[socket.socket] = []

    async def main(backend: Backend) -> float:
        first = await backend.connect(endpoint, Recorder, options=options)
        # It ends nothing until the run is over.
        peers.append(server.accept()[0])

        async def connect() -> None:
            await first.transport.whenClosed()
            late.append(await backend.connect(endpoint, Recorder, options=options))

        backend.start_soon(connect)
        await backend.sleep(0)
        return time.monotonic()

    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"tcp:127.0.0.1:{server.getsockname()[1]}"
        options = ConnectionOptions(linger_timeout=0.3)
        left_at = halfclose.run(main, backend=variant, options={"grace": 10})
        seconds = time.monotonic() - left_at
        peers[0].close()
    assert [type(each.reason) for each in late] == [ConnectionDone]
    assert seconds < 5, "it waited for all of the grace"


@each_variant
@pytest.mark.parametrize("sockets", ["poller", "native"])
def test_a_factory_that_fails_is_told_of_in_the_listeners_context(
    variant: str, sockets: str, caplog: pytest.LogCaptureFixture
) -> None:
    whose = ContextVar("whose", default="nobody's")
    seen: list[str] = []

    def note(record: object) -> bool:
        seen.append(whose.get())
        return True

    caplog.handler.addFilter(note)

    def factory() -> Recorder:
        raise ValueError("no protocol")

    async def main(backend: Backend) -> None:
        # Somebody else uses the backend first.
        async with connected(backend, 1):
            whose.set("the listener's")
            async with await backend.listen("tcp:127.0.0.1:0", factory) as listener:
                whose.set("the program's")
                assert isinstance(listener.endpoint, halfclose.TCP)
                address = (listener.endpoint.host, listener.endpoint.port)
                with socket.create_connection(address):
                    await until(backend, lambda: seen)

    run(main, variant=variant, options={"sockets": sockets})
    assert seen == ["the listener's"]
