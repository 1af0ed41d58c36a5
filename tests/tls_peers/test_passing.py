"""Proxies that pass TLS on and do not open it, between two of ours."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import halfclose
import pytest
from halfclose import ConnectionOptions, TLSOptions

from . import credentials
from .catalogue import PEERS
from .conversation import connect
from .ports import free_port
from .relays import haproxy, nginx
from .setting import ANSWER, LATE, QUESTION, Setting


def by_haproxy(setting: Setting, port: int) -> None:
    haproxy(setting, "tcp", f"127.0.0.1:{setting.port}", f"127.0.0.1:{port}")


def by_nginx(setting: Setting, port: int) -> None:
    """Without proxy_half_close, since no end of stream goes by before the end of all."""
    server = f"listen 127.0.0.1:{setting.port}; proxy_pass 127.0.0.1:{port};"
    nginx(setting, f"stream {{ server {{ {server} }} }}")


class Side(halfclose.HalfCloseableProtocol):
    def __init__(self, asks: bool) -> None:
        self.asks = asks
        self.received = b""
        self.whole = False

    def connectionMade(self) -> None:
        if self.asks:
            self.transport.write(QUESTION)
            self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def readConnectionLost(self) -> None:
        self.whole = True
        if not self.asks:
            self.transport.backend.call_later(LATE, self.answer)

    def answer(self) -> None:
        self.transport.write(ANSWER)
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass


@pytest.mark.parametrize("version", credentials.VERSIONS)
@pytest.mark.parametrize(
    ("name", "proxy"),
    [("haproxy", by_haproxy), ("nginx, stream", by_nginx)],
    ids=["haproxy", "nginx"],
)
def test_a_late_answer_comes_through(
    name: str, proxy: Callable[[Setting, int], None], version: str, tmp_path: Path
) -> None:
    (peer,) = (peer for peer in PEERS if peer.name == name)
    if peer.missing is not None:
        pytest.skip(peer.missing)
    credentials.make(tmp_path)
    asking, answering = Side(True), Side(False)

    async def converse(backend: halfclose.AbstractBackend) -> None:
        def options(*, server_side: bool) -> ConnectionOptions:
            context = credentials.context(tmp_path, version, server_side=server_side)
            return ConnectionOptions(tls=TLSOptions(context, server_hostname="localhost"))

        async with await backend.listen(
            "tls:127.0.0.1:0", lambda: answering, options(server_side=True)
        ) as listener:
            assert isinstance(listener.endpoint, halfclose.TLS)
            proxy(setting, listener.endpoint.port)
            await connect(backend, setting.port, asking, options(server_side=False))
            for side in (asking, answering):
                reason = await side.transport.whenClosed()
                assert isinstance(reason, halfclose.ConnectionDone), reason

    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor())
        said = threading.Event(), threading.Event()
        setting = Setting("server", "answers", free_port(), tmp_path, tmp_path, *said, pool, stack)
        halfclose.run(converse, backend="anyio+asyncio")
    assert (answering.received, answering.whole) == (QUESTION, True)
    assert (asking.received, asking.whole) == (ANSWER, True)
