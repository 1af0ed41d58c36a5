"""Why a connection ended, and why one could not be made.

Named after ``twisted.internet.error``. A reason is always an exception *instance*; where the
system gave one, the ``OSError`` is its ``__cause__``.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "BackendLoadError",
    "BackendNotFound",
    "CloseTimeout",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionAborted",
    "ConnectionClosed",
    "ConnectionDone",
    "ConnectionLost",
    "ConnectionRefused",
    "DNSLookupFailed",
    "EndpointError",
    "HalfCloseTimeout",
    "HalfcloseError",
    "ListenError",
    "Unsupported",
]


class HalfcloseError(Exception):
    """The base of every exception that this library defines."""


class ConnectionClosed(HalfcloseError):
    """The base of the reasons that ``connectionLost`` gets."""


class ConnectionDone(ConnectionClosed):
    """The connection ended cleanly: both halves ended, or we closed and all was handed over."""


class ConnectionLost(ConnectionClosed):
    """The connection ended in any other way, for example by a reset."""


class ConnectionAborted(ConnectionLost):
    """We ended the connection at once: ``abortConnection``, or a backend that is being left."""


class CloseTimeout(ConnectionLost):
    """After ``loseConnection``, nothing moved for ``close_timeout`` seconds."""


class HalfCloseTimeout(ConnectionLost):
    """With one half ended, nothing moved for ``half_close_timeout`` seconds."""


class ConnectError(HalfcloseError):
    """A connection could not be made; the message names the endpoint and every attempt."""


class ConnectionRefused(ConnectError):
    """Nobody listens there."""


class ConnectTimeout(ConnectError):
    """There was no answer within the timeout, the name lookup included."""


class DNSLookupFailed(ConnectError):
    """The host name has no address."""


class ListenError(HalfcloseError):
    """Listening failed; the message names the endpoint."""


class EndpointError(HalfcloseError, ValueError):
    """An endpoint is malformed; the message quotes it and shows a right one."""


class Unsupported(HalfcloseError):
    """The stream below cannot do this; nothing has changed."""


class BackendError(HalfcloseError):
    """The base of what can be wrong with a backend."""


class BackendNotFound(BackendError, LookupError):
    """No backend of that name is installed."""


class BackendLoadError(BackendError, ImportError):
    """A backend is installed and does not load; ``__cause__`` is why."""
