"""What a client hears of a handshake that failed, and what it leaves behind (TLS-13)."""

from __future__ import annotations

import logging
import math
import ssl
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import anyio
import pytest
import trustme
from core.support import VARIANTS, descriptors, until
from halfclose import (
    Backend,
    ConnectError,
    ConnectionLost,
    ConnectionOptions,
    ConnectionRefused,
    ConnectTimeout,
    DNSLookupFailed,
    Event,
    HalfCloseableProtocol,
    Listener,
    TLSError,
    TLSOptions,
    TruncatedError,
)
from tls.pairs import (
    NAME,
    Noted,
    authority,
    client_tls,
    each_variant,
    place,
    run,
    server_tls,
    trusting,
    with_certificate,
)
from twisted.internet.defer import CancelledError, Deferred


class Never(Noted):
    """Must not be made."""

    def __init__(self) -> None:
        raise AssertionError("the factory was called")


def there(listener: Listener) -> str:
    """The endpoint of *listener* to connect to by TLS."""
    return str(listener.endpoint).replace("tcp:", "tls:")


async def refused(
    backend: Backend, endpoint: str, tls: TLSOptions, timeout: float | None = 30.0
) -> ConnectError:
    """What connecting to *endpoint* raises."""
    with pytest.raises(ConnectError) as caught:
        await backend.connect(endpoint, Never, timeout, ConnectionOptions(tls=tls))
    text = str(caught.value)
    assert text.startswith(f"cannot connect to {endpoint}: ")
    assert "_ssl.c" not in text
    assert "[SSL" not in text
    return caught.value


def why(error: ConnectError) -> str:
    """What *error* says after the endpoint."""
    return str(error).partition(": ")[2]


# -- certificates ----------------------------------------------------------------------------------


def of_another_authority() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(NAME).configure_cert(context)
    return context


def signed_by_itself() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = trustme.CA()
    with own.private_key_pem.tempfile() as key, own.cert_pem.tempfile() as certificate:
        context.load_cert_chain(certificate, key)
    return context


def for_another_name() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("other.example").configure_cert(context)
    return context


def expired() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    then = datetime.now(UTC) - timedelta(days=1)
    authority().issue_cert(NAME, not_after=then).configure_cert(context)
    return context


def not_yet_valid() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    then = datetime.now(UTC) + timedelta(days=1)
    authority().issue_cert(NAME, not_before=then).configure_cert(context)
    return context


CERTIFICATES: list[tuple[Callable[[], ssl.SSLContext], str]] = [
    (of_another_authority, "unable to get local issuer certificate"),
    (signed_by_itself, "self-signed certificate"),
    (for_another_name, f"Hostname mismatch, certificate is not valid for '{NAME}'"),
    (expired, "certificate has expired"),
    (not_yet_valid, "certificate is not yet valid"),
]


@each_variant
@pytest.mark.parametrize("server", [made for made, _ in CERTIFICATES])
def test_a_certificate_that_is_not_accepted(
    variant: str, server: Callable[[], ssl.SSLContext], caplog: pytest.LogCaptureFixture
) -> None:
    """The verifier's words; and the server logs one line, and goes on."""

    async def main(backend: Backend) -> None:
        options = ConnectionOptions(tls=TLSOptions(server()))
        async with await backend.listen(place(backend), Never, options) as listener:
            for _ in range(2):
                error = await refused(backend, there(listener), client_tls())
                assert type(error) is TLSError
                assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
                assert why(error) == (
                    f"the peer's certificate was not accepted: {dict(CERTIFICATES)[server]}"
                )
            await until(backend, lambda: len(caplog.records) == 2)
        for record in caplog.records:
            assert record.levelno == logging.WARNING
            assert "the TLS handshake with" in record.getMessage()
            assert "failed: the peer ended the TLS with the alert '" in record.getMessage()

    run(main, variant=variant)


# -- peers that speak no TLS, or another -----------------------------------------------------------


class Saying(HalfCloseableProtocol):
    """Says *words*, and nothing more."""

    words = b""

    def connectionMade(self) -> None:
        self.transport.write(self.words)

    def readConnectionLost(self) -> None:
        pass

    def writeConnectionLost(self) -> None:
        pass


class Ending(Saying):
    """Ends its half once the handshake has begun, by the method *verb* of its transport."""

    verb = ""

    def dataReceived(self, data: bytes) -> None:
        getattr(self.transport, self.verb)()


NO_TLS = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"220 mail.example ESMTP\r\n",
    bytes(1000),
]


@each_variant
@pytest.mark.parametrize("words", NO_TLS, ids=["http", "ssh", "smtp", "zeros"])
def test_a_peer_that_speaks_no_tls(variant: str, words: bytes) -> None:
    async def main(backend: Backend) -> None:
        async with await _serve(backend, Saying, words=words) as listener:
            error = await refused(backend, there(listener), client_tls())
            assert type(error) is TLSError
            assert isinstance(error.__cause__, ssl.SSLError)
            assert why(error) == "the peer does not speak TLS (wrong version number)"

    run(main, variant=variant)


