"""A peer of `ssl` alone in a network in memory."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress

from halfclose.memory import End
from tls.support import NAME, client_context, server_context


class Peer:
    """The other side of a connection, by `ssl` alone.

    :param context: by default one that tests share.
    :param spoil: makes what goes over the wire from what the peer has to send.
    """

    def __init__(
        self,
        end: End,
        *,
        server_side: bool,
        version: ssl.TLSVersion | None = None,
        context: ssl.SSLContext | None = None,
        spoil: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self.end = end
        self.server_side = server_side
        self.first_sent = b""
        self.first_received = b""
        self._spoil = spoil
        self._incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        if context is None:
            context = server_context(version) if server_side else client_context(version)
        self.tls = context.wrap_bio(
            self._incoming, self.outgoing, server_side, None if server_side else NAME
        )

    async def flush(self) -> None:
        """Send what there is to send."""
        if self.outgoing.pending:
            data = self.outgoing.read()
            self.first_sent = self.first_sent or data
            await self.end.send_all(self._spoil(data))

    async def _fetch(self) -> None:
        """Wait for more input.

        :raises EOFError: there is no more.
        """
        data = await self.end.receive()
        if not data:
            raise EOFError("the other side has ended its stream")
        self.first_received = self.first_received or data
        self._incoming.write(data)

    async def shake_hands(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self.flush()
                await self._fetch()
            except ssl.SSLError:
                await self.flush()
                raise
        await self.flush()

    async def send(self, data: bytes) -> None:
        self.tls.write(data)
        await self.flush()

    async def end_write(self) -> None:
        """Send close_notify."""
        kept = self._incoming.read()
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self._incoming.write(kept)
        await self.flush()

    async def read(self) -> bytes:
        """The next data; ``b""`` at the other side's close_notify.

        :raises EOFError: its stream has ended without one.
        """
        while True:
            try:
                return self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                await self.flush()
                await self._fetch()
            except ssl.SSLZeroReturnError:
                return b""

    async def read_all(self) -> bytes:
        """All data until the other side's close_notify.

        :raises EOFError: its stream has ended without one.
        """
        data = b""
        while piece := await self.read():
            data += piece
        return data
