"""END-01 over TLS of the frameworks: a reply arrives whole, whatever the client still sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from core.support import Recorder, run, until
from framework_tls.stacks import OWN, STACKS, Serve, own
from framework_tls.uploading import VERSIONS, Contexts, Uploader, make_contexts
from halfclose import Backend, ConnectionDone, ConnectionLost, ConnectionOptions, Protocol

SIZE = 4 << 20
REPLY = bytes(range(256)) * (SIZE // 256)


@pytest.fixture(scope="module", params=VERSIONS)
def contexts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    return make_contexts(request.param, tmp_path_factory.mktemp("tls") / "server.pem")


class Replies(Recorder):
    """Answers the first bytes, and closes."""

    reply = REPLY

    def dataReceived(self, data: bytes) -> None:
        assert not self.data
        super().dataReceived(data)
        self.transport.write(self.reply)
        self.transport.loseConnection()


def serve_one(
    variant: str,
    serve: Serve,
    make: Callable[[], Protocol],
    contexts: Contexts,
    client: Callable[[int], Uploader],
    options: ConnectionOptions | None = None,
    *,
    settings: Any = None,
) -> Uploader:
    """Let *client* converse with a server, and return it once it and the connection are over."""
    made: list[Any] = []

    def note() -> Protocol:
        made.append(make())
        return made[-1]

    async def main(backend: Backend) -> Uploader:
        async with serve(backend, note, contexts, options or ConnectionOptions()) as port:
            uploader = client(port)
            uploader.start()
            await until(backend, uploader.over.is_set)
            uploader.join()
        if made:
            await made[0].transport.whenClosed()
        return uploader

    return run(main, variant=variant, options=settings)


@pytest.mark.parametrize("first", [0, 8 << 20])
@pytest.mark.parametrize("stack", STACKS)
def test_the_whole_reply_arrives(stack: str, first: int, contexts: Contexts) -> None:
    """The client uploads all the time. It reads at once, or only after 8 MiB."""
    check_reply(*STACKS[stack], first, contexts)


@pytest.mark.parametrize("first", [0, 8 << 20])
@pytest.mark.parametrize("variant", OWN)
def test_over_our_own_tls_on_the_frameworks_transports(
    variant: str, first: int, contexts: Contexts
) -> None:
    check_reply(variant, own, first, contexts, {"sockets": "native"})


@pytest.mark.thorough
@pytest.mark.parametrize("run_number", range(20))
@pytest.mark.parametrize("stack", STACKS)
def test_again_and_again(stack: str, run_number: int, contexts: Contexts) -> None:
    check_reply(*STACKS[stack], run_number % 2 * (8 << 20), contexts)


def check_reply(
    variant: str, serve: Serve, first: int, contexts: Contexts, settings: Any = None
) -> None:
    server = Replies()
    client = serve_one(
        variant,
        serve,
        lambda: server,
        contexts,
        lambda port: Uploader(port, contexts.client, first=first),
        settings=settings,
    )
    assert (len(client.reply), client.clean, client.error) == (SIZE, True, None)
    assert client.reply == REPLY
    assert server.events == ["made", "data", "lost"]
    assert isinstance(server.reason, ConnectionDone)


@pytest.mark.parametrize("stack", STACKS)
def test_a_client_that_never_ends_is_reset(stack: str, contexts: Contexts) -> None:
    """The bounds of END-07 hold."""
    server = Replies()
    client = serve_one(
        *STACKS[stack],
        lambda: server,
        contexts,
        lambda port: Uploader(port, contexts.client, goes_on=True),
        ConnectionOptions(linger_bytes=1 << 20),
    )
    assert isinstance(client.error, ConnectionError)
    assert isinstance(server.reason, ConnectionDone)


ENDS_BOTH = [name for name in STACKS if name.startswith("twisted")]
"""Where the client's close_notify ends both halves at once."""


@pytest.mark.parametrize("stack", STACKS)
def test_close_notify_right_after_the_question(stack: str, contexts: Contexts) -> None:
    """A short reply arrives; of a long one Twisted sends a part, and says that it was lost."""
    for reply in (b"!", REPLY):
        server = Replies()
        server.reply = reply
        client = serve_one(
            *STACKS[stack],
            lambda server=server: server,
            contexts,
            lambda port: Uploader(port, contexts.client, end="close_notify"),
        )
        if stack in ENDS_BOTH and reply == REPLY:
            assert len(client.reply) < SIZE
            assert isinstance(server.reason, ConnectionLost)
        else:
            assert (client.reply, client.clean, client.error) == (reply, True, None)
            assert isinstance(server.reason, ConnectionDone)


class RepliesAtTheEnd(Recorder):
    """Answers once the client has ended, and closes."""

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self.transport.write(REPLY)
        self.transport.loseConnection()


@pytest.mark.parametrize("stack", STACKS)
def test_a_reply_after_the_clients_end(stack: str, contexts: Contexts) -> None:
    """It arrives, or, where the client's end ends both halves, the protocol hears of a loss."""
    server = RepliesAtTheEnd()
    client = serve_one(
        *STACKS[stack],
        lambda: server,
        contexts,
        lambda port: Uploader(port, contexts.client, end="close_notify"),
    )
    assert server.events == ["made", "data", "read", "lost"]
    if stack in ENDS_BOTH:
        assert client.reply == b""
        assert isinstance(server.reason, ConnectionLost)
    else:
        assert (client.reply == REPLY, client.clean) == (True, True)
        assert isinstance(server.reason, ConnectionDone)


@pytest.mark.parametrize("end", ["bare", "inside"])
@pytest.mark.parametrize("stack", STACKS)
def test_a_stream_that_was_cut_off_is_no_clean_end(
    stack: str, end: str, contexts: Contexts
) -> None:
    server = Recorder()
    serve_one(
        *STACKS[stack],
        lambda: server,
        contexts,
        lambda port: Uploader(port, contexts.client, end=end),
    )
    assert server.events == ["made", "data", "lost"]
    assert server.data == b"?"
    assert isinstance(server.reason, ConnectionLost)


class ClosesAtOnce(Recorder):
    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.loseConnection()


@pytest.mark.parametrize("stack", [name for name in STACKS if "startTLS" not in name])
def test_a_close_before_the_handshake_is_over(stack: str, contexts: Contexts) -> None:
    """It waits for that, and the client sees the end of TLS."""
    server = ClosesAtOnce()
    client = serve_one(
        *STACKS[stack],
        lambda: server,
        contexts,
        lambda port: Uploader(port, contexts.client, uploads=False),
    )
    assert (client.reply, client.clean, client.error) == (b"", True, None)
    assert server.events == ["made", "lost"]
    assert isinstance(server.reason, ConnectionDone)
