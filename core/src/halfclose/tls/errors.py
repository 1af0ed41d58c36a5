"""Texts for people from the errors of `ssl`, whose own texts hold file names of Python's source."""

from __future__ import annotations

import re
import ssl

__all__ = ["described"]

_SOURCE = re.compile(r" \(_ssl\.c:\d+\)$")
_PREFIX = re.compile(r"^\[[^\]]*\] ")


def described(error: BaseException) -> str:
    """What *error* says, in words.

    :param error: what a handshake, or a connection with TLS, has failed with.
    """
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_message:
        return f"the certificate was not accepted: {error.verify_message}"
    text = error.args[1] if isinstance(error, ssl.SSLError) and len(error.args) > 1 else str(error)
    return _PREFIX.sub("", _SOURCE.sub("", str(text))) or type(error).__name__
