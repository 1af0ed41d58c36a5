"""Records that no library would send: any type, any content, at any time, under the right keys.

The peer's handshake is done by `ssl`, which tells the secrets in its key log. From then on what the
peer sends is encrypted here (RFC 8446, 5 and 7; RFC 5246, 6; RFC 5288).
"""

from __future__ import annotations

import hmac
import ssl
import struct
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from halfclose import ConnectionOptions, Protocol
from halfclose.testing.networks import OpenNetwork
from tls.peers import Peer
from tls.support import V12, Side, new_client_context, new_server_context, options

ALERT = 21
HANDSHAKE = 22
DATA = 23

CLOSE_NOTIFY = b"\x01\x00"

_HASH = "sha384"
_CIPHER_12 = "ECDHE-ECDSA-AES256-GCM-SHA384"
_CIPHER_13 = "TLS_AES_256_GCM_SHA384"


class Forger:
    """Encrypts as *peer*, whose handshake is over and who has sent no data."""

    def __init__(self, peer: Peer, secrets: Path) -> None:
        self._peer = peer
        server = peer.server_side
        told = dict(_keys(secrets))
        cipher = peer.tls.cipher()
        assert cipher is not None
        self._new = peer.tls.version() == "TLSv1.3"
        if self._new:
            assert cipher[0] == _CIPHER_13
            self._begin(told["SERVER_TRAFFIC_SECRET_0" if server else "CLIENT_TRAFFIC_SECRET_0"][1])
            return
        assert cipher[0] == _CIPHER_12
        client_random, master = told["CLIENT_RANDOM"]
        hello = peer.first_sent if server else peer.first_received
        block = _prf(master, b"key expansion", hello[11:43] + client_random, 72)
        place = 1 if server else 0
        self._key = AESGCM(block[32 * place : 32 * (place + 1)])
        self._salt = block[64 + 4 * place : 64 + 4 * (place + 1)]
        # The record that ended the handshake was the first.
        self._number = 1

    def _begin(self, secret: bytes) -> None:
        self._secret = secret
        self._key = AESGCM(_expand(secret, b"key", 32))
        self._salt = _expand(secret, b"iv", 12)
        self._number = 0

    def record(self, kind: int, content: bytes) -> bytes:
        """The next record."""
        number = self._number.to_bytes(8, "big")
        self._number += 1
        if self._new:
            nonce = int.from_bytes(self._salt, "big") ^ int.from_bytes(number, "big")
            head = struct.pack("!BHH", DATA, 0x303, len(content) + 17)
            inner = content + bytes([kind])
            return head + self._key.encrypt(nonce.to_bytes(12, "big"), inner, head)
        about = number + struct.pack("!BHH", kind, 0x303, len(content))
        body = number + self._key.encrypt(self._salt + number, content, about)
        return struct.pack("!BHH", kind, 0x303, len(body)) + body

    def key_update(self, *, asked: bool) -> bytes:
        """A key update of TLS 1.3, after which new keys hold.

        :param asked: whether the other side has to update its keys too.
        """
        update = self.record(HANDSHAKE, bytes([24, 0, 0, 1, asked]))
        self._begin(_expand(self._secret, b"traffic upd", 48))
        return update


@asynccontextmanager
async def facing(
    net: OpenNetwork, side: Side, version: ssl.TLSVersion, protocol: Protocol
) -> AsyncIterator[tuple[Peer, Forger]]:
    """A peer of our *protocol* and what forges its records, after the handshake.

    :param side: "accepted" or "connected", by our end.
    :param version: of TLS.
    """
    own = ConnectionOptions(tls=options(side))
    server_side = side == "connected"
    context = new_server_context(version) if server_side else new_client_context(version)
    with ExitStack() as stack:
        secrets = Path(stack.enter_context(tempfile.TemporaryDirectory()), "secrets")
        context.keylog_filename = str(secrets)
        if version == V12:
            context.set_ciphers(_CIPHER_12)
        elif server_side:
            # A ticket would be a record that the forger does not count.
            context.num_tickets = 0
        if server_side:
            listener = stack.enter_context(net.raw_listen("them"))
            net.backend.start_soon(
                partial(net.backend.connect, "memory:them", lambda: protocol, options=own)
            )
            end = await listener.accept()
        else:
            await net.backend.listen("memory:us", lambda: protocol, own)
            end = await net.raw("us")
        peer = Peer(stack.enter_context(end), server_side=server_side, context=context)
        await peer.shake_hands()
        # Our end learns of it in the next turn.
        await net.advance(0)
        yield peer, Forger(peer, secrets)


def _keys(secrets: Path) -> Iterator[tuple[str, tuple[bytes, bytes]]]:
    for line in secrets.read_text().splitlines():
        if not line.startswith("#"):
            name, random, secret = line.split()
            yield name, (bytes.fromhex(random), bytes.fromhex(secret))


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label, for no more bytes than one hash has."""
    label = b"tls13 " + label
    info = struct.pack("!HB", size, len(label)) + label + b"\x00"
    return hmac.digest(secret, info + b"\x01", _HASH)[:size]


def _prf(secret: bytes, label: bytes, seed: bytes, size: int) -> bytes:
    """The function by which TLS 1.2 derives its keys."""
    seed = label + seed
    block = b""
    turn = seed
    while len(block) < size:
        turn = hmac.digest(secret, turn, _HASH)
        block += hmac.digest(secret, turn + seed, _HASH)
    return block[:size]
