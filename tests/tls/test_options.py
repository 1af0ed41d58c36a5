"""What `TLSOptions` takes, what it refuses, and what it leaves as it was."""

from __future__ import annotations

import dataclasses
import ssl
import sys
import threading
from typing import Any

import pytest
from core.support import until
from halfclose import (
    Backend,
    ConnectError,
    ConnectionDone,
    ConnectionOptions,
    ListenError,
    TLSOptions,
)
from tls.pairs import (
    NAME,
    Noted,
    client_tls,
    each_variant,
    pair,
    place,
    run,
    server_tls,
    trusting,
    with_certificate,
)


def test_the_defaults() -> None:
    made = TLSOptions()
    assert made == TLSOptions(None, None, (), None, "error", 30.0)
    assert hash(made) == hash(TLSOptions())
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.alpn = ("h2",)  # type: ignore[misc]


def test_they_are_values() -> None:
    context = trusting()
    made = TLSOptions(context, NAME, ("h2",))
    assert made == TLSOptions(context, NAME, ["h2"])  # type: ignore[arg-type]
    assert len({made, TLSOptions(context, NAME, ("h2",)), TLSOptions(trusting(), NAME)}) == 2
    assert ConnectionOptions(tls=made) == ConnectionOptions(tls=TLSOptions(context, NAME, ("h2",)))
    assert hash(ConnectionOptions(tls=made))


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"context": "tls"}, TypeError, "context is an ssl.SSLContext, not 'tls'"),
    ({"context": ssl.SSLContext}, TypeError, "context is an ssl.SSLContext"),
    ({"server_hostname": b"name"}, TypeError, "server_hostname is a string, not b'name'"),
    ({"server_hostname": ""}, ValueError, "server_hostname '' is no name of a host"),
    ({"server_hostname": ".org"}, ValueError, "server_hostname '.org' is no name"),
    ({"server_hostname": "a\0b"}, ValueError, "is no name of a host"),
    ({"server_hostname": "a b"}, ValueError, "is no name of a host"),
    ({"alpn": "h2"}, TypeError, "alpn is a tuple of names, not 'h2'"),
    ({"alpn": b"h2"}, TypeError, "alpn is a tuple of names, not b'h2'"),
    ({"alpn": (b"h2",)}, TypeError, "a name of alpn is a string, not b'h2'"),
    ({"alpn": ("",)}, ValueError, "a name of alpn has 1 to 255 ASCII characters, unlike ''"),
    ({"alpn": ("x" * 256,)}, ValueError, "a name of alpn has 1 to 255"),
    ({"alpn": ("ü",)}, ValueError, "a name of alpn has 1 to 255 ASCII"),
    ({"session": b"ticket"}, TypeError, "session is what TLSInfo.session gives, not b'ticket'"),
    ({"truncation": "ignore"}, ValueError, "truncation is 'error' or 'eof', not 'ignore'"),
    ({"handshake_timeout": -1}, ValueError, "handshake_timeout is a number of seconds"),
    ({"handshake_timeout": None}, TypeError, "handshake_timeout is a number of seconds"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), WRONG)
