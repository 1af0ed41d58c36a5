"""The names under which Twisted's protocols ask a transport for its state."""

from __future__ import annotations

from typing import Any

import halfclose
import pytest
from halfclose import Backend, State

from .support import VARIANTS, EchoBack, Recorder, run


class Noting(Recorder):
    """Notes what the transport says in each event."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[str, bool, bool, bool]] = []

    def note(self, event: str) -> None:
        transport = self.transport
        self.noted.append(
            (event, transport.connected, transport.disconnecting, transport.disconnected)
        )

    def connectionMade(self) -> None:
        super().connectionMade()
        self.note("made")

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self.note("read")
        self.transport.loseConnection()
        self.note("closing")

    def connectionLost(self, reason: BaseException) -> None:
        super().connectionLost(reason)
        self.note("lost")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("sockets", ["poller", "native"])
def test_the_state_by_twisteds_names(variant: str, sockets: str) -> None:
    async def main(backend: Backend) -> None:
        protocol = Noting()
        waiting = [Recorder(), protocol]
        async with await backend.listen("tcp:127.0.0.1:0", waiting.pop) as listener:
            client = await backend.connect(listener.endpoint, Recorder)
            transport: Any = client.transport
            for get, set_ in (
                (transport.getTcpNoDelay, transport.setTcpNoDelay),
                (transport.getTcpKeepAlive, transport.setTcpKeepAlive),
            ):
                for enabled in (True, False, True):
                    set_(enabled)
                    assert get() is enabled
            transport.loseWriteConnection()
            await transport.whenClosed()
            await protocol.transport.whenClosed()
            aborted = await backend.connect(listener.endpoint, Recorder)
            aborted.transport.abortConnection()
            assert aborted.transport.disconnecting
            assert not aborted.transport.disconnected
            await aborted.transport.whenClosed()
            assert aborted.transport.disconnected
            assert transport.getTcpNoDelay() is transport.getTcpKeepAlive() is False
        assert protocol.transport.state is State.CLOSED
        assert protocol.noted[:4] == [
            ("made", True, False, False),
            ("read", True, False, False),
            ("closing", True, True, False),
            ("lost", False, True, True),
        ]

    run(main, variant=variant, options={"sockets": sockets})


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("sockets", ["poller", "native"])
def test_where_there_is_no_tcp(variant: str, sockets: str, tmp_path: Any) -> None:
    async def main(backend: Backend) -> None:
        async with await backend.listen(f"unix:{tmp_path}/s", EchoBack) as listener:
            client = await backend.connect(listener.endpoint, Recorder)
            client.transport.setTcpNoDelay(True)
            assert client.transport.getTcpNoDelay() is False
            assert client.transport.getTcpKeepAlive() is False
            client.transport.loseConnection()
            await client.transport.whenClosed()

    run(main, variant=variant, options={"sockets": sockets})


def test_another_librarys_protocol_is_told_what_to_do() -> None:
    class Foreign:
        def makeConnection(self, transport: object) -> None: ...

    async def main(backend: Backend) -> None:
        await backend.listen("memory:name", halfclose.Protocol)
        with pytest.raises(TypeError, match=r"derive the class from halfclose\.Protocol"):
            await backend.connect("memory:name", Foreign)  # type: ignore[type-var]
        with pytest.raises(TypeError) as caught:
            await backend.connect("memory:name", object)  # type: ignore[type-var]
        assert "derive" not in str(caught.value)

    halfclose.run(main, backend="memory")
