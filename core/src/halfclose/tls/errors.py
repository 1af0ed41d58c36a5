"""Texts for people in the errors of TLS.

Those of `ssl` name OpenSSL's macros and lines of Python's source, and often not what is wrong.
"""

from __future__ import annotations

import re
import ssl

from ..text import printable

__all__ = ["bare", "clarify", "told"]

_SOURCE = re.compile(r" \(_ssl\.c:\d+\)$")
_PREFIX = re.compile(r"^\[[^\]]*\] ")
_ALERT = re.compile(r"^(?:(?:ssl|tls)v\d+(?: alert)?|ssl/tls alert) (.+)$", re.IGNORECASE)

_ALERTS = {
    "bad certificate": "it does not accept our certificate",
    "certificate expired": "it does not accept our certificate",
    "certificate required": "it requires a certificate of ours",
    "certificate unknown": "it does not accept our certificate",
    "handshake failure": "it found no version, cipher and certificate that both sides accept",
    "no application protocol": "it speaks none of the protocols that we offer by ALPN",
    "protocol version": "it accepts no version of TLS that we do",
    "unknown ca": "it does not trust the authority of our certificate",
    "unrecognized name": "it has no certificate for that server name",
}
"""What the alerts of a peer mean to us, by OpenSSL's names."""

_REASONS = {
    "callback failed": "the sni_callback of our context has refused the name, or has raised",
    "http request": "the peer does not speak TLS, but plain HTTP",
    "https proxy request": "the peer does not speak TLS, but plain HTTP as with a proxy",
    "no shared cipher": "no cipher that both sides accept fits to our certificate, or we have none",
    "peer did not return a certificate": "the peer has shown no certificate, which we require",
    "unsupported protocol": "the peer accepts no version of TLS that we do",
    "wrong version number": "the peer does not speak TLS",
}
"""What the most frequent errors on our side mean, by OpenSSL's texts."""


def clarify(error: ssl.SSLError) -> None:
    """Have ``str(error)`` say in words what is wrong. The other attributes stay as they are.

    :param error: what `ssl` has raised.
    """
    error.strerror = printable(_words(error))


def bare(error: BaseException) -> str:
    """The text of *error*, without the macros of OpenSSL and the lines of Python's source.

    :param error: what `ssl` has raised.
    """
    if not isinstance(error, ssl.SSLError):
        return str(error) or type(error).__name__
    return _PREFIX.sub("", _SOURCE.sub("", str(error.args[-1] if error.args else "")))


def _words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_message:
        return f"the peer's certificate was not accepted: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLZeroReturnError):
        return "the peer ended the TLS during its handshake"
    text = bare(error)
    alert = _ALERT.match(text)
    if alert is not None:
        name = alert[1].lower()
        meaning = f": {_ALERTS[name]}" if name in _ALERTS else ""
        return f"the peer ended the TLS with the alert '{name}'{meaning}"
    if text in _REASONS:
        return f"{_REASONS[text]} ({text})"
    return f"TLS has failed: {text or type(error).__name__}"


def told(error: Exception) -> str:
    """What a failed handshake is to be explained with.

    :param error: what it has failed with.
    """
    of_the_system = isinstance(error, OSError) and not isinstance(
        error, (ssl.SSLError, TimeoutError)
    )
    text = printable(str(error)) or type(error).__name__
    return f"the connection was lost during the TLS handshake: {text}" if of_the_system else text
