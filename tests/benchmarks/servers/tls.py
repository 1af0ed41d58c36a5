"""What the servers need to speak TLS: a service ``tls-NAME`` is the service NAME over TLS."""

from __future__ import annotations

import ssl

from halfclose.testing.tools.certificates import server_context

__all__ = ["over_tls"]

_PREFIX = "tls-"

_TICKETS = 2
"""What OpenSSL's servers send, unless they are told otherwise."""


def over_tls(service: str) -> tuple[str, ssl.SSLContext | None]:
    """The name of *service* without TLS, and the context if it is to be served over TLS."""
    if not service.startswith(_PREFIX):
        return service, None
    return service.removeprefix(_PREFIX), server_context(tickets=_TICKETS)