async def _serve(backend: Backend, kind: type[HalfCloseableProtocol], **words: Any) -> Listener:
    return await backend.listen(place(backend), type("Peer", (kind,), words))


@each_variant
def test_garbage_in_a_record(variant: str) -> None:
    async def main(backend: Backend) -> None:
        words = b"\x16\x03\x03\x00\x10" + b"garbage garbage "
        async with await _serve(backend, Saying, words=words) as listener:
            error = await refused(backend, there(listener), client_tls())
            assert type(error) is TLSError
            assert isinstance(error.__cause__, ssl.SSLError)
            assert why(error).startswith("TLS has failed: ")

    run(main, variant=variant)


@each_variant
@pytest.mark.parametrize("verb", ["loseConnection", "loseWriteConnection", "abortConnection"])
def test_a_peer_that_ends_in_the_handshake(variant: str, verb: str) -> None:
    async def main(backend: Backend) -> None:
        async with await _serve(backend, Ending, verb=verb) as listener:
            error = await refused(backend, there(listener), client_tls())
            assert type(error) is TLSError
            if verb == "abortConnection":
                assert isinstance(error.__cause__, OSError)
                assert why(error).startswith("the connection was lost during the TLS handshake: ")
            else:
                assert isinstance(error.__cause__, TruncatedError)
                assert why(error) == "the peer ended the connection during the TLS handshake"

    run(main, variant=variant)


def with_other_versions() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    client, server = trusting(), with_certificate()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    return client, server


def with_other_ciphers() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    client, server = trusting(), with_certificate()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    server.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    return client, server


