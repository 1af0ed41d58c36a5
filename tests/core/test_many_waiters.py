"""What must not grow with those that wait for a connection's end, nor fail where epoll is full."""

from __future__ import annotations

import errno
import logging
import socket
from typing import Any

import pytest
from core.support import VARIANTS, Recorder, run, until
from halfclose import Backend, ConnectionLost

WAITERS = 3000


@pytest.mark.parametrize("variant", VARIANTS)
def test_whoever_waits_for_the_end_waits_for_one_event(variant: str) -> None:
    """One for each, in a tuple that was made anew each time, took time by their square."""

    async def main(backend: Backend) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            endpoint = f"tcp:127.0.0.1:{server.getsockname()[1]}"
            recorder: Recorder = await backend.connect(endpoint, Recorder)
            peer = server.accept()[0]
        made: list[object] = []
        create = backend.create_event

        def counted() -> Any:
            made.append(create())
            return made[-1]

        backend.create_event = counted  # type: ignore[method-assign]
        reasons: list[BaseException] = []

        async def wait() -> None:
            reasons.append(await recorder.transport.whenClosed())

        for _ in range(WAITERS):
            backend.start_soon(wait)
        await until(backend, lambda: made)
        await backend.sleep(0)
        peer.close()
        recorder.transport.abortConnection()
        await until(backend, lambda: len(reasons) == WAITERS)
        assert set(reasons) == {recorder.reason}
        assert len(made) == 1

    run(main, variant=variant)


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_epoll_that_is_full_is_told_as_the_reason(
    variant: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And not raised out of loseConnection, at which the protocol was blamed for it."""
    from halfclose.io.socket_channel import SocketChannel

    full = OSError(errno.ENOSPC, "No space left on device")

    class Closing(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            monkeypatch.setattr(SocketChannel, "resume_reading", refuse)
            self.transport.write(b"bye")
            self.transport.loseConnection()
            monkeypatch.undo()

    def refuse(channel: SocketChannel) -> None:
        raise full

    async def main(backend: Backend) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            endpoint = f"tcp:127.0.0.1:{server.getsockname()[1]}"
            closing: Closing = await backend.connect(endpoint, Closing)
            await until(backend, lambda: closing.reason is not None)
        assert closing.events == ["made", "lost"]
        assert type(closing.reason) is ConnectionLost
        assert closing.reason.__cause__ is full

    with caplog.at_level(logging.WARNING, "halfclose"):
        run(main, variant=variant, options={"sockets": "poller"})
    assert not [record.getMessage() for record in caplog.records]
