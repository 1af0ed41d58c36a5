"""Seals records of TLS 1.3 by hand, for what `ssl` cannot be asked to send.

That is a key update, and records after a close_notify. The keys come from the log that `ssl` writes
for debuggers. `Sealer` seals small records only: Python is a slow cipher.
"""

from __future__ import annotations

import hmac
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["APPLICATION_DATA", "HANDSHAKE", "Sealer", "sealing"]

APPLICATION_DATA = 23
HANDSHAKE = 22

_KEY_UPDATE = 24
_REQUESTED = 1


class Sealer:
    """What one side sends after its handshake, as records.

    :param secret: the side's first traffic secret.
    :param cipher: the name of the suite, one of those with AES-GCM.
    """

    def __init__(self, secret: bytes, cipher: str) -> None:
        self._digest = "sha384" if cipher.endswith("384") else "sha256"
        self._key_size = 32 if "AES_256" in cipher else 16
        assert "AES" in cipher, f"{cipher} is no suite that this can seal with"
        self._use(secret)

    def _use(self, secret: bytes) -> None:
        self._secret = secret
        self._cipher = _AES(self._expand(b"key", self._key_size))
        self._iv = int.from_bytes(self._expand(b"iv", 12), "big")
        self._sequence = 0

    def _expand(self, label: bytes, size: int) -> bytes:
        """HKDF-Expand-Label of RFC 8446, 7.1, for up to one digest."""
        label = b"tls13 " + label
        info = size.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
        return hmac.digest(self._secret, info + b"\1", self._digest)[:size]

    def seal(self, content: bytes, kind: int = APPLICATION_DATA) -> bytes:
        """The record that has *content*.

        :param kind: the type of the content.
        """
        plain = content + bytes([kind])
        head = b"\x17\x03\x03" + (len(plain) + 16).to_bytes(2, "big")
        nonce = (self._iv ^ self._sequence).to_bytes(12, "big")
        self._sequence += 1
        return head + _gcm(self._cipher, nonce, plain, head)

    def update_key(self) -> bytes:
        """The record that says that all later ones are sealed with the next key.

        It requests the same of the other side.
        """
        record = self.seal(bytes([_KEY_UPDATE, 0, 0, 1, _REQUESTED]), HANDSHAKE)
        self._use(self._expand(b"traffic upd", len(self._secret)))
        return record


@contextmanager
def sealing(context: ssl.SSLContext) -> Iterator[_Keys]:
    """Have *context* write down the keys of its connections, until the end of the block."""
    with TemporaryDirectory(prefix="hc") as folder:
        file = Path(folder, "keys")
        context.keylog_filename = str(file)
        yield _Keys(file)


class _Keys:
    """The keys of the connections of one context."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def sealer(self, tls: ssl.SSLObject) -> Sealer:
        """Seals in place of *tls*, of which the last handshake was, and which has sent nothing."""
        side = "SERVER" if tls.server_side else "CLIENT"
        lines = [line.split() for line in self._file.read_text().splitlines()]
        secret = [line[2] for line in lines if line[0] == f"{side}_TRAFFIC_SECRET_0"][-1]
        cipher = tls.cipher()
        assert cipher is not None
        return Sealer(bytes.fromhex(secret), cipher[0])


# -- AES and GCM, by FIPS 197 and NIST SP 800-38D --------------------------------------------------


def _doubled(byte: int) -> int:
    """*byte* times x in the field of AES."""
    return byte << 1 ^ (0x11B if byte & 0x80 else 0)


def _substitutions() -> bytes:
    """The S-box, from the powers of 3 in the field."""
    powers = [1]
    while len(powers) < 255:
        powers.append(powers[-1] ^ _doubled(powers[-1]))
    logarithms = {power: exponent for exponent, power in enumerate(powers)}
    box = bytearray(256)
    for byte in range(256):
        inverse = powers[-logarithms[byte] % 255] if byte else 0
        spread = inverse ^ inverse << 1 ^ inverse << 2 ^ inverse << 3 ^ inverse << 4
        box[byte] = (spread ^ spread >> 8) & 0xFF ^ 0x63
    return bytes(box)


_BOX = _substitutions()


class _AES:
    """Encrypts blocks of 16 bytes."""

    def __init__(self, key: bytes) -> None:
        words = [key[at : at + 4] for at in range(0, len(key), 4)]
        size, factor = len(words), 1
        while len(words) < 4 * (size + 7):
            word = words[-1]
            if len(words) % size == 0:
                word = (word[1:] + word[:1]).translate(_BOX)
                word = bytes([word[0] ^ factor]) + word[1:]
                factor = _doubled(factor)
            elif size > 6 and len(words) % size == 4:
                word = word.translate(_BOX)
            words.append(bytes(a ^ b for a, b in zip(word, words[-size], strict=True)))
        self._keys = [b"".join(words[at : at + 4]) for at in range(0, len(words), 4)]

    def encrypted(self, block: bytes) -> bytes:
        """The encrypted *block*."""
        first, *others, last = self._keys
        state = _xor(block, first)
        for key in others:
            state = _xor(_mixed(_shifted(state.translate(_BOX))), key)
        return _xor(_shifted(state.translate(_BOX)), last)


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=False))


def _shifted(state: bytes) -> bytes:
    return bytes(state[(at + 4 * (at % 4)) % 16] for at in range(16))


def _mixed(state: bytes) -> bytes:
    mixed = bytearray()
    for column in range(0, 16, 4):
        four = state[column : column + 4]
        every = four[0] ^ four[1] ^ four[2] ^ four[3]
        mixed += bytes(four[n] ^ every ^ _doubled(four[n] ^ four[n - 3]) for n in range(4))
    return bytes(mixed)


def _gcm(cipher: _AES, nonce: bytes, plain: bytes, head: bytes) -> bytes:
    """*plain*, encrypted, and the tag that protects it and *head*."""
    sealed = b"".join(
        _xor(plain[at : at + 16], cipher.encrypted(nonce + (at // 16 + 2).to_bytes(4, "big")))
        for at in range(0, len(plain), 16)
    )
    lengths = (8 * len(head)).to_bytes(8, "big") + (8 * len(sealed)).to_bytes(8, "big")
    factor = int.from_bytes(cipher.encrypted(bytes(16)), "big")
    hashed = 0
    for part in (head, sealed, lengths):
        for at in range(0, len(part), 16):
            hashed ^= int.from_bytes(part[at : at + 16].ljust(16, b"\0"), "big")
            hashed = _multiplied(hashed, factor)
    return sealed + _xor(hashed.to_bytes(16, "big"), cipher.encrypted(nonce + b"\0\0\0\1"))


def _multiplied(one: int, other: int) -> int:
    """The product in the field of GCM, whose bits are numbered from the left."""
    product = 0
    for bit in range(127, -1, -1):
        if one >> bit & 1:
            product ^= other
        other = other >> 1 ^ (0xE1 << 120 if other & 1 else 0)
    return product
