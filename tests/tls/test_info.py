"""What is known of TLS: on both sides, in the handshake, after it, and after the end."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from core.support import until
from halfclose import Backend, ConnectionDone, ConnectionOptions, Listener, TLSOptions, Transport
from tls.pairs import (
    NAME,
    Noted,
    authority,
    client_tls,
    each_variant,
    pair,
    place,
    run,
    server_tls,
    trusting,
    with_certificate,
)

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def known(transport: Transport) -> dict[str, Any]:
    """All that is known, but for the session."""
    info = transport.tls
    certificate = transport.getPeerCertificate()
    assert transport.negotiatedProtocol == (None if info is None else info.alpn)
    assert certificate == (None if info is None else info.certificate)
    names = ("version", "cipher", "alpn", "server_hostname", "resumed")
    return {
        **{name: getattr(info, name, None) for name in names},
        "der": certificate and certificate.der,
        "parsed": certificate and certificate.parsed,
    }


NOTHING: dict[str, Any] = {
    "version": None,
    "cipher": None,
    "alpn": None,
    "server_hostname": None,
    "resumed": None,
    "der": None,
    "parsed": None,
}


class Knowing(Noted):
    """Notes what is known at each event."""

    def __init__(self) -> None:
        super().__init__()
        self.known: list[tuple[str, dict[str, Any]]] = []

    def connectionMade(self) -> None:
        super().connectionMade()
        self.known.append(("made", known(self.transport)))

    def handshakeCompleted(self) -> None:
        super().handshakeCompleted()
        self.known.append(("handshake", known(self.transport)))

    def connectionLost(self, reason: BaseException) -> None:
        super().connectionLost(reason)
        self.known.append(("lost", known(self.transport)))


def with_client_certificate() -> ssl.SSLContext:
    context = trusting()
    authority().issue_cert("client.example").configure_cert(context)
    return context


def asking_for_a_certificate() -> ssl.SSLContext:
    context = with_certificate()
    authority().configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def check(client: Knowing, server: Knowing, version: ssl.TLSVersion) -> None:
    name = {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
    of_client, of_server = known(client.transport), known(server.transport)
    for found in of_client, of_server:
        assert found["version"] == name
        assert "AES" in found["cipher"] or "CHACHA" in found["cipher"]
        assert found["alpn"] == "h2"
        assert found["resumed"] is False
        assert found["der"][0] == 0x30
    assert of_client["cipher"] == of_server["cipher"]
    assert of_client["server_hostname"] == NAME
    assert of_client["parsed"]["subjectAltName"] == (("DNS", NAME),)
    assert of_server["parsed"]["subjectAltName"] == (("DNS", "client.example"),)


@each_variant
@pytest.mark.parametrize("version", VERSIONS)
def test_of_a_connection_that_begins_with_tls(variant: str, version: ssl.TLSVersion) -> None:
    """TLS-01: known in connectionMade. VRB-09, VRB-12: and still after the end."""

    async def main(backend: Backend) -> None:
        accepted: list[Knowing] = []

        def accept() -> Knowing:
            accepted.append(Knowing())
            return accepted[-1]

        tls = _options(version)
        async with await backend.listen(
            place(backend), accept, ConnectionOptions(tls=tls[1])
        ) as listener:
            client = await backend.connect(
                listener.endpoint, Knowing, options=ConnectionOptions(tls=tls[0])
            )
            await until(backend, lambda: accepted and "handshake" in accepted[0].events)
            check(client, accepted[0], version)
            client.transport.loseConnection()
            await client.transport.whenClosed()
            accepted[0].transport.loseConnection()
            await accepted[0].transport.whenClosed()
            check(client, accepted[0], version)
            for side in client, accepted[0]:
                assert [event for event, _ in side.known] == ["made", "handshake", "lost"]
                assert all(found == known(side.transport) for _, found in side.known)

    run(main, variant=variant)


@each_variant
@pytest.mark.parametrize("version", VERSIONS)
def test_of_start_tls(variant: str, version: ssl.TLSVersion) -> None:
    """Nothing before the handshake is over; and all of it after the end."""

    async def main(backend: Backend) -> None:
        async with pair(backend, Knowing, Knowing) as (client, server):
            assert isinstance(client, Knowing)
            assert isinstance(server, Knowing)
            tls = _options(version)
            client.transport.startTLS(tls[0])
            server.transport.startTLS(tls[1], server_side=True)
            for side in client, server:
                assert known(side.transport) == NOTHING
            await until(backend, lambda: "handshake" in client.events)
            await until(backend, lambda: "handshake" in server.events)
            check(client, server, version)
            for side in client, server:
                side.transport.abortConnection()
                await side.transport.whenClosed()
                assert [event for event, _ in side.known] == ["made", "handshake", "lost"]
                assert side.known[0][1] == NOTHING
            check(client, server, version)

    run(main, variant=variant)


def _options(version: ssl.TLSVersion) -> tuple[TLSOptions, TLSOptions]:
    contexts = with_client_certificate(), asking_for_a_certificate()
    contexts[0].maximum_version = version
    return (
        TLSOptions(contexts[0], NAME, ("h2", "http/1.1")),
        TLSOptions(contexts[1], alpn=("h2",)),
    )


def test_a_peer_without_a_certificate_and_alpn_that_does_not_fit() -> None:
    """TLS-18: as in `ssl`, that is no error."""

    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            client.transport.startTLS(client_tls(alpn=("h2",)))
            server.transport.startTLS(server_tls(alpn=("http/1.1",)), server_side=True)
            await until(backend, lambda: "handshake" in server.events)
            for side in client, server:
                assert side.transport.negotiatedProtocol is None
            assert client.transport.getPeerCertificate() is not None
            assert server.transport.getPeerCertificate() is None

    run(main, variant="memory")


def test_a_client_that_checks_nothing() -> None:
    """The certificate is known, and nothing is asked for by name."""

    async def main(backend: Backend) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        async with pair(backend) as (client, server):
            client.transport.startTLS(TLSOptions(context))
            server.transport.startTLS(server_tls(), server_side=True)
            await until(backend, lambda: "handshake" in server.events)
            certificate = client.transport.getPeerCertificate()
            assert certificate is not None
            assert certificate.der[0] == 0x30
            assert client.transport.tls is not None
            assert client.transport.tls.server_hostname is None

    run(main, variant="memory")


async def conversation(
    backend: Backend, listener: Listener, accepted: list[Noted], tls: TLSOptions
) -> tuple[ssl.SSLSession | None, bool]:
    """Talk to a server once.

    :returns: the session after the first data, and whether an earlier one was resumed.
    """
    client = await backend.connect(listener.endpoint, Noted, options=ConnectionOptions(tls=tls))
    await until(backend, lambda: accepted)
    server = accepted.pop()
    server.transport.write(b"hello")
    await until(backend, lambda: client.data)
    info = client.transport.tls
    assert info is not None
    assert server.transport.tls is not None
    assert info.resumed == server.transport.tls.resumed
    assert server.transport.tls.session is None
    words = f"{info.version} {info.cipher} alpn={info.alpn!r} resumed={info.resumed}"
    assert repr(info) == f"<TLSInfo {words}>"
    found = info.session, info.resumed
    for side in client, server:
        side.transport.loseConnection()
        assert isinstance(await side.transport.whenClosed(), ConnectionDone)
    assert info.session is not None
    return found


@each_variant
@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_resumed(variant: str, version: ssl.TLSVersion) -> None:
    """TLS-19: one that was taken after the first data."""

    async def main(backend: Backend) -> None:
        accepted: list[Noted] = []

        def accept() -> Noted:
            accepted.append(Noted())
            return accepted[-1]

        context = trusting()
        context.maximum_version = version
        options = ConnectionOptions(tls=server_tls())
        async with await backend.listen(place(backend), accept, options) as listener:
            tls = TLSOptions(context, NAME)
            session, resumed = await conversation(backend, listener, accepted, tls)
            assert not resumed
            again = TLSOptions(context, NAME, session=session)
            assert hash(again)
            assert again == TLSOptions(context, NAME, session=session)
            session, resumed = await conversation(backend, listener, accepted, again)
            assert resumed
            # A session of a server that has forgotten it costs no more than the time to begin anew.
            async with await backend.listen(_other(backend), accept, _new()) as other:
                again = TLSOptions(context, NAME, session=session)
                session, resumed = await conversation(backend, other, accepted, again)
                assert session is not None
                assert not resumed

    run(main, variant=variant)


def _other(backend: Backend) -> str:
    return place(backend).replace("memory:", "memory:other-")


def _new() -> ConnectionOptions:
    return ConnectionOptions(tls=server_tls())
