"""A channel below TLS that takes time to send its last bytes is released in every case."""

from __future__ import annotations

import pytest
from core.support import until
from halfclose import Backend, Capabilities, ConnectionOptions
from halfclose.testing.tools.fakes import FakeChannel
from halfclose.tls.channel import TLSChannel
from halfclose.tls.contexts import server_engine
from tls.pairs import run, server_tls


class Slow(FakeChannel):
    """Has not sent its end of stream yet."""

    def end_write(self) -> bool:
        super().end_write()
        return False


def refusing(backend: Backend) -> Slow:
    """The channel below one that has sent an alert, and was aborted."""
    below, tls = Slow(Capabilities()), server_tls()
    options = ConnectionOptions(linger_timeout=0.01)
    channel = TLSChannel(backend, below, server_engine(tls), tls, options)
    channel.shake_hands(lambda error: channel.abort())
    below.handler.received(b"GET / HTTP/1.0\r\n\r\n")
    assert below.calls == ["end_write"]
    return below


def test_when_the_backend_is_left() -> None:
    channels = []

    async def main(backend: Backend) -> None:
        channels.append(refusing(backend))

    run(main, variant="memory")
    assert channels[0].calls == ["end_write", "abort"]


def test_when_time_is_over() -> None:
    async def main(backend: Backend) -> None:
        below = refusing(backend)
        await until(backend, lambda: len(below.calls) > 1)
        assert below.calls == ["end_write", "abort"]

    run(main, variant="memory")


@pytest.mark.parametrize("event", ["failed", "write_failed", "reader_gone"])
def test_when_it_fails(event: str) -> None:
    async def main(backend: Backend) -> None:
        below = refusing(backend)
        getattr(below.handler, event)(ConnectionResetError())
        assert below.calls == ["end_write", "abort"]

    run(main, variant="memory")


def test_when_all_is_sent() -> None:
    async def main(backend: Backend) -> None:
        below = refusing(backend)
        below.handler.read_ended()
        below.handler.write_ended()
        assert below.calls == ["end_write", "close"]

    run(main, variant="memory")
