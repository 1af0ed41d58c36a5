"""TLS: the memory that a connection takes."""

from __future__ import annotations

import ctypes
import gc
import resource
import ssl
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from ...tls_options import TLSOptions
from ..channels.peers import RawPeer
from ..tools.certificates import NAME, client_context, server_context
from ..tools.data import pattern
from ..tools.harness import Net, rule
from ..tools.recorder import Recorder
from ..tools.waiting import eventually

__all__ = ["TLSMemoryRules"]

COUNT = 40
"""How many connections are made to see what one takes."""

LITTLE = 1000
"""Bytes that an end sends and receives in a handshake, roughly."""

MUCH = 1 << 19
"""Bytes of a burst: far more than what anything may hold, and written at once."""

STEP = 1 << 14
"""Bytes that an end without halfclose is given at once, so that it takes little itself."""


class _Allocated(ctypes.Structure):
    """What ``mallinfo2`` of glibc gives."""

    _fields_: ClassVar = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def memory() -> int:
    """The bytes that this process has allocated, those of OpenSSL too.

    Where the C library cannot tell, the most memory that the process ever held.
    """
    gc.collect()
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return held if sys.platform == "darwin" else 1024 * held
    mallinfo.restype = _Allocated
    allocated = mallinfo()
    return int(allocated.uordblks + allocated.hblkhd)


class End:
    """One end of TLS without halfclose, for which a record is the most that it is given at once.

    :param context: certificates and versions.
    :param server_side: which side this is.
    """

    def __init__(self, context: ssl.SSLContext, *, server_side: bool) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        name = None if server_side else NAME
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, name)
        self.ready = False
        """Whether the handshake is over."""

    def shake_hands(self, records: bytes) -> bytes:
        """Go on with the handshake after *records*, and return the answer."""
        self._incoming.write(records)
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
            self.ready = True
        return self._outgoing.read()

    def encrypted(self, data: bytes) -> bytes:
        """The records for *data*."""
        records = bytearray()
        for at in range(0, len(data), STEP):
            self._tls.write(data[at : at + STEP])
            records += self._outgoing.read()
        return bytes(records)

    def decrypted(self, records: bytes) -> int:
        """Take *records*, and return how many bytes of data they complete."""
        size = 0
        for at in range(0, len(records), STEP):
            self._incoming.write(records[at : at + STEP])
            with suppress(ssl.SSLWantReadError):
                while True:
                    size += len(self._tls.read(STEP))
        return size


class Plain(End):
    """An end without TLS, to see what a connection takes besides."""

    def __init__(self) -> None:
        self.ready = True

    def encrypted(self, data: bytes) -> bytes:
        return data

    def decrypted(self, records: bytes) -> int:
        return len(records)


@dataclass(frozen=True)
class Taken:
    """The bytes that one connection, or one end, takes.

    :param idle: while it has sent and received nothing.
    :param busy: after it has sent and received much.
    """

    idle: float
    busy: float


def bare(kept: list[End]) -> Taken:
    """What one end without halfclose takes.

    :param kept: the ends are put there, so that no other gets their memory.
    """
    server, client = server_context(), client_context()

    def make() -> None:
        kept.append(End(server, server_side=True))
        kept.append(End(client, server_side=False))
        records = b""
        for _ in range(3):
            records = kept[-2].shake_hands(kept[-1].shake_hands(records))

    make()
    before = memory()
    for _ in range(COUNT // 2):
        make()
    idle = memory() - before
    data = pattern(4 * STEP)
    for one, other in zip(kept[::2], kept[1::2], strict=True):
        other.decrypted(one.encrypted(data))
        one.decrypted(other.encrypted(data))
    return Taken(idle / COUNT, (memory() - before) / COUNT)


class TLSMemoryRules:
    """The rule TLS-21."""

    @rule("TLS-21", tls=True)
    async def test_tls_21_memory(self, net: Net) -> None:
        """An idle connection holds less than 20 KB of memory for its TLS, and less than 100 KB
        after it has sent and received any amount of data, in whatever pieces.

        Where to look: core does this. A channel should give what it has read in pieces of at most
        some hundred kilobytes, and keep no buffer while it is idle.
        """
        kept: list[End] = []
        others = bare(kept)
        without = await self._takes(net, secure=False)
        both = await self._takes(net, secure=True)
        idle = both.idle - without.idle - others.idle
        busy = both.busy - without.busy - others.busy
        assert idle < 20_000, f"an idle connection holds {idle:.0f} bytes"
        assert busy < 100_000, f"after a burst, a connection holds {busy:.0f} bytes"

    async def _takes(self, net: Net, *, secure: bool) -> Taken:
        """What our end of a connection takes, and the end of a raw peer too."""
        made: list[Recorder] = []

        def factory() -> Recorder:
            made.append(Recorder(dataReceived=lambda protocol, _: protocol.received.clear()))
            return made[-1]

        tls = TLSOptions(server_context()) if secure else None
        dial = await net.below().serve(factory, tls=tls)
        context = client_context()
        ends: list[tuple[RawPeer, End]] = []

        async def connect() -> None:
            peer = net.closing(await dial())
            end = End(context, server_side=False) if secure else Plain()
            records = b""
            while not end.ready:
                peer.send_now(end.shake_hands(records))
                records = b"" if end.ready else await peer.receive(STEP)
            ends.append((peer, end))
            assert await eventually(net, lambda: len(made) == len(ends))
            if not secure:
                # As much as a handshake, for which a framework may get a buffer.
                await self._send_and_receive(net, made[-1], *ends[-1], LITTLE)

        # With the first, everything is there that is made once, and kept.
        await connect()
        await self._send_and_receive(net, made[0], *ends[0], MUCH)
        before = memory()
        for _ in range(COUNT):
            await connect()
        idle = memory() - before
        for protocol, (peer, end) in zip(made[1:], ends[1:], strict=True):
            await self._send_and_receive(net, protocol, peer, end, MUCH)
        return Taken(idle / COUNT, (memory() - before) / COUNT)

    async def _send_and_receive(
        self, net: Net, protocol: Recorder, peer: RawPeer, end: End, size: int
    ) -> None:
        """Have both ends send so many bytes."""
        data = pattern(size)
        protocol.verb("write", data)
        received = 0
        while received < size:
            received += end.decrypted(await peer.receive(STEP))
        await peer.send(end.encrypted(data))
        await net.until(protocol, lambda: sum(protocol.chunks) == size)
        protocol.chunks.clear()
