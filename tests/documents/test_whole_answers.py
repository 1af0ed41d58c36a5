"""No client of the pages takes a part of an answer for a whole one, or a whole one for a part.

Only `readConnectionLost` says that an answer is complete. The reason of the end does not: it is
ConnectionDone too when we leave in the middle of an answer, and a reset may follow a whole one.
"""

from __future__ import annotations

import importlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import halfclose
import pytest
from cli.support import read_all, reset, serving
from core.support import run
from documents.programs import SOME, module
from halfclose import Backend
from halfclose.examples import Ask

Client = Callable[[Backend, str], Awaitable[bytes]]


def _of_a_runner(name: str) -> Client:
    """The function `exchange` of an example, which asks a server."""
    exchange: Any = importlib.import_module(f"runners.examples.{name}").exchange
    if "upstream" not in name:
        return lambda backend, endpoint: exchange(backend, endpoint, b"question")

    async def ask(backend: Backend, endpoint: str) -> bytes:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("UPSTREAM", endpoint)
            asking = exchange(backend, b"question")
            answer: bytes = await asking
        return answer

    return ask


def _of_the_page() -> Client:
    ask: Any = module("docs/how-to/moving-from-asyncio.md", "after, a client").ask
    return lambda backend, endpoint: ask(backend, int(endpoint.rpartition(":")[2]), b"question")


def _of_await_an_answer() -> Client:
    made: Any = module("docs/how-to/await-an-answer.md", "ask")

    async def ask(backend: Backend, endpoint: str) -> bytes:
        try:
            answer: bytes = await made.ask(backend, endpoint, b"question")
        except made.Incomplete as error:
            raise ConnectionError from error
        return answer

    return ask


async def _whole(backend: Backend, endpoint: str) -> bytes:
    client = await backend.connect(endpoint, Ask)
    return await client.whole()


CLIENTS: dict[str, Callable[[], Client]] = {
    "examples.Ask": lambda: _whole,
    "await-an-answer": _of_await_an_answer,
    "moving-from-asyncio": _of_the_page,
    **{
        name: lambda name=name: _of_a_runner(name)  # type: ignore[misc]
        for name in ("with_fastapi_upstream", "with_aiohttp_upstream", "without_a_loop")
    },
}


def conversation(client: Client, answer: Callable[[socket.socket], object], variant: str) -> bytes:
    """What *client* gets from a plain server."""

    def serve(sock: socket.socket) -> None:
        read_all(sock)
        answer(sock)

    with serving(serve) as endpoint:
        return run(client, endpoint, variant=variant)


def _ended(sock: socket.socket) -> None:
    sock.sendall(b"413 too long")
    sock.shutdown(socket.SHUT_WR)
    reset(sock)


def _cut_off(sock: socket.socket) -> None:
    sock.sendall(b"413 too")
    reset(sock)


@pytest.mark.parametrize("name", CLIENTS)
def test_what_was_ended_is_whole_though_a_reset_follows(name: str) -> None:
    assert conversation(CLIENTS[name](), _ended, "anyio+asyncio") == b"413 too long"


@pytest.mark.parametrize("name", CLIENTS)
def test_what_was_reset_is_not(name: str) -> None:
    with pytest.raises(ConnectionError):
        conversation(CLIENTS[name](), _cut_off, "anyio+asyncio")


class Begins(halfclose.HalfCloseableProtocol):
    """Begins an answer and does not end it."""

    def __init__(self, begun: list[bool]) -> None:
        self.begun = begun

    def readConnectionLost(self) -> None:
        self.transport.write(b"a part")
        self.begun.append(True)

    def writeConnectionLost(self) -> None:
        pass


@pytest.mark.parametrize("name", CLIENTS)
def test_what_we_leave_is_not(name: str) -> None:
    _check_leaving(CLIENTS[name](), "anyio+asyncio")


@pytest.mark.parametrize("variant", SOME)
def test_what_we_leave_is_not_on_any_loop(variant: str) -> None:
    _check_leaving(_whole, variant)


def _check_leaving(client: Client, variant: str) -> None:
    results: list[bytes | BaseException] = []
    begun: list[bool] = []

    async def task(backend: Backend, endpoint: str) -> None:
        try:
            results.append(await client(backend, endpoint))
        except ConnectionError as error:
            results.append(error)
        except BaseException as error:
            # Its task is cancelled at the end of the grace, which is before that on a busy machine.
            results.append(error)
            raise

    async def main(backend: Backend) -> None:
        listener = await backend.listen("tcp:127.0.0.1:0", lambda: Begins(begun))
        backend.start_soon(task, backend, str(listener.endpoint))
        while not begun:
            await backend.sleep(0.01)

    run(main, variant=variant, options={"grace": 0.2})
    (result,) = results
    assert not isinstance(result, bytes), result
