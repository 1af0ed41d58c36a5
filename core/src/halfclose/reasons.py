"""The exceptions that say why a connection ended or could not be made.

The names are those of ``twisted.internet.error`` where it has them. A reason is always an exception
*instance*. If the operating system reported the error, its ``OSError`` is the ``__cause__``.
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
    """The connection ended cleanly.

    Both halves ended, or we closed it and the kernel took all that we had written.
    """


class ConnectionLost(ConnectionClosed):
    """The connection ended in any other way, for example by a reset."""


class ConnectionAborted(ConnectionLost):
    """We ended the connection at once, by ``abortConnection`` or because the backend was left."""


class CloseTimeout(ConnectionLost):
    """No progress was made for ``close_timeout`` seconds after ``loseConnection``."""


class HalfCloseTimeout(ConnectionLost):
    """No byte was sent or received for ``half_close_timeout`` seconds after one half ended."""


class ConnectError(HalfcloseError):
    """A connection could not be made. The message names the endpoint and every attempt."""


class ConnectionRefused(ConnectError):
    """The endpoint refused the connection, most often because nobody listens there."""


class ConnectTimeout(ConnectError):
    """The endpoint did not answer within the timeout, which includes the name lookup."""


class DNSLookupFailed(ConnectError):
    """The host name has no address."""


class ListenError(HalfcloseError):
    """Listening failed. The message names the endpoint."""


class EndpointError(HalfcloseError, ValueError):
    """An endpoint is malformed. The message quotes it and shows a valid one."""


class Unsupported(HalfcloseError):
    """The channel or the backend cannot do what was asked. Nothing has changed."""


class BackendError(HalfcloseError):
    """The base of the errors of finding and loading a backend."""


class BackendNotFound(BackendError, LookupError):
    """No backend of that name is installed."""


class BackendLoadError(BackendError, ImportError):
    """A backend is installed but does not load. The ``__cause__``, if there is one, says why."""
