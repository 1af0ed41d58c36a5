"""What the log says of one connection: callbacks that raise, and bytes that are dropped."""

from __future__ import annotations

import logging
from contextvars import Context

from ..endpoints import Endpoint
from ..host import ConnectionHost
from ..interfaces import BaseProtocol
from ..text import printable

__all__ = ["report_callback", "warn_of_dropped_bytes"]

_log = logging.getLogger("halfclose")


def report_callback(
    backend: ConnectionHost,
    context: Context,
    error: BaseException,
    name: str,
    protocol: BaseProtocol | None,
    peer: Endpoint,
) -> None:
    """Log that the callback *name* of a protocol, or of its producer, raised *error* (ERR-02).

    :param context: the connection's own. Filters and handlers of ``logging`` may add what is in
        it, such as the id of a request. It may be entered already, so a copy is.
    """

    def report() -> None:
        message = "%s: %s raised on the connection with %s"
        backend.report(error, message, log_prefix(protocol), name, peer)

    context.copy().run(report)


def warn_of_dropped_bytes(
    size: int, state: str, protocol: BaseProtocol | None, peer: Endpoint
) -> None:
    """Log that *size* bytes were written too late. Called once a connection (VRB-05).

    :param state: of the connection, in words.
    """
    _log.warning(
        "%s: %d bytes for the %s connection with %s were dropped; later ones are only counted",
        log_prefix(protocol),
        size,
        state,
        peer,
    )


def log_prefix(protocol: BaseProtocol | None) -> str:
    """What *protocol* wants to be called in a log; its class's name where it cannot say.

    :param protocol: None if nobody has kept it beyond its end.
    """
    if protocol is None:
        return "Connection"
    try:
        return printable(protocol.logPrefix())
    except Exception:
        return type(protocol).__name__
