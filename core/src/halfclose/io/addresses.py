"""Translates between endpoints and the addresses that the socket module uses."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from typing import Any

from ..endpoints import TCP, UNIX, Endpoint
from ..loop import Address
from ..text import printable

__all__ = [
    "describe",
    "distinct",
    "endpoint_of",
    "host_of",
    "is_everywhere",
    "is_tcp",
    "literal",
    "peer_of",
    "unix_address",
]

_INTERNET = socket.AF_INET, socket.AF_INET6

_MAPPED = "::ffff:"
"""How an IPv6 socket writes the address of a peer that came over IPv4: after this prefix."""


def endpoint_of(family: int, address: Any) -> Endpoint:
    """The endpoint for an address of the socket module.

    :param address: for a unix socket, its path, or bytes that begin with a NUL for an abstract
        name.
    :raises ValueError: no endpoint can have this address (it is an `EndpointError`).
    :raises TypeError: *address* has not the form of an address of *family*.
    """
    if family == socket.AF_UNIX:
        return _unix_endpoint(os.fsencode(address or ""))
    host, port, *rest = address
    if isinstance(host, str):
        host = _host(host, rest[1] if len(rest) > 1 else 0)
    return TCP(host, port)


def is_everywhere(family: int, address: Any) -> bool:
    """Whether a socket that is bound to *address* listens on every address of its *family*."""
    return family in _INTERNET and address[0] in ("0.0.0.0", "::")


def is_tcp(sock: socket.socket) -> bool:
    """Whether the stream socket *sock* is TCP's."""
    # `sock.family` looks up the member of an enumeration, which takes as long as accept(2) does.
    return super(socket.socket, sock).family in _INTERNET


def _unix_endpoint(name: bytes) -> UNIX:
    if name.startswith(b"\0"):
        return UNIX("@" + os.fsdecode(name[1:]))
    # A file whose name begins with "@" gets "./", since "@" alone would mean an abstract name.
    return UNIX(("./" if name.startswith(b"@") else "") + os.fsdecode(name))


def _host(host: str, scope: int) -> str:
    """*host* as an endpoint has it: with the zone for *scope*, and an IPv4 address without the
    prefix that IPv6 gives it."""
    if _is_mapped(host):
        return host[len(_MAPPED) :]
    if not scope or "%" in host:
        return host
    try:
        zone = socket.if_indextoname(scope)
    except OSError:
        # The interface was removed after the connection was made.
        zone = str(scope)
    return f"{host}%{zone if zone.isprintable() else scope}"


def unix_address(endpoint: UNIX) -> str | bytes:
    """The address of *endpoint* for ``bind`` and ``connect`` of a socket."""
    if endpoint.is_abstract:
        return b"\0" + os.fsencode(endpoint.path[1:])
    return endpoint.path


def distinct(addresses: Iterable[Address]) -> list[Address]:
    """*addresses* without repetitions, in their order: a resolver may give an address twice.

    An IPv4 address in the form of IPv6 becomes plain IPv4. Our IPv6 sockets take IPv6 alone, so
    they could not use it.
    """
    found: dict[str, Address] = {}
    for family, address in addresses:
        if family == socket.AF_INET6 and _is_mapped(address[0]):
            family, address = socket.AF_INET, (_host(address[0], 0), address[1])
        found.setdefault(f"{int(family)} {address!r}", (family, address))
    return list(found.values())


def _is_mapped(host: str) -> bool:
    return host.startswith(_MAPPED) and "." in host


def peer_of(sock: socket.socket, connected_to: Address | None = None) -> Endpoint:
    """The endpoint of the peer of *sock*; an unspecified one if the system has forgotten it.

    :param connected_to: the address that *sock* was connected to, if it was we who did that. It is
        taken if the system has forgotten the peer, which it does once the peer has reset. The log
        of a reset is where the peer is wanted most.
    """
    return _ask(sock, socket.socket.getpeername, connected_to)


def host_of(sock: socket.socket) -> Endpoint:
    """The endpoint of our own end of *sock*."""
    return _ask(sock, socket.socket.getsockname)


def _ask(sock: socket.socket, question: Any, otherwise: Address | None = None) -> Endpoint:
    try:
        return endpoint_of(sock.family, question(sock))
    except (OSError, TypeError, ValueError):
        # The peer reset the connection before we asked, or has an address that no endpoint has.
        pass
    try:
        if otherwise is not None:
            return endpoint_of(*otherwise)
    except (TypeError, ValueError):
        pass
    return UNIX("") if sock.family == socket.AF_UNIX else TCP("0.0.0.0", 0)


def literal(host: str, port: int) -> Address | None:
    """The address of *host* if that is an IP address already, so that no resolver is needed."""
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
    """*address* as text for a message, even if a resolver gave something that is no address."""
    try:
        return str(endpoint_of(*address))
    except (TypeError, ValueError):
        return printable(repr(address))
