"""The kit's raw peers, where the other end is gone already."""

from __future__ import annotations

import select
import socket
import struct

import halfclose
import pytest
from halfclose.testing import SocketPeer


@pytest.mark.parametrize("verb", ["reset", "close"])
def test_a_peer_that_was_reset_is_ended_all_the_same(verb: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    other.close()
    poll = select.poll()
    poll.register(sock, 0)
    assert poll.poll(20_000)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    async def main(backend: halfclose.Backend) -> None:
        getattr(SocketPeer(backend, sock), verb)()

    halfclose.run(main, backend="memory")
    assert sock.fileno() == -1
