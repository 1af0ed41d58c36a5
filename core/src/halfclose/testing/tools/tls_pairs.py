"""Connections with TLS of which the rule makes both ends: contexts, versions, single records."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...endpoints import Endpoint
from ...tls_options import TLSOptions
from ..channels.peers import LIMIT, RawPeer
from ..channels.tls import TLSPeer
from .certificates import NAME, client_context, server_context
from .harness import Net, Pair, R
from .recorder import Recorder

__all__ = [
    "BOTH_SIDES",
    "VERSIONS",
    "Connect",
    "Connecting",
    "TLSPair",
    "accepted",
    "connected",
    "connecting",
    "nothing_more",
]

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
"""The versions for which a rule has to hold."""


@dataclass(frozen=True)
class TLSPair(Pair[R]):
    """One connection with TLS: our protocol, its transport, and the raw peer with TLS of its own.

    :param protocol: our protocol.
    :param peer: the raw peer.
    """

    peer: TLSPeer

    @property
    def below(self) -> RawPeer:
        """The raw peer's end of the stream of records."""
        return self.peer.below


Connect: TypeAlias = Callable[..., Awaitable[TLSPair[Any]]]
"""The type of `accepted` and `connected`."""


def _limited(context: ssl.SSLContext, version: ssl.TLSVersion | None) -> ssl.SSLContext:
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


async def accepted(
    net: Net,
    protocol: R,
    *,
    version: ssl.TLSVersion | None = None,
    server: ssl.SSLContext | None = None,
    client: ssl.SSLContext | None = None,
    tls: dict[str, Any] | None = None,
    **options: Any,
) -> TLSPair[R]:
    """A connection of which we are the server, after its handshake.

    :param version: the version of TLS; None: the newest.
    :param server: our context.
    :param client: that of the raw peer.
    :param tls: the options of our TLS.
    :param options: those of `ConnectionOptions`.
    """
    ours = TLSOptions(server or server_context(), **(tls or {}))
    dial = await net.below().serve(lambda: protocol, tls=ours, **options)
    context = _limited(client or client_context(), version)
    peer = TLSPeer(net.backend, await dial(), context)
    net.closing(peer)
    await peer.handshake()
    await net.until(protocol, "connectionMade")
    return TLSPair(protocol, peer)


class Connecting:
    """A connection that we make as the client, while the rule drives the raw server.

    :param peer: the raw server, which has not begun with the handshake.
    :param endpoint: where it has listened.
    :param outcome: a list for what `Backend.connect` raises, if it does.
    :param over: an event that is set when `Backend.connect` is over.
    """

    def __init__(
        self, peer: TLSPeer, endpoint: Endpoint, outcome: list[BaseException], over: Any
    ) -> None:
        self.peer = peer
        self.endpoint = endpoint
        self._outcome = outcome
        self._over = over

    async def error(self, net: Net) -> BaseException | None:
        """Wait until ``connect`` is over, and give what it has raised."""
        await net.wait(self._over, "the end of connect")
        return self._outcome[0] if self._outcome else None


async def connecting(
    net: Net,
    factory: Callable[[], Any],
    *,
    version: ssl.TLSVersion | None = None,
    server: ssl.SSLContext | None = None,
    client: ssl.SSLContext | None = None,
    tls: dict[str, Any] | None = None,
    timeout: float = LIMIT,
    **options: Any,
) -> Connecting:
    """Begin to connect to a raw server.

    :param factory: makes our protocol.
    :param version: the version of TLS; None: the newest.
    :param server: the context of the raw peer.
    :param client: ours.
    :param tls: the options of our TLS.
    :param timeout: seconds for ``connect``.
    :param options: those of `ConnectionOptions`.
    """
    below = net.below()
    listener = below.listening()
    settings = {"server_hostname": NAME, **(tls or {})}
    ours = TLSOptions(_limited(client or client_context(), version), **settings)
    outcome: list[BaseException] = []
    over = net.backend.create_event()

    async def connect() -> None:
        try:
            await below.connect(listener.endpoint, factory, timeout, tls=ours, **options)
        except Exception as error:
            outcome.append(error)
        finally:
            over.set()

    net.backend.start_soon(connect)
    context = server or server_context()
    peer = TLSPeer(net.backend, await listener.accept(), context, server_side=True)
    net.closing(peer)
    return Connecting(peer, listener.endpoint, outcome, over)


async def connected(net: Net, protocol: R, **settings: Any) -> TLSPair[R]:
    """A connection of which we are the client, after its handshake.

    :param settings: those of `connecting`.
    """
    attempt = await connecting(net, lambda: protocol, **settings)
    await attempt.peer.handshake()
    error = await attempt.error(net)
    assert error is None, f"connect raised {error!r}"
    await net.until(protocol, "connectionMade")
    return TLSPair(protocol, attempt.peer)


BOTH_SIDES: tuple[Connect, ...] = (accepted, connected)
"""For a rule that has to hold on a server and on a client."""


async def nothing_more(net: Net, pair: TLSPair[Recorder], case: str = "") -> None:
    """Fail if anything comes to the raw peer, be it a record or an end of stream below.

    :param case: text that begins the message.
    """
    await net.quiet()
    assert not pair.peer.incoming.pending, f"{case}: the peer got more records"
    more = pair.below.receive_now(1 << 16)
    assert more is None, f"{case}: the peer got {more!r}"
