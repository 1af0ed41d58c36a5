"""`KeyPair`: the files of a certificate and its private key, and how they are loaded.

`ssl` says of most faults neither which file they are in, nor what they are in words, and asks at
the terminal for a passphrase that it was not given. So what fails is looked at here once more.
"""

from __future__ import annotations

import logging
import os
import shlex
import ssl
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from ..reasons import CertificateError
from ..text import one_line, printable
from .errors import bare

__all__ = ["FilePath", "KeyPair", "Passphrase", "authorities", "load_pair", "warn_of_readers"]

_log = logging.getLogger("halfclose")

FilePath: TypeAlias = str | os.PathLike[str]
"""The path of a file."""

Passphrase: TypeAlias = str | bytes | Callable[[], str | bytes]
"""A passphrase, or what gives it."""

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_KEY = b"PRIVATE KEY-----"
_MISMATCHES = (
    "KEY_VALUES_MISMATCH",
    "KEY_TYPE_MISMATCH",
    # The key is of another type than the certificate.
    "NO_CERTIFICATE_ASSIGNED",
)
"""What OpenSSL says if a key belongs to another certificate."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, in files of PEM. They are read when they are used.

    :param certificate: path of the file with the certificate, which comes first, and the
        certificates of the authorities between it and the root.
    :param key: path of the file with the private key; None: it is in the same file.
    :param password: the passphrase of the key, or a callable that gives it; it is called each time
        that an encrypted key is loaded. Nobody is ever asked at the terminal.
    """

    certificate: FilePath
    key: FilePath | None = None
    password: Passphrase | None = field(default=None, repr=False)


def load_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Have *context* show the certificate of *pair*.

    :raises CertificateError: it cannot be used. The message names the file.
    """
    passphrase = _Asked(pair)
    try:
        context.load_cert_chain(pair.certificate, pair.key, passphrase)
    except CertificateError:
        raise
    except (OSError, ValueError, TypeError) as error:
        raise CertificateError(_wrong_with(pair, error, asked=passphrase.asked)) from error


class _Asked:
    """Gives the passphrase of a key to `ssl`, which asks for it only if the key is encrypted."""

    def __init__(self, pair: KeyPair) -> None:
        self.asked = False
        self._pair = pair

    def __call__(self) -> str | bytes:
        self.asked = True
        path, password = _key_of(self._pair), self._pair.password
        if password is None:
            raise CertificateError(
                f"the private key {_shown(path)} is encrypted; give its passphrase in "
                "KeyPair(password=...)"
            )
        try:
            return password() if callable(password) else password
        except Exception as error:
            raise CertificateError(
                f"there is no passphrase for the private key {_shown(path)}: {one_line(error)}"
            ) from error


def _wrong_with(pair: KeyPair, error: Exception, *, asked: bool) -> str:
    """What is wrong with the files of *pair*, of which *error* was raised.

    :param asked: whether the key is encrypted.
    """
    certificate, key = _shown(pair.certificate), _shown(_key_of(pair))
    try:
        in_certificate = _read(pair.certificate, "certificate")
        in_key = _read(_key_of(pair), "private key")
    except CertificateError as unreadable:
        return str(unreadable)
    if in_certificate is not None and _CERTIFICATE not in in_certificate:
        swapped = "; it has a private key: are the files swapped?" if _KEY in in_certificate else ""
        return f"the file {certificate} has no certificate in PEM{swapped}"
    if in_key is not None and _KEY not in in_key:
        hint = "; name the file of the key too" if pair.key is None else ""
        return f"the file {key} has no private key in PEM{hint}"
    if getattr(error, "reason", None) in _MISMATCHES:
        return f"the private key {key} does not belong to the first certificate in {certificate}"
    why = one_line(bare(error))
    if asked:
        return (
            f"the private key {key} cannot be decrypted: its passphrase is wrong, or the file is "
            f"damaged ({why})"
        )
    return f"the certificate {certificate} cannot be used with the private key {key}: {why}"


@contextmanager
def authorities(path: FilePath) -> Iterator[None]:
    """The block loads the certificates of authorities from a file of PEM.

    :raises CertificateError: the file cannot be used. The message names it.
    """
    try:
        # An empty path would mean the system's authorities.
        os.stat(path)
        yield
    except (OSError, ValueError, TypeError) as error:
        found = _read(path, "file of authorities")
        if found is not None and _CERTIFICATE not in found:
            why = "it has no certificate in PEM"
        else:
            why = one_line(bare(error))
        raise CertificateError(
            f"the file of authorities {_shown(path)} cannot be used: {why}"
        ) from error


def warn_of_readers(pair: KeyPair, told: set[str]) -> None:
    """Log a warning if others than its owner may use the file of the private key.

    :param told: the files of which that was told already. The new one is added.
    """
    path = os.fspath(_key_of(pair))
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # It was there a moment ago.
    if path in told or not stat.S_ISREG(mode) or not mode & _OTHERS:
        return
    told.add(path)
    _log.warning(
        "others may use the private key %s, whose mode is %04o; run: chmod 600 %s",
        _shown(path),
        stat.S_IMODE(mode),
        printable(shlex.quote(path)),
    )


def _key_of(pair: KeyPair) -> FilePath:
    return pair.certificate if pair.key is None else pair.key


def _shown(path: FilePath) -> str:
    return printable(os.fspath(path))


def _read(path: FilePath, what: str) -> bytes | None:
    """What is in the file; None: it is a pipe or the like, which gives that only once.

    :param what: what the message calls the file.
    :raises CertificateError: it cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
            return None
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise CertificateError(
            f"the {what} {_shown(path)} cannot be read: {one_line(why)}"
        ) from error
