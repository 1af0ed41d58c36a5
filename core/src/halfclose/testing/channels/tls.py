"""A raw peer that speaks TLS over another raw peer.

It is written with `ssl` alone, and shares no code with ``halfclose.tls``, which it judges.
"""

from __future__ import annotations

import ssl
from contextlib import suppress

from ...backend import Backend
from ...endpoints import Endpoint
from ..tools.certificates import NAME
from .peers import LIMIT, RawPeer

__all__ = ["TLSPeer"]

_READ = 1 << 18
"""Bytes that are read below at most at once."""

_RECORD = 16384
"""Bytes that a record holds."""


class TLSPeer(RawPeer):
    """Speaks TLS over the raw peer *below*. Call `handshake` first.

    Its end of stream is close_notify, without an end of stream below; that one follows once the
    other end's close_notify was read, too. An end or a reset below that comes before the other
    end's close_notify is a reset.

    :param backend: the backend in whose loop the test waits for this peer.
    :param below: the raw peer whose stream carries the records, which is this one's from now on.
    :param context: certificates and versions, for the side that this is.
    :param server_side: whether this is the server.
    """

    def __init__(
        self,
        backend: Backend,
        below: RawPeer,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
    ) -> None:
        self.below = below
        """The raw peer that carries the records."""
        super().__init__(backend)
        self.incoming = ssl.MemoryBIO()
        """Records that came, and were not decrypted yet."""
        self.outgoing = ssl.MemoryBIO()
        """Records that are to be sent, before `flush`."""
        self.tls: ssl.SSLObject = context.wrap_bio(
            self.incoming, self.outgoing, server_side, None if server_side else NAME
        )
        """The TLS itself."""
        # Records that the peer below has not taken yet, and whether a task waits to send them.
        self._unsent = b""
        self._sends = False
        # What was decrypted and not given yet, and what comes after it.
        self._plain = bytearray()
        self._ended = False
        self._failure: OSError | None = None
        self._shut = False
        self._closed = False

    @property
    def backend(self) -> Backend:
        """The backend in whose loop the test waits; it may be replaced."""
        return self.below.backend

    @backend.setter
    def backend(self, backend: Backend) -> None:
        self.below.backend = backend

    async def handshake(self, *, hold: bool = False) -> None:
        """Do the handshake.

        :param hold: leave what this side sends last in `outgoing`.
        :raises ssl.SSLError: it failed.
        :raises ConnectionResetError: the other end has ended or reset the connection.
        """
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
            except ssl.SSLError:
                with suppress(OSError):
                    self.flush()
                raise
            else:
                if not hold:
                    self.flush()
                # The other end may have sent more than the handshake already.
                self._decrypt()
                return
            records = await self.below.receive(_READ)
            if not records:
                raise ConnectionResetError("the other end has ended the handshake")
            self.incoming.write(records)

    # -- records -------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send the records that `outgoing` holds; those that do not fit are sent by a task.

        :raises ConnectionError: the other end is gone.
        """
        if self.outgoing.pending:
            self._unsent += self.outgoing.read()
        if self._unsent:
            self._unsent = self._unsent[self.below.send_some(self._unsent) :]
        if self._unsent and not (self._sends or self._closed):
            self._sends = True
            self.backend.start_soon(self._send_rest)

    async def _send_rest(self) -> None:
        pause = 0.001
        with suppress(OSError):
            while self._unsent and not self._closed:
                await self.backend.sleep(pause)
                pause = min(2 * pause, 0.02)
                self._unsent = self._unsent[self.below.send_some(self._unsent) :]
        self._sends = False
        self._end_below()

    def _take(self, records: bytes) -> None:
        """Decrypt *records*, which came from below; empty ones are the end of the stream below."""
        if records:
            self.incoming.write(records)
            self._decrypt()
        elif self._failure is None:
            self._failure = ConnectionResetError("the stream below ended without close_notify")

    def _decrypt(self) -> None:
        while not (self._ended or self._failure):
            try:
                data = self.tls.read(_READ)
            except ssl.SSLWantReadError:
                return
            except ssl.SSLZeroReturnError:
                data = b""
            except ssl.SSLError as error:
                self._failure = error
                return
            self._plain += data
            if not data:
                self._ended = True
                self._end_below()

    def _given(self, limit: int) -> bytes | None:
        """Up to *limit* bytes of what was decrypted; ``b""`` at the end; None: nothing is there."""
        if self._plain:
            data = bytes(self._plain[:limit])
            del self._plain[:limit]
            return data
        if self._ended:
            return b""
        if self._failure is not None:
            raise self._failure
        return None

    # -- at once -------------------------------------------------------------------------------

    def send_some(self, data: bytes) -> int:
        self.flush()
        taken = 0
        while taken < len(data) and not self._unsent:
            taken += self.tls.write(data[taken : taken + _RECORD])
            self.flush()
        return taken

    def receive_now(self, limit: int) -> bytes | None:
        while (data := self._given(limit)) is None:
            records = self.below.receive_now(min(limit, _READ))
            if records is None:
                return None
            self._take(records)
        return data

    def rest(self) -> tuple[bytes, str]:
        records, _ = self.below.rest()
        self._take(records)
        return bytes(self._plain), "eof" if self._ended else "reset"

    def shutdown(self) -> None:
        if not self._shut:
            self._shut = True
            # This also tries to read the other end's close_notify.
            with suppress(ssl.SSLWantReadError):
                self.tls.unwrap()
            self.flush()
            self._end_below()

    def _end_below(self) -> None:
        """End the stream below if both ends have ended their halves, as every program does."""
        if self._shut and self._ended and not (self._unsent or self._closed):
            with suppress(OSError):
                self.below.shutdown()

    def stop_reading(self) -> None:
        self.below.stop_reading()

    def reset(self) -> None:
        self._closed = True
        self.below.reset()

    def reset_unseen(self) -> None:
        self._closed = True
        self.below.reset_unseen()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            # As every program does that closes its TLS; without it, the data would look cut off.
            with suppress(OSError):
                self.shutdown()
        self.below.close()

    def drop(self) -> None:
        self._closed = True
        self.below.close()

    # -- what is known -------------------------------------------------------------------------

    @property
    def address(self) -> Endpoint:
        return self.below.address

    @property
    def other_address(self) -> Endpoint:
        return self.below.other_address

    def holdings(self) -> set[object]:
        return self.below.holdings()

    def unread(self) -> int:
        """How many bytes were decrypted, and how many of records are unread below."""
        return len(self._plain) + self.below.unread()

    def narrow(self, size: int) -> None:
        self.below.narrow(size)

    # -- waiting -------------------------------------------------------------------------------

    async def send(self, data: bytes) -> int:
        await self._until_sent()
        sent = 0
        while sent < len(data):
            piece = data[sent : sent + _READ]
            for start in range(0, len(piece), _RECORD):
                self.tls.write(piece[start : start + _RECORD])
            records = self.outgoing.read()
            taken = await self.below.send(records)
            if taken < len(records):
                # The other end is gone: as many bytes as the part of the records held.
                return sent + len(piece) * taken // len(records)
            sent += len(piece)
        return sent

    async def _until_sent(self) -> None:
        """Wait until the other end has taken what `send_some` has left."""
        end = self.backend.time() + LIMIT
        while self._unsent and self._sends:
            assert self.backend.time() < end, f"{len(self._unsent)} bytes were not taken"
            await self.backend.sleep(0.001)

    async def until_input(self) -> None:
        if not (self._plain or self._ended or self._failure):
            await self.below.until_input()

    async def receive(self, limit: int) -> bytes:
        while (data := self._given(limit)) is None:
            # No more than that, so that a peer that reads slowly also does so below.
            self._take(await self.below.receive(min(limit, _READ)))
        return data
