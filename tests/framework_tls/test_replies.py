"""END-01 over TLS of the frameworks: a reply arrives whole, whatever the client still sends."""

from __future__ import annotations

import socket
import tracemalloc
from threading import Event
from typing import Any

import anyio
import pytest
from core.support import Recorder, run, until
from framework_tls.stacks import (
    CLIENTS,
    ENDS_BARE,
    OVER_A_WRAPPER,
    OWN,
    STACKS,
    Serve,
    own,
)
from framework_tls.uploading import Contexts, Uploader, make_contexts
from halfclose import (
    Backend,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionOptions,
)

SIZE = 4 << 20
REPLY = bytes(range(256)) * (SIZE // 256)

FIRST = [0, 8 << 20]
"""Bytes that the other end uploads before it begins to read."""

ENDS_BOTH = [name for name in STACKS if name.startswith("twisted")]
"""Where the client's close_notify ends both halves at once."""


@pytest.fixture(scope="module", params=["1.3", pytest.param("1.2", marks=pytest.mark.thorough)])
def contexts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    return make_contexts(request.param, tmp_path_factory.mktemp("tls"))


class Replies(Recorder):
    """Answers the first bytes, and closes."""

    def __init__(self, reply: bytes = REPLY) -> None:
        super().__init__()
        self._reply = reply

    def dataReceived(self, data: bytes) -> None:
        assert not self.data
        super().dataReceived(data)
        self.transport.write(self._reply)
        self.transport.loseConnection()


def converse(
    stack: tuple[str, Serve],
    server: Recorder,
    contexts: Contexts,
    options: ConnectionOptions | None = None,
    settings: Any = None,
    **how: Any,
) -> Uploader:
    """Let *server* serve one client, and return the client once both are over.

    :param settings: the options of the backend.
    :param how: what the client does; see `Uploader`.
    """
    variant, serve = stack

    async def main(backend: Backend) -> Uploader:
        listening = serve(backend, lambda: server, contexts, options or ConnectionOptions())
        async with listening as where:
            client = Uploader(where, contexts.client, **how)
            client.start()
            await until(backend, client.over.is_set)
            client.join()
            await until(backend, lambda: server.reason)
        return client

    return run(main, variant=variant, options=settings)


def check_whole(client: Uploader, server: Recorder) -> None:
    assert (len(client.reply), client.clean, client.error) == (SIZE, True, None)
    assert client.reply == REPLY
    assert isinstance(server.reason, ConnectionDone)


# -- what arrives ------------------------------------------------------------------------------


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("stack", STACKS)
def test_the_whole_reply_arrives(stack: str, first: int, contexts: Contexts) -> None:
    server = Replies()
    check_whole(converse(STACKS[stack], server, contexts, first=first), server)
    assert server.events == ["made", "data", "lost"]


@pytest.mark.thorough
@pytest.mark.parametrize("turn", range(20))
@pytest.mark.parametrize("stack", STACKS)
def test_again_and_again(stack: str, turn: int, contexts: Contexts) -> None:
    server = Replies()
    check_whole(converse(STACKS[stack], server, contexts, first=FIRST[turn % 2]), server)


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("variant", OWN)
def test_by_our_own_tls_over_native_transports(
    variant: str, first: int, contexts: Contexts
) -> None:
    server = Replies()
    settings = {"sockets": "native"}
    check_whole(converse((variant, own), server, contexts, settings=settings, first=first), server)


class Uploads(Recorder):
    """Sends all at once, as a client, and closes."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(REPLY)
        self.transport.loseConnection()


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("stack", CLIENTS)
def test_what_a_client_sends_while_the_server_sends(
    stack: str, first: int, contexts: Contexts
) -> None:
    variant, connect = CLIENTS[stack]
    client = Uploads()

    async def main(backend: Backend) -> Uploader:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = Uploader(listening, contexts.server, first=first)
            server.start()
            await connect(backend, client, contexts, listening.getsockname()[1])
            await until(backend, server.over.is_set)
            server.join()
        await until(backend, lambda: client.reason)
        return server

    check_whole(run(main, variant=variant), client)
    assert client.events == ["made", "lost"]


@pytest.mark.parametrize("stack", ENDS_BARE)
def test_where_the_program_wants_no_end_of_tls(stack: str, contexts: Contexts) -> None:
    server = Replies()
    client = converse(ENDS_BARE[stack], server, contexts, first=FIRST[1])
    assert (len(client.reply), client.clean, client.error) == (SIZE, False, None)
    assert isinstance(server.reason, ConnectionDone)


@pytest.mark.parametrize("first", FIRST)
def test_where_twisted_ends_tls(first: int, contexts: Contexts) -> None:
    """The reply arrives, since Twisted reads on until the client has ended."""
    server = Replies()
    check_whole(converse(OVER_A_WRAPPER, server, contexts, first=first), server)
    assert not server.transport.capabilities.can_half_close


class ClosesAtOnce(Recorder):
    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.loseConnection()


@pytest.mark.parametrize("stack", [name for name in STACKS if "startTLS" not in name])
def test_a_close_before_the_handshake_is_over(stack: str, contexts: Contexts) -> None:
    """It waits for that, and the client sees the end of TLS."""
    server = ClosesAtOnce()
    client = converse(STACKS[stack], server, contexts, uploads=False)
    assert (len(client.reply), client.clean, client.error) == (0, True, None)
    assert server.events == ["made", "lost"]
    assert isinstance(server.reason, ConnectionDone)


# -- the client's end --------------------------------------------------------------------------


@pytest.mark.parametrize("stack", STACKS)
def test_a_short_reply_to_a_client_that_has_ended(stack: str, contexts: Contexts) -> None:
    """Its end is in the same segment as its question."""
    server = Replies(b"!")
    client = converse(STACKS[stack], server, contexts, end="close_notify")
    assert (bytes(client.reply), client.clean, client.error) == (b"!", True, None)
    assert isinstance(server.reason, ConnectionDone)


@pytest.mark.parametrize("stack", STACKS)
def test_a_long_reply_to_a_client_that_has_ended(stack: str, contexts: Contexts) -> None:
    """It arrives whole; or, where the client's end ends both halves, the protocol hears of that."""
    server = Replies()
    client = converse(STACKS[stack], server, contexts, end="close_notify")
    if stack in ENDS_BOTH:
        assert len(client.reply) < SIZE
        assert isinstance(server.reason, ConnectionLost)
    else:
        check_whole(client, server)


class RepliesAtTheEnd(Recorder):
    """Answers once the client has ended, and closes."""

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self.transport.write(REPLY)
        self.transport.loseConnection()


@pytest.mark.parametrize("stack", STACKS)
def test_a_reply_once_the_clients_end_was_told(stack: str, contexts: Contexts) -> None:
    server = RepliesAtTheEnd()
    client = converse(STACKS[stack], server, contexts, end="close_notify")
    assert server.events == ["made", "data", "read", "lost"]
    if stack in ENDS_BOTH:
        assert client.reply == b""
        assert isinstance(server.reason, ConnectionLost)
    else:
        check_whole(client, server)


@pytest.mark.parametrize("end", ["bare", "inside"])
@pytest.mark.parametrize("stack", STACKS)
def test_a_stream_that_was_cut_off_has_no_clean_end(
    stack: str, end: str, contexts: Contexts
) -> None:
    server = Recorder()
    converse(STACKS[stack], server, contexts, end=end)
    assert server.events == ["made", "data", "lost"]
    assert server.data == b"?"
    assert isinstance(server.reason, ConnectionLost)


# -- what a client may cost --------------------------------------------------------------------


@pytest.mark.parametrize("stack", STACKS)
def test_a_client_that_never_ends_is_reset(stack: str, contexts: Contexts) -> None:
    server = Replies(b"!")
    options = ConnectionOptions(linger_bytes=1 << 20)
    client = converse(STACKS[stack], server, contexts, options, goes_on=True)
    assert isinstance(client.error, ConnectionError)
    assert isinstance(server.reason, ConnectionDone)


@pytest.mark.parametrize("stack", STACKS)
def test_a_client_that_stays_is_left(stack: str, contexts: Contexts) -> None:
    variant, serve = STACKS[stack]
    server = Replies(b"!")
    options = ConnectionOptions(linger_timeout=0.1)
    released = Event()

    async def main(backend: Any) -> None:
        async with serve(backend, lambda: server, contexts, options) as where:
            client = Uploader(where, contexts.client, uploads=False, stays=released)
            client.start()
            await until(backend, lambda: server.reason)
        # `serve_stream` has returned; what `as_factory` has made lingers in the backend.
        await until(backend, lambda: not backend.lingering)
        released.set()
        client.join()
        assert (bytes(client.reply), client.clean, client.error) == (b"!", True, None)

    try:
        run(main, variant=variant)
    finally:
        released.set()
    assert isinstance(server.reason, ConnectionDone)


@pytest.mark.thorough
@pytest.mark.parametrize("stack", [name for name in STACKS if name != "anyio on uvloop"])
def test_what_is_discarded_takes_no_memory(stack: str, contexts: Contexts) -> None:
    """But under anyio on uvloop: its transport reads faster than anyio takes (`bounds_input`)."""
    server = Replies()
    tracemalloc.start()
    try:
        check_whole(converse(STACKS[stack], server, contexts, first=128 << 20), server)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The reply is held by the client, and in part by the server.
    assert peak < 16 << 20


@pytest.mark.parametrize("stack", [name for name in STACKS if name not in ENDS_BOTH])
def test_cancelled_while_it_discards(stack: str, contexts: Contexts) -> None:
    variant, serve = STACKS[stack]
    server = Replies(b"!")

    async def main(backend: Backend) -> Uploader:
        with anyio.CancelScope() as scope:
            async with serve(backend, lambda: server, contexts, ConnectionOptions()) as where:
                client = Uploader(where, contexts.client, goes_on=True)
                client.start()
                await until(backend, lambda: server.reason)
                scope.cancel()
        await until(backend, client.over.is_set)
        client.join()
        return client

    client = run(main, variant=variant)
    assert isinstance(client.error, ConnectionError)
    assert isinstance(server.reason, (ConnectionDone, ConnectionAborted))
