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
    """The base of the reasons that ``connectionLost`` gets, and that ``whenClosed`` gives.

    An event of the protocol that raised ends the connection too. The reason is then what it raised.
    """


class ConnectionDone(ConnectionClosed):
    """A clean end: both halves ended, or we closed the connection and the kernel took everything
    that we had written."""


class ConnectionLost(ConnectionClosed):
    """The connection ended in any other way: the peer has reset it, the network has failed, or a
    send has failed."""


class ConnectionAborted(ConnectionLost):
    """We ended the connection at once: by ``abortConnection``, because the backend was left before
    the connection had ended, or because this was one side of a proxy and the other side was
    lost."""


class CloseTimeout(ConnectionLost):
    """No progress was made for ``close_timeout`` seconds after ``loseConnection``."""


class HalfCloseTimeout(ConnectionLost):
    """No byte was sent or received for ``half_close_timeout`` seconds after one half ended."""


class ConnectError(HalfcloseError):
    """A connection could not be made, for a reason that has no class of its own, such as an
    unreachable network. The message names the endpoint and every attempt."""


class ConnectionRefused(ConnectError):
    """The endpoint refused the connection, most often because nobody listens there."""


class ConnectTimeout(ConnectError):
    """The endpoint did not answer within *timeout* seconds, which include the name lookup."""


class DNSLookupFailed(ConnectError):
    """The name lookup failed: the host name has no address, or no name server has answered."""


class ListenError(HalfcloseError):
    """Nothing can listen on the endpoint: it is taken, not allowed, not of this machine, or of a
    scheme that can only connect. The message names the endpoint."""


class EndpointError(HalfcloseError, ValueError):
    """An endpoint is malformed, or no plugin brings its scheme, or two do. The message quotes the
    endpoint and shows a valid one."""


class Unsupported(HalfcloseError):
    """The channel or the backend cannot do what was asked; see `Capabilities`. Nothing has
    changed."""


class BackendError(HalfcloseError):
    """The base of the errors of finding and loading a backend."""


class BackendNotFound(BackendError, LookupError):
    """No backend of that name is installed, or none at all. The message lists those that there are,
    and the command that installs one."""


class BackendLoadError(BackendError, ImportError):
    """A backend is installed but does not load, or two distributions offer it. The message says
    what to do; the ``__cause__``, if there is one, says what failed."""
