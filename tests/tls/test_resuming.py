"""A session is resumed only with a server that its certificate is for.

A handshake that resumes one shows no certificate. So a server could pass for any other server with
which a client resumes a session of its own.
"""

from __future__ import annotations

import ssl
from functools import cache

import pytest
import trustme
from core.support import until
from halfclose import Backend, ConnectionDone, ConnectionOptions, TLSError, TLSOptions
from halfclose.tls.resuming import is_for
from tls.pairs import Noted, authority, each_variant, place, run, trusting

NAMES = ("one.example", "*.two.example", "127.0.0.1", "::1")
"""Those in the certificate."""

OURS = ("one.example", "ONE.example", "one.example.", "a.two.example", "127.0.0.1", "::1")

OTHERS = ("other.example", "two.example", "a.b.two.example", "example", "127.0.0.2", "::2")


@cache
def certificate() -> trustme.LeafCert:
    return authority().issue_cert(*NAMES)


def served() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate().configure_cert(context)
    return context


@each_variant
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_it_is_resumed_only_for_its_names(variant: str, version: ssl.TLSVersion) -> None:
    async def main(backend: Backend) -> None:
        context = trusting()
        context.maximum_version = version
        accepted: list[Noted] = []

        def accept() -> Noted:
            accepted.append(Noted())
            return accepted[-1]

        async def resumed(name: str, session: ssl.SSLSession | None) -> bool:
            tls = TLSOptions(context, name, session=session)
            client = await backend.connect(
                listener.endpoint, Noted, options=ConnectionOptions(tls=tls)
            )
            await until(backend, lambda: accepted)
            server = accepted.pop()
            # The client has the tickets of 1.3 once it has the first data.
            server.transport.write(b"hello")
            await until(backend, lambda: client.data)
            info = client.transport.tls
            assert info is not None
            sessions.append(info.session)
            for side in client, server:
                side.transport.loseConnection()
                assert isinstance(await side.transport.whenClosed(), ConnectionDone)
            return info.resumed

        sessions: list[ssl.SSLSession | None] = []
        options = ConnectionOptions(tls=TLSOptions(served()))
        async with await backend.listen(place(backend), accept, options) as listener:
            assert not await resumed(OURS[0], None)
            for name in OURS:
                assert await resumed(name, sessions[-1]), name
            for name in OTHERS:
                with pytest.raises(TLSError, match=f"with a server that is not {name}$"):
                    await resumed(name, sessions[-1])

    run(main, variant=variant)


def test_a_certificate_of_one_name_alone() -> None:
    """An old one has the name of its host in its subject; one with other names has it there too."""
    old = {"subject": ((("countryName", "XX"),), (("commonName", "a.example"),))}
    assert is_for(old, "a.example")
    assert not is_for(old, "b.example")
    assert not is_for({**old, "subjectAltName": (("DNS", "b.example"),)}, "a.example")


def test_a_certificate_that_says_nothing_of_use() -> None:
    assert not is_for({}, "a.example")
    assert not is_for({}, "127.0.0.1")
    assert not is_for({"subjectAltName": (("IP Address", "<invalid>"),)}, "127.0.0.1")
    assert not is_for({"subjectAltName": (("DNS", "127.0.0.1"),)}, "127.0.0.1")
