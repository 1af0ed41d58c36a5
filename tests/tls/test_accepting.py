"""A channel without TLS is not taken for one with it."""

from __future__ import annotations

import socket

import halfclose
import pytest
from halfclose import Backend, ConnectionOptions, Protocol, TLSOptions
from tls.support import server_context


def test_options_that_ask_for_tls_are_not_overlooked() -> None:
    async def main(backend: Backend) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        channel = backend.driver.channel(ours)
        options = ConnectionOptions(tls=TLSOptions(server_context()))
        with theirs, pytest.raises(ValueError, match="speaks no TLS, which the options ask for"):
            backend.accept(channel, Protocol, options)
        assert ours.fileno() < 0

    halfclose.run(main, backend="anyio+asyncio")
