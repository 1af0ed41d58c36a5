"""Between endpoints and the addresses of the socket module."""

from __future__ import annotations

import socket
from typing import Any, TypeAlias

from ..endpoints import TCP, UNIX, Endpoint

__all__ = ["Address", "describe", "endpoint_of", "host_of", "literal", "peer_of"]

Address: TypeAlias = "tuple[int, Any]"
"""A family of the socket module, and an address of that family."""


def endpoint_of(family: int, address: Any) -> Endpoint:
    """The endpoint that a socket address means."""
    if family == socket.AF_UNIX:
        if isinstance(address, bytes):
            address = address.decode("utf-8", "surrogateescape")
        return UNIX(address.replace("\0", "@"))
    return TCP(address[0], address[1])


def peer_of(sock: socket.socket) -> Endpoint:
    """The other end of *sock*; the unspecified address where the system no longer knows it."""
    return _ask(sock, socket.socket.getpeername)


def host_of(sock: socket.socket) -> Endpoint:
    """This end of *sock*."""
    return _ask(sock, socket.socket.getsockname)


def _ask(sock: socket.socket, question: Any) -> Endpoint:
    try:
        return endpoint_of(sock.family, question(sock))
    except (OSError, ValueError):
        # The peer reset the connection before we looked, or has a name that is no endpoint.
        return UNIX("") if sock.family == socket.AF_UNIX else TCP("0.0.0.0", 0)


def literal(host: str, port: int) -> Address | None:
    """The address of *host* if it is an IP address, so that no resolver is asked."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            found = socket.getaddrinfo(
                host, port, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST
            )
        except (OSError, UnicodeError):
            continue
        return family, found[0][4]
    return None


def describe(address: Address) -> str:
    """*address* for a message."""
    return str(endpoint_of(*address))
