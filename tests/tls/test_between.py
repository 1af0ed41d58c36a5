"""What happens to a client's channel in its handshake, and before its connection is made.

Turns of the loop may lie between them, since a task waits for the handshake.
"""

from __future__ import annotations

import pytest
from core.support import until
from halfclose import Backend, Capabilities, Connection, ConnectionLost, ConnectionOptions
from halfclose.testing.tools.fakes import FakeChannel
from halfclose.tls.channel import TLSChannel
from halfclose.tls.contexts import client_engine, server_engine
from tls.pairs import NAME, Noted, client_tls, run, server_tls


@pytest.mark.parametrize("event", ["write_failed", "reader_gone", "writable"])
def test_a_failed_send_is_told_to_the_connection(event: str) -> None:
    """Input that came before, such as the alert that says why, is delivered all the same."""
    error = ConnectionResetError("no room to send")

    async def main(backend: Backend) -> None:
        tls, options = client_tls(), ConnectionOptions()
        # What is sent last, in the handshake, has to wait.
        below = FakeChannel(Capabilities(), room=None if event != "writable" else 600)
        channel = TLSChannel(backend, below, client_engine(tls, NAME), tls, options)
        over: list[Exception | None] = []
        channel.shake_hands(over.append)
        server = server_engine(server_tls())
        server.incoming.write(bytes(below.sent))
        hello = len(below.sent)
        server.handshake()
        if event == "writable":
            below.make_room(10)
        below.handler.received(server.produced())
        assert over == [None]
        assert channel.get_tls() is not None
        if event == "writable":
            below.error = error
            below.make_room(1000)
        else:
            getattr(below.handler, event)(error)
        protocol = Noted()
        connection = Connection(backend, channel, options)
        connection.attach(protocol)
        await until(backend, lambda: connection.failure is not None)
        if event != "writable":
            server.incoming.write(bytes(below.sent[hello:]))
            assert server.handshake()
            below.handler.received(server.encrypt(b"why"))
            await until(backend, lambda: protocol.data == b"why")
        below.handler.failed(ConnectionResetError("and then a reset"))
        reason = await connection.whenClosed()
        assert type(reason) is ConnectionLost
        assert reason.__cause__ is error

    run(main, variant="memory")


def test_a_pipe_that_nobody_reads_ends_the_handshake() -> None:
    """Its other half may stay open for as long as it likes."""
    error = BrokenPipeError("nobody reads")

    async def main(backend: Backend) -> None:
        tls = client_tls()
        below = FakeChannel(Capabilities())
        channel = TLSChannel(backend, below, client_engine(tls, NAME), tls, ConnectionOptions())
        over: list[Exception | None] = []
        channel.shake_hands(over.append)
        below.handler.reader_gone(error)
        assert over == [error]
        channel.abort()

    run(main, variant="memory")
