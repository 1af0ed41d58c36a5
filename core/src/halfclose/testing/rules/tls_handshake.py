"""TLS: the handshake, and what is known after it."""

from __future__ import annotations

import ssl
from typing import Any

from ...reasons import ConnectionLost, TLSError
from ...tls_options import TLSOptions
from ..channels.peers import RawPeer
from ..channels.tls import TLSPeer
from ..tools.certificates import CLIENT, NAME, SERVER, client_context, server_context
from ..tools.harness import Net, rule
from ..tools.logs import errors_in, logged, warnings_in
from ..tools.recorder import Recorder
from ..tools.tls_pairs import (
    BOTH_SIDES,
    VERSIONS,
    Connecting,
    accepted,
    connected,
    connecting,
)
from ..tools.waiting import SHORT, eventually

__all__ = ["TLSHandshakeRules"]

NOT_TLS = {
    "HTTP": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "zeros": bytes(64),
}
"""What peers say that speak no TLS."""


def offering(context: ssl.SSLContext, *names: str) -> ssl.SSLContext:
    """*context*, which names these protocols of the application."""
    if names:
        context.set_alpn_protocols(names)
    return context


class TLSHandshakeRules:
    """The rules TLS-01, TLS-13, TLS-14, TLS-18 and TLS-19."""

    @rule("TLS-01", tls=True)
    async def test_tls_01_the_handshake_comes_first(self, net: Net) -> None:
        """`connectionMade` comes after the TLS handshake, with `connect` and with `listen`. In it,
        `transport.tls` has the version and the cipher, `negotiatedProtocol` is what ALPN has
        chosen, and `getPeerCertificate` gives the certificate that the peer has shown, in TLS 1.2
        and in 1.3. What the peer sends together with the last message of its handshake comes after
        it.

        Where to look: core does this, over any channel. A channel must deliver nothing before
        ``resume_reading``, which the handshake calls, and must take writes at once after ``start``.
        """
        for version in VERSIONS:
            for connect, shown in zip(BOTH_SIDES, (CLIENT, SERVER), strict=True):
                seen: list[Any] = []

                def look(protocol: Any, seen: list[Any] = seen) -> None:
                    seen.append(protocol.transport.tls)
                    seen.append(protocol.transport.negotiatedProtocol)
                    seen.append(protocol.transport.getPeerCertificate())

                await connect(
                    net,
                    Recorder(connectionMade=look),
                    version=version,
                    server=offering(server_context(demand_client=True), "one"),
                    client=offering(client_context(certificate=True), "one"),
                )
                tls, chosen, certificate = seen
                assert tls is not None, "the handshake was not over in connectionMade"
                assert tls.version == version.name.replace("_", ".")
                assert tls.cipher
                assert chosen == "one"
                assert certificate is not None, "the peer's certificate is not known"
                assert certificate.der == ssl.PEM_cert_to_DER_cert(shown)
        await self._early_data_to_a_server(net)
        for version in VERSIONS:
            await self._early_data_to_a_client(net, version)

    async def _early_data_to_a_server(self, net: Net) -> None:
        protocol = Recorder()
        dial = await net.below().serve(lambda: protocol, tls=TLSOptions(server_context()))
        peer = net.closing(TLSPeer(net.backend, await dial(), client_context()))
        await peer.handshake(hold=True)
        peer.send_now(b"early")
        await net.until(protocol, lambda: protocol.received == b"early")

    async def _early_data_to_a_client(self, net: Net, version: ssl.TLSVersion) -> None:
        protocol = Recorder()
        server = server_context(tickets=2)
        attempt = await connecting(net, lambda: protocol, version=version, server=server)
        await attempt.peer.handshake(hold=True)
        attempt.peer.send_now(b"early")
        assert await attempt.error(net) is None
        await net.until(protocol, lambda: protocol.received == b"early")

    @rule("TLS-13", tls=True)
    async def test_tls_13_a_handshake_fails(self, net: Net) -> None:
        """If a handshake fails, connect raises TLSError, which is a ConnectError. Its message names
        the endpoint and what was wrong; if a certificate was, it has the words of the verifier. A
        listener logs the failure once, and goes on. So it is with a certificate that is not
        trusted, with a peer that speaks no TLS, such as one that speaks HTTP, and with one that
        says nothing for `handshake_timeout` seconds. The factory is not called.

        Where to look: core does this. After a failure it calls ``Channel.abort``, or lets the
        channel linger until the peer has read the alert.
        """
        await self._connect_refuses_certificates(net)
        await self._connect_refuses_what_is_no_tls(net)
        await self._listener_goes_on(net)

    async def _connect_refuses_certificates(self, net: Net) -> None:
        stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for client, name in ((stranger, NAME), (client_context(), "other.test")):
            attempt = await self._attempt(net, client=client, tls={"server_hostname": name})
            try:
                await attempt.peer.handshake()
            except (ssl.SSLError, ConnectionError):
                pass
            error = await self._refusal(net, attempt, name)
            cause = error.__cause__
            assert isinstance(cause, ssl.SSLCertVerificationError), f"{name}: {cause!r}"
            assert cause.verify_message
            assert cause.verify_message.rstrip(".") in str(error), f"{name}: {error}"

    async def _connect_refuses_what_is_no_tls(self, net: Net) -> None:
        for case, said in NOT_TLS.items():
            attempt = await self._attempt(net)
            attempt.peer.below.send_now(said)
            error = await self._refusal(net, attempt, case)
            assert isinstance(error.__cause__, ssl.SSLError), f"{case}: {error.__cause__!r}"
        attempt = await self._attempt(net, tls={"handshake_timeout": SHORT})
        await self._refusal(net, attempt, "silence")
        attempt = await self._attempt(net)
        attempt.peer.below.shutdown()
        await self._refusal(net, attempt, "an end of stream")

    async def _attempt(self, net: Net, **settings: Any) -> Connecting:
        def no_protocol() -> Recorder:
            raise AssertionError("the factory was called")

        return await connecting(net, no_protocol, **settings)

    async def _refusal(self, net: Net, attempt: Connecting, case: str) -> TLSError:
        """The error of *attempt*, which must be a TLSError that names the endpoint."""
        error = await attempt.error(net)
        assert type(error) is TLSError, f"{case}: connect raised {error!r}"
        assert str(attempt.endpoint) in str(error), f"{case}: {error}"
        return error

    async def _listener_goes_on(self, net: Net) -> None:
        made: list[Recorder] = []

        def factory() -> Recorder:
            made.append(Recorder())
            return made[-1]

        ours = TLSOptions(server_context(), handshake_timeout=SHORT)
        patient = TLSOptions(server_context())
        for options, bad in ((patient, NOT_TLS), (ours, {"silence": b""})):
            dial = await net.below().serve(factory, tls=options)
            for case, said in bad.items():
                with logged() as records:
                    await self._fails(net, await dial(), said)
                    told = await eventually(net, lambda: warnings_in(records))
                    assert told, f"{case}: no failure was logged"
                    await net.turns()
                assert len(warnings_in(records)) == 1, f"{case}: {warnings_in(records)}"
                assert not errors_in(records), f"{case}: {errors_in(records)}"
                assert not made, f"{case}: the factory was called"
            if options is patient:
                peer = net.closing(TLSPeer(net.backend, await dial(), client_context()))
                await peer.handshake()
                await net.until_made(made)
                made.clear()

    async def _fails(self, net: Net, peer: RawPeer, said: bytes) -> None:
        """Send *said*, and wait until the other end has had enough."""
        with peer:
            if said:
                peer.send_now(said)
            await peer.read_all()

    @rule("TLS-14", tls=True)
    async def test_tls_14_no_client_certificate(self, net: Net) -> None:
        """In TLS 1.3 a client learns only after its own handshake that the server wants a
        certificate which it has not shown. connectionMade comes then, and
        connectionLost(ConnectionLost) follows, whose text names the alert and whose `__cause__` is
        the `ssl.SSLError`.

        Where to look: the alert and the end of the connection come together. The channel must
        deliver what it has read before it reports a failure (capability `keeps_input`).
        """
        protocol = Recorder()
        server = server_context(demand_client=True)
        attempt = await connecting(net, lambda: protocol, server=server)
        try:
            await attempt.peer.handshake()
        except ssl.SSLError:
            attempt.peer.below.shutdown()
        else:
            raise AssertionError("the server has accepted a client without a certificate")
        assert await attempt.error(net) is None
        reason = await net.lost(protocol)
        assert type(reason) is ConnectionLost
        assert isinstance(reason.__cause__, ssl.SSLError), f"{reason!r}: {reason.__cause__!r}"
        assert "certificate required" in str(reason).lower().replace("_", " ")
        assert protocol.events == ["connectionMade", "connectionLost"]

    @rule("TLS-18", tls=True)
    async def test_tls_18_alpn_and_server_name(self, net: Net) -> None:
        """`negotiatedProtocol` is the same on both sides: the first protocol of the server's list
        that the client names too. It is None if there is none, or if one side names none; the
        connection is made all the same, as with `ssl`. `transport.tls.server_hostname` is the name
        that the client has asked for, on both sides.

        Where to look: core does this, by ``TLSOptions.alpn`` or the context's own list.
        """
        cases: tuple[tuple[tuple[str, ...], tuple[str, ...], str | None], ...] = (
            (("a", "b"), ("b", "a"), "a"),
            (("a",), ("b",), None),
            (("a",), (), None),
            ((), ("a",), None),
        )
        for server, client, chosen in cases:
            case = f"{server} and {client}"
            pair = await accepted(
                net,
                Recorder(),
                client=offering(client_context(), *client),
                tls={"alpn": server},
            )
            assert pair.transport.negotiatedProtocol == chosen, f"{case}, for the server"
            assert pair.peer.tls.selected_alpn_protocol() == chosen, case
            assert pair.transport.tls.server_hostname == NAME, "for the server"
            pair = await connected(
                net,
                Recorder(),
                server=offering(server_context(), *server),
                tls={"alpn": client},
            )
            assert pair.transport.negotiatedProtocol == chosen, f"{case}, for the client"
            assert pair.transport.tls.server_hostname == NAME, "for the client"

    @rule("TLS-19", tls=True)
    async def test_tls_19_a_session_is_resumed(self, net: Net) -> None:
        """A session that was taken from `transport.tls` after the first data came, and is given to
        the next connection as `TLSOptions.session`, is resumed, in TLS 1.2 and in 1.3:
        `transport.tls.resumed` is true there.

        Where to look: core does this. The tickets of TLS 1.3 come after the handshake, and are
        processed as input is.
        """
        for version in VERSIONS:
            server, client = server_context(tickets=1), client_context()
            sessions: list[ssl.SSLSession] = []

            def take(protocol: Any, _: bytes, sessions: list[Any] = sessions) -> None:
                sessions.append(protocol.transport.tls.session)

            for resumed in (False, True):
                tls = {"session": sessions[0]} if resumed else {}
                protocol = Recorder(dataReceived=take)
                pair = await connected(
                    net, protocol, version=version, server=server, client=client, tls=tls
                )
                pair.peer.send_now(b"first")
                await net.until(protocol, "dataReceived")
                assert pair.transport.tls.resumed is resumed, f"{version.name}, for the client"
                assert pair.peer.tls.session_reused is resumed, version.name
                pair.protocol.verb("loseConnection")
                await net.lost(protocol)
