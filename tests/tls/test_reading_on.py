"""A framework that reads on although it is paused: what comes is kept, at little cost."""

from __future__ import annotations

import time

from core.support import until
from halfclose import Backend, Capabilities, Connection, ConnectionOptions
from halfclose.testing.tools.fakes import FakeChannel
from halfclose.tls.channel import TLSChannel
from halfclose.tls.contexts import client_engine, server_engine
from tls.pairs import NAME, Noted, client_tls, run, server_tls

RECORD = bytes(range(256)) * 60
COUNT = 512
PIECE = 512


def test_many_pieces_are_kept_in_order() -> None:
    async def main(backend: Backend) -> None:
        below, tls = FakeChannel(Capabilities(bounds_input=False)), client_tls()
        channel = TLSChannel(backend, below, client_engine(tls, NAME), tls, ConnectionOptions())
        over: list[Exception | None] = []
        channel.shake_hands(over.append)
        server = server_engine(server_tls())
        while not over:
            server.incoming.write(bytes(below.sent))
            below.sent.clear()
            server.handshake()
            below.handler.received(server.produced())
        server.incoming.write(bytes(below.sent))
        assert server.handshake()
        protocol = Noted()
        connection = Connection(backend, channel, ConnectionOptions())
        connection.attach(protocol)
        connection.pauseProducing()
        sent = b"".join(server.encrypt(RECORD) for _ in range(COUNT))
        begun = time.process_time()
        for at in range(0, len(sent), PIECE):
            below.handler.received(sent[at : at + PIECE])
        # Were they joined anew for each, it would be dozens of seconds.
        assert time.process_time() - begun < 2
        assert not protocol.data
        connection.resumeProducing()
        await until(backend, lambda: len(protocol.data) == len(RECORD) * COUNT)
        assert bytes(protocol.data) == RECORD * COUNT
        connection.abortConnection()

    run(main, variant="memory")