def test_what_is_refused(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        TLSOptions(**arguments)
    assert words in str(caught.value)


def test_connection_options_take_tls_options_alone() -> None:
    with pytest.raises(TypeError, match="tls is a TLSOptions, not"):
        ConnectionOptions(tls=trusting())  # type: ignore[arg-type]


def test_what_twisted_and_pyopenssl_make_is_refused_with_a_reason() -> None:
    twisted = pytest.importorskip("twisted.internet.ssl")
    openssl = pytest.importorskip("OpenSSL.SSL")
    for context in (
        twisted.CertificateOptions(),
        twisted.optionsForClientTLS("example.org"),
        openssl.Context(openssl.TLS_METHOD),
    ):
        with pytest.raises(TypeError) as caught:
            TLSOptions(context)
        assert "the contexts and options of pyOpenSSL cannot be used here" in str(caught.value)


def test_nothing_secret_is_shown() -> None:
    context = with_certificate()
    shown = repr(TLSOptions(context, NAME))
    assert shown == (
        f"TLSOptions(context={context!r}, server_hostname='{NAME}', alpn=(), session=None, "
        "truncation='error', handshake_timeout=30.0)"
    )


def test_the_options_of_a_context_stay() -> None:
    """It may serve other libraries as well, which want theirs."""

    async def main(backend: Backend) -> None:
        contexts = trusting(), with_certificate()
        ignore = getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", ssl.Options(0))
        for context in contexts:
            context.options |= ignore
            context.options &= ~ssl.OP_NO_RENEGOTIATION
        before = [context.options for context in contexts]
        async with pair(backend) as (client, server):
            client.transport.startTLS(TLSOptions(contexts[0], NAME))
            server.transport.startTLS(TLSOptions(contexts[1]), server_side=True)
            await until(backend, lambda: "handshake" in server.events)
            assert [context.options for context in contexts] == before
            # And ours do not come from there.
            client.transport.loseWriteConnection()
            await until(backend, lambda: "read" in server.events)
            server.transport.loseConnection()
            assert isinstance(await client.transport.whenClosed(), ConnectionDone)

    run(main, variant="memory")


def test_a_context_in_two_threads() -> None:
    """Each loop changes its options for a moment, and the other must not see that."""
    from halfclose.tls import contexts

    context = trusting()
    before = context.options
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def connect() -> None:
        for _ in range(300):
            contexts.client_engine(TLSOptions(context, NAME), None)

    try:
        threads = [threading.Thread(target=connect) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert context.options == before


def test_clients_of_one_context_with_different_alpn() -> None:
    async def main(backend: Backend) -> None:
        context = trusting()
        agreed = []
        for alpn in (("h2",), ("http/1.1",), ("h2", "http/1.1")):
            async with pair(backend) as (client, server):
                client.transport.startTLS(TLSOptions(context, NAME, alpn))
                server.transport.startTLS(server_tls(alpn=("http/1.1", "h2")), server_side=True)
                await over(backend, client)
                agreed.append(client.transport.negotiatedProtocol)
        assert agreed == ["h2", "http/1.1", "http/1.1"]

    run(main, variant="memory")


def test_the_default_context_keeps_nothing_of_a_connection() -> None:
    """A client that names neither a context nor ALPN offers none, whatever another has offered."""
    from halfclose.tls import contexts

    def offered(alpn: tuple[str, ...]) -> bytes:
        engine = contexts.client_engine(TLSOptions(alpn=alpn), NAME)
        engine.handshake()
        return engine.produced()

    assert b"\x02h2" in offered(("h2",))
    assert b"\x02h2" not in offered(())


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("server.example.", "server.example"),
        ("fe80::1%lo", "fe80::1"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_the_name_that_is_asked_for(host: str, asked: str) -> None:
    from halfclose.tls import contexts

    engine = contexts.client_engine(TLSOptions(trusting()), host)
    assert engine.server_hostname == asked


def test_a_host_that_can_be_no_name() -> None:
    from halfclose.tls import contexts

    with pytest.raises(ValueError, match="is no name of a host"):
        contexts.client_engine(TLSOptions(trusting()), "x" * 64 + ".example")


@each_variant
def test_tls_over_any_endpoint(variant: str) -> None:
    """Also for an endpoint that says nothing of TLS."""

    async def main(backend: Backend) -> None:
        accepted: list[Noted] = []

        def accept() -> Noted:
            accepted.append(Noted())
            return accepted[-1]

        options = ConnectionOptions(tls=server_tls())
        async with await backend.listen(place(backend), accept, options) as listener:
            assert not str(listener.endpoint).startswith("tls:")
            client = await backend.connect(
                listener.endpoint, Noted, options=ConnectionOptions(tls=client_tls())
            )
            assert client.events == ["made", "handshake"]
            client.transport.write(b"hello")
            client.transport.loseConnection()
            assert isinstance(await client.transport.whenClosed(), ConnectionDone)
            await until(backend, lambda: accepted[0].data == b"hello")

    run(main, variant=variant)


@each_variant
def test_a_server_needs_a_context_with_which_it_can_be_one(variant: str) -> None:
    async def main(backend: Backend) -> None:
        for tls, words in (
            (TLSOptions(), "a server of TLS needs a certificate"),
            (client_tls(), "its context is for a client (PROTOCOL_TLS_CLIENT)"),
        ):
            with pytest.raises(ListenError) as caught:
                await backend.listen(place(backend), Noted, ConnectionOptions(tls=tls))
            assert str(caught.value).startswith(f"cannot listen on {place(backend)}: {words}")

    run(main, variant=variant)


def test_a_client_needs_a_context_with_which_it_can_be_one() -> None:
    async def main(backend: Backend) -> None:
        options = ConnectionOptions(tls=server_tls())
        async with await backend.listen("memory:x", Noted, options) as listener:
            for tls, words in (
                (server_tls(), "its context is for a server (PROTOCOL_TLS_SERVER)"),
                (TLSOptions(trusting()), "TLSOptions.server_hostname is missing"),
                (
                    client_tls(session=await _session(backend, listener.endpoint)),
                    "TLSOptions.session is of another context",
                ),
            ):
                with pytest.raises(ConnectError) as caught:
                    await backend.connect(
                        listener.endpoint, Noted, options=ConnectionOptions(tls=tls)
                    )
                assert str(caught.value).startswith(f"cannot connect to memory:x: {words}")

    run(main, variant="memory")


async def over(backend: Backend, side: Noted) -> None:
    """Wait until *side* was told that the handshake is over."""
    await until(backend, lambda: "handshake" in side.events)


async def _session(backend: Backend, endpoint: Any) -> ssl.SSLSession:
    client = await backend.connect(endpoint, Noted, options=ConnectionOptions(tls=client_tls()))
    assert client.transport.tls is not None
    session = client.transport.tls.session
    client.transport.abortConnection()
    assert session is not None
    return session