def without_any_certificate() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return trusting(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


NOTHING_IN_COMMON = [
    (
        with_other_versions,
        "alert 'protocol version': it accepts no version of TLS that we do",
        "the peer accepts no version of TLS that we do",
    ),
    (
        with_other_ciphers,
        "alert 'handshake failure': it found no version, cipher and certificate that both",
        "no cipher that both sides accept fits to our certificate",
    ),
    (
        without_any_certificate,
        "alert 'handshake failure'",
        "no cipher that both sides accept fits to our certificate, or we have none",
    ),
]


@each_variant
@pytest.mark.parametrize(("contexts", "told", "logged"), NOTHING_IN_COMMON)
def test_nothing_in_common(
    variant: str, contexts: Any, told: str, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(backend: Backend) -> None:
        client, server = contexts()
        options = ConnectionOptions(tls=TLSOptions(server))
        async with await backend.listen(place(backend), Never, options) as listener:
            error = await refused(backend, there(listener), TLSOptions(client, NAME))
            assert type(error) is TLSError
            assert isinstance(error.__cause__, ssl.SSLError)
            assert why(error).startswith("the peer ended the TLS with the ")
            assert told in why(error)
            await until(backend, lambda: caplog.records)
        assert [logged in record.getMessage() for record in caplog.records] == [True]

    run(main, variant=variant)


@each_variant
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shown", ["none", "unknown"])
def test_a_client_certificate_that_the_server_requires(
    variant: str, version: ssl.TLSVersion, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In 1.3 the client is connected already when it hears (TLS-14)."""

    async def main(backend: Backend) -> None:
        server = with_certificate()
        server.verify_mode = ssl.CERT_REQUIRED
        authority().configure_trust(server)
        client = trusting()
        client.maximum_version = version
        if shown == "unknown":
            trustme.CA().issue_cert("client.example").configure_cert(client)
        options = ConnectionOptions(tls=TLSOptions(server))
        async with await backend.listen(place(backend), Never, options) as listener:
            tls = TLSOptions(client, NAME)
            if version is ssl.TLSVersion.TLSv1_2:
                text = why(await refused(backend, there(listener), tls))
                alert = {"none": "handshake failure", "unknown": "unknown ca"}[shown]
            else:
                connected = await backend.connect(
                    there(listener), Noted, options=ConnectionOptions(tls=tls)
                )
                reason = await connected.transport.whenClosed()
                assert type(reason) is ConnectionLost
                assert isinstance(reason.__cause__, ssl.SSLError)
                assert connected.events == ["made", "handshake", "lost"]
                text = str(reason)
                alert = {"none": "certificate required", "unknown": "unknown ca"}[shown]
            assert text.startswith(f"the peer ended the TLS with the alert '{alert}': it ")
            await until(backend, lambda: caplog.records)
        assert len(caplog.records) == 1
        said = {
            "none": "the peer has shown no certificate, which we require",
            "unknown": "the peer's certificate was not accepted: unable to get local issuer",
        }
        assert said[shown] in caplog.text

    run(main, variant=variant)


# -- time ------------------------------------------------------------------------------------------


@each_variant
def test_a_silent_peer(variant: str) -> None:
    """Two limits: of the handshake, which is TLS's; and that of connect, which is connect's."""

    async def main(backend: Backend) -> None:
        async with await _serve(backend, Saying) as listener:
            error = await refused(backend, there(listener), client_tls(handshake_timeout=0.05))
            assert type(error) is TLSError
            assert isinstance(error.__cause__, TimeoutError)
            assert why(error) == "the TLS handshake was not over within 0.05 s"
            error = await refused(backend, there(listener), client_tls(), timeout=0.05)
            assert type(error) is ConnectTimeout
            assert why(error) == "the TLS handshake was not over within 0.05 s"

    run(main, variant=variant)


# -- no connection at all --------------------------------------------------------------------------


@each_variant
def test_nobody_listens(variant: str) -> None:
    async def main(backend: Backend) -> None:
        listener = await backend.listen(place(backend), Never)
        await listener.aclose()
        error = await refused(backend, there(listener), client_tls())
        assert type(error) is ConnectionRefused

    run(main, variant=variant)


def test_it_is_the_endpoint_of_tls_that_errors_name() -> None:
    async def main(backend: Backend) -> None:
        error = await refused(backend, "tls:no.such.name.invalid:443", client_tls())
        assert type(error) is DNSLookupFailed
        error = await refused(backend, "tls+unix:/no/such/folder/x", client_tls())
        assert why(error) == "[Errno 2] No such file or directory"
        error = await refused(backend, "tls:*:443", client_tls())
        assert why(error) == "it is to listen on; name the host to connect to"

    run(main, variant="anyio+asyncio")


# -- giving up -------------------------------------------------------------------------------------


async def cancelled(connecting: Coroutine[Any, Any, object], variant: str, seen: Event) -> None:
    """Await *connecting*, and cancel that by the framework's own means once *seen* is set."""
    if variant.startswith("anyio"):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:

                async def cancel() -> None:
                    await seen.wait()
                    scope.cancel()

                tasks.start_soon(cancel)
                await connecting
        assert scope.cancelled_caught
    else:
        task = Deferred.fromCoroutine(connecting)
        await seen.wait()
        task.cancel()
        with pytest.raises(CancelledError):
            await task


@pytest.mark.thorough
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_cancelled_handshake_leaves_nothing_behind(variant: str) -> None:
    async def main(backend: Backend) -> None:
        lost: list[BaseException] = []

        class Peer(Saying):
            def dataReceived(self, data: bytes) -> None:
                seen.set()

            def connectionLost(self, reason: BaseException) -> None:
                lost.append(reason)

        async with await backend.listen(place(backend), Peer) as listener:
            for _ in range(2):
                seen = backend.create_event()
                before = descriptors()
                options = ConnectionOptions(tls=client_tls())
                connecting = backend.connect(there(listener), Never, options=options)
                await cancelled(connecting, variant, seen)
                # A reset, which tells the peer that nothing will come.
                await until(backend, lambda: lost)
                assert isinstance(lost.pop(), ConnectionLost)
            # Only the first time may a framework keep a descriptor for later.
            await until(backend, partial(_are_open, before))

    run(main, variant=variant)


def _are_open(before: dict[str, str]) -> bool:
    return descriptors().keys() == before.keys()


@each_variant
def test_the_backend_is_left_in_the_handshake(variant: str) -> None:
    """On both sides: whoever connects is told, and nobody else is."""
    told: list[BaseException] = []

    async def main(backend: Backend) -> None:
        options = ConnectionOptions(tls=client_tls())
        listener = await _serve(backend, Saying)
        accepting = await backend.listen(_another(backend), Never, _serving())
        raw = await backend.connect(accepting.endpoint, Noted)

        async def connect() -> None:
            try:
                await backend.connect(there(listener), Never, options=options)
            except BaseException as error:
                told.append(error)
                raise

        backend.start_soon(connect)
        await until(backend, lambda: raw.events)
        raw.transport.write(b"\x16")
        await backend.sleep(0.01)

    before = descriptors()
    run(main, variant=variant, options={"grace": 0.01})
    assert len(told) == 1
    assert descriptors().keys() == before.keys()


def _another(backend: Backend) -> str:
    return place(backend).replace("memory:", "memory:another-")


def _serving() -> ConnectionOptions:
    return ConnectionOptions(tls=server_tls())


@each_variant
def test_no_limit_and_no_time_at_all(variant: str) -> None:
    async def main(backend: Backend) -> None:
        async with await backend.listen(place(backend), Noted, _serving()) as listener:
            tls = client_tls(handshake_timeout=math.inf)
            client = await backend.connect(
                there(listener), Noted, options=ConnectionOptions(tls=tls)
            )
            client.transport.abortConnection()
        async with await _serve(backend, Saying) as listener:
            error = await refused(backend, there(listener), client_tls(handshake_timeout=0))
            assert why(error) == "the TLS handshake was not over within 0 s"

    run(main, variant=variant)
