"""END-01 over TLS of the frameworks: a reply arrives whole, whatever the client still sends."""

from __future__ import annotations

from typing import Any

import pytest
from core.support import Recorder, run, until
from framework_tls.stacks import STACKS
from framework_tls.uploading import VERSIONS, Contexts, Found, Uploader, make_contexts
from halfclose import Backend, ConnectionDone, ConnectionOptions

SIZE = 4 << 20
REPLY = bytes(range(256)) * (SIZE // 256)


@pytest.fixture(scope="module", params=VERSIONS)
def contexts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    return make_contexts(request.param, tmp_path_factory.mktemp("tls") / "server.pem")


class Replies(Recorder):
    """Answers the first bytes, and closes."""

    def dataReceived(self, data: bytes) -> None:
        assert not self.data
        super().dataReceived(data)
        self.transport.write(REPLY)
        self.transport.loseConnection()


async def converse(
    backend: Backend, serve: Any, make: Any, contexts: Contexts, options: Any, **how: Any
) -> Found:
    async with serve(backend, make, contexts, options) as port:
        client = Uploader(port, contexts.client, **how)
        client.start()
        await until(backend, client.found.done)
        client.join()
        return client.found.result()


@pytest.mark.parametrize("first", [0, 8 << 20])
@pytest.mark.parametrize("stack", STACKS)
def test_the_whole_reply_arrives(stack: str, first: int, contexts: Contexts) -> None:
    """The client uploads all the time. It reads at once, or only after 8 MiB."""
    variant, serve = STACKS[stack]
    made: list[Replies] = []

    def make() -> Replies:
        made.append(Replies())
        return made[-1]

    async def main(backend: Backend) -> None:
        found = await converse(backend, serve, make, contexts, ConnectionOptions(), first=first)
        assert (len(found.reply), found.clean, found.end) == (SIZE, True, None)
        assert found.reply == REPLY
        await until(backend, lambda: made[0].reason)
        assert isinstance(made[0].reason, ConnectionDone)
        assert made[0].events == ["made", "data", "lost"]

    run(main, variant=variant)
