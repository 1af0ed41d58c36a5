"""Channels that fail at the worst time, and what the socket's says of room."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, cast

import pytest
from core.support import LIMIT, Recorder, run
from halfclose import (
    TCP,
    Backend,
    Capabilities,
    Channel,
    ChannelHandler,
    Connection,
    ConnectionAborted,
    ConnectionLost,
    ConnectionOptions,
)
from halfclose.io.poller import END, READ, WRITE, EpollPoller
from halfclose.io.socket_channel import SocketChannel


class Failing(Channel):
    """Takes so many bytes of each write, and says only what it is told to say."""

    capabilities = Capabilities(keeps_input=False)

    def __init__(self, room: int) -> None:
        self._room = room
        self.handler: ChannelHandler

    def start(self, handler: ChannelHandler) -> None:
        self.handler = handler

    def resume_reading(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def write(self, data: bytes | memoryview) -> int:
        return min(len(data), self._room)

    def end_write(self) -> bool:
        return True

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass

    def get_peer(self) -> TCP:
        return TCP("peer", 1)

    def get_host(self) -> TCP:
        return TCP("host", 1)


def over(channel: Channel, use: Callable[[Connection], None]) -> BaseException:
    """Why a connection over *channel* was lost that *use* did something with."""

    async def main(backend: Backend) -> BaseException:
        connection = Connection(backend, channel, ConnectionOptions())
        connection.attach(Recorder())
        use(connection)
        return await connection.whenClosed()

    return run(main, variant="memory", limit=LIMIT)


@pytest.mark.parametrize("room", [10, 1000], ids=["output waits", "nothing waits"])
def test_closing_forgets_the_input_and_not_the_failure_behind_it(room: int) -> None:
    channel = Failing(room)
    error = ConnectionResetError("reset")

    def use(connection: Connection) -> None:
        connection.write(bytes(100))
        connection.pauseProducing()
        channel.handler.received(b"not told")
        channel.handler.failed(error)
        connection.loseConnection()

    reason = over(channel, use)
    assert isinstance(reason, ConnectionLost)
    assert reason.__cause__ is error


def test_a_pull_producer_is_not_asked_after_the_end() -> None:
    heard: list[str] = []

    class Producer:
        def resumeProducing(self) -> None:
            heard.append("resume")

        def stopProducing(self) -> None:
            heard.append("stop")

    def use(connection: Connection) -> None:
        connection.registerProducer(Producer(), False)
        connection.abortConnection()

    assert isinstance(over(Failing(1000), use), ConnectionAborted)
    assert heard == ["stop"]


def test_an_end_of_stream_behind_input_is_no_room() -> None:
    class Loop:
        def watch(self, fd: int, ready: Callable[[], object], *, write: bool = False) -> Any:
            return self

        def stop(self) -> None:
            pass

    class Handler:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *args: heard.append(name)

    heard: list[str] = []
    poller = EpollPoller(cast(Backend, Loop()))
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        channel = SocketChannel(ours, poller)
        channel.start(cast(ChannelHandler, Handler()))
        channel.resume_reading()
        while channel.write(bytes(1 << 20)):
            pass
        theirs.sendall(b"input")
        channel.ready(READ | END)
        assert heard == ["received"]
        channel.ready(READ | WRITE | END)
        assert heard == ["received", "writable"]
        channel.close()
    poller.close()
