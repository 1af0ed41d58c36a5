"""The types of channel on which the rules run: those of the kit, with a shorter farewell."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from halfclose import Backend, ConnectionOptions, ProtocolFactory
from halfclose.testing import ChannelType, Dial, PollerTCP, PollerUnix, RawPeer, Stdio
from halfclose.testing.channels.pipes import install_pipes, preserved_descriptors

from .stock import StockTransport, attached

__all__ = ["SOCKETS", "SOCKETS_AND_STDIO"]


class StockStdio(Stdio):
    """Standard input and output, of which the end is not waited for: it may never come."""

    @asynccontextmanager
    async def serve(
        self, backend: Backend, factory: ProtocolFactory, options: ConnectionOptions
    ) -> AsyncIterator[Dial]:
        made: list[StockTransport] = []

        async def connect() -> RawPeer:
            _occupy()
            peer = install_pipes(backend)
            before = set(attached)
            try:
                await backend.connect("stdio:", factory, options=options)
            except BaseException:
                peer.close()
                raise
            made.extend(set(attached) - before)
            return peer

        _occupy()
        with preserved_descriptors():
            try:
                yield connect
            finally:
                for transport in made:
                    transport.discard()
                # A framework may need some turns of the loop to let go of its descriptors.
                await backend.sleep(0.01)


def _occupy() -> None:
    """Let no other file become descriptor 0 or 1 where a framework has closed them."""
    while (null := os.open(os.devnull, os.O_RDWR)) <= 1:
        pass
    os.close(null)


SOCKETS: tuple[ChannelType, ...] = (PollerTCP(), PollerUnix())
"""Of a framework that has no stream for standard input and output."""

SOCKETS_AND_STDIO: tuple[ChannelType, ...] = (*SOCKETS, StockStdio())
"""Of one that has."""
