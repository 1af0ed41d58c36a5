"""The client of docs/how-to/await-an-answer.md returns whole answers, and nothing else."""

from __future__ import annotations

import asyncio
import select
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import halfclose
import pytest
import trio
from cli.support import LIMIT, accepted, read_all, refusing, reset, serving, start
from core.support import EchoBack, python, run
from documents.blocks import example
from documents.programs import SOME, module, program
from documents.sessions import Folder, steps
from halfclose import Backend, ConnectionOptions
from halfclose.examples import Sum
from halfclose.memory import Deadlock
from halfclose.testing import network

PAGE = "docs/how-to/await-an-answer.md"

HELLO = b"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n"


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = module(PAGE, "ask")
    # As the other examples import it.
    monkeypatch.setitem(sys.modules, "ask", made)
    return made


@pytest.mark.parametrize("variant", SOME)
def test_the_program_prints_the_answer(variant: str) -> None:
    assert steps(PAGE, "ask") == [
        ("halfclose run halfclose.examples:Sum tcp:127.0.0.1:9001 &", []),
        ("python ask.py tcp:127.0.0.1:9001 hello", [HELLO.decode().strip()]),
    ]
    with start("run", "halfclose.examples:Sum", "tcp:127.0.0.1:0") as server:
        env = {"HALFCLOSE_BACKEND": variant}
        with program(PAGE, "ask", server.endpoint(), "hello", env=env) as client:
            result = client.end()
            assert (result.status, result.out) == (0, HELLO)


def wait_silently(sock: socket.socket) -> None:
    """Read the question, and wait until the client has reset the connection."""
    assert read_all(sock) == b"question"
    wait_for_reset(sock)


def wait_for_reset(sock: socket.socket) -> None:
    poll = select.poll()
    poll.register(sock, select.POLLERR)
    assert poll.poll(LIMIT * 1000)


def serve(
    main: Callable[[Backend, str], Awaitable[None]],
    behave: Callable[[socket.socket], object],
    variant: str,
) -> None:
    """Run *main*, with a plain server whose one connection does as *behave* says."""
    with serving(behave) as endpoint:
        run(main, endpoint, variant=variant)


@pytest.mark.parametrize("variant", SOME)
def test_what_is_not_an_answer(ask: Any, variant: str) -> None:
    async def broken(backend: Backend, endpoint: str) -> None:
        with pytest.raises(ask.Incomplete, match="5 bytes") as caught:
            await ask.ask(backend, endpoint, b"question")
        assert type(caught.value.__cause__) is halfclose.ConnectionLost
        assert isinstance(caught.value.__cause__.__cause__, ConnectionResetError)

    async def silent(backend: Backend, endpoint: str) -> None:
        options = ConnectionOptions(half_close_timeout=0.1)
        with pytest.raises(ask.Incomplete) as caught:
            await ask.ask(backend, endpoint, b"question", options=options)
        assert type(caught.value.__cause__) is halfclose.HalfCloseTimeout

    async def refused(backend: Backend, endpoint: str) -> None:
        with pytest.raises(halfclose.ConnectionRefused):
            await ask.ask(backend, endpoint, b"question")

    async def long(backend: Backend, endpoint: str) -> None:
        with pytest.raises(ask.Incomplete) as caught:
            await ask.ask(backend, endpoint, b"question", limit=100)
        assert type(caught.value.__cause__) is ValueError

    def talk_on(sock: socket.socket) -> None:
        sock.sendall(b"x" * 101)
        wait_silently(sock)

    def begin(sock: socket.socket) -> None:
        assert read_all(sock) == b"question"
        sock.sendall(b"begun")
        reset(sock)

    serve(broken, begin, variant)
    serve(silent, wait_silently, variant)
    serve(long, talk_on, variant)
    with refusing() as endpoint:
        run(refused, endpoint, variant=variant)


@pytest.mark.parametrize("variant", SOME)
def test_an_answer_that_comes_before_the_question_was_read(ask: Any, variant: str) -> None:
    question = b"x" * (16 << 20)

    async def main(backend: Backend, endpoint: str) -> None:
        assert await ask.ask(backend, endpoint, question) == b"too long"

    def refuse(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(b"too long")
        sock.shutdown(socket.SHUT_WR)
        wait_for_reset(sock)

    serve(main, refuse, variant)


@pytest.mark.parametrize("variant", SOME)
def test_leaving_is_no_end_of_an_answer(ask: Any, variant: str) -> None:
    results: list[BaseException] = []

    async def waiting(backend: Backend, endpoint: str) -> None:
        try:
            await ask.ask(backend, endpoint, b"question")
        except ask.Incomplete as error:
            results.append(error)

    async def main(backend: Backend) -> None:
        listener = await backend.listen("tcp:127.0.0.1:0", Begins)
        backend.start_soon(waiting, backend, str(listener.endpoint))
        while not Begins.begun:
            await backend.sleep(0.01)

    Begins.begun = False
    run(main, variant=variant, options={"grace": 0.2})
    for error in results:
        assert isinstance(error.__cause__, halfclose.ConnectionDone)
    assert results


class Begins(EchoBack):
    """Begins an answer."""

    begun = False

    def readConnectionLost(self) -> None:
        self.transport.write(b"begun")
        type(self).begun = True


def test_cancelling_resets_on_asyncio(ask: Any) -> None:
    async def main(endpoint: str, cancel: list[Callable[[], object]]) -> None:
        async with halfclose.open_backend() as backend:
            asking = asyncio.create_task(ask.ask(backend, endpoint, b"question"))
            loop = asyncio.get_running_loop()
            cancel.append(lambda: loop.call_soon_threadsafe(asking.cancel))
            with pytest.raises(asyncio.CancelledError):
                await asking

    cancelled(lambda *arguments: asyncio.run(main(*arguments)))


def test_cancelling_resets_on_trio(ask: Any) -> None:
    async def main(endpoint: str, cancel: list[Callable[[], object]]) -> None:
        async with halfclose.open_backend() as backend:
            with trio.CancelScope() as scope:
                token = trio.lowlevel.current_trio_token()
                cancel.append(lambda: token.run_sync_soon(scope.cancel))
                await ask.ask(backend, endpoint, b"question")
            assert scope.cancelled_caught

    cancelled(lambda *arguments: trio.run(main, *arguments))


def cancelled(begin: Callable[[str, list[Callable[[], object]]], object]) -> None:
    """Cancel a client once its question was read, and check that it resets the connection."""
    cancel: list[Callable[[], object]] = []

    def behave(sock: socket.socket) -> None:
        assert read_all(sock) == b"question"
        cancel[0]()
        wait_for_reset(sock)

    with serving(behave) as endpoint:
        begin(endpoint, cancel)


@pytest.mark.parametrize("variant", [*SOME, "memory"])
def test_several_at_once(ask: Any, variant: str) -> None:
    several = module(PAGE, "several")
    questions = [b"hello"] * 25

    async def main(backend: Backend) -> None:
        where = "memory:sum" if variant == "memory" else "tcp:127.0.0.1:0"
        listener = await backend.listen(where, Sum)
        assert await several.ask_all(backend, listener.endpoint, questions) == [HELLO] * 25
        assert await several.ask_all(backend, listener.endpoint, []) == []
        await listener.aclose()
        results = await several.ask_all(backend, listener.endpoint, questions)
        assert [type(each) for each in results] == [halfclose.ConnectionRefused] * 25

    run(main, variant=variant)


def test_the_tests_of_the_page(folder: Folder) -> None:
    folder.save("ask.py", example(PAGE, "ask"))
    folder.save("test_ask.py", example(PAGE, "test"))
    folder.play(PAGE, "test")


@pytest.mark.parametrize("variant", SOME)
def test_a_deadline(ask: Any, variant: str) -> None:
    async def main(backend: Backend, endpoint: str) -> None:
        with pytest.raises(ask.Incomplete, match="0 bytes") as caught:
            await ask.ask(backend, endpoint, b"question", seconds=0.2)
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert "within 0.2 s" in str(caught.value.__cause__)

    serve(main, wait_silently, variant)


def test_a_deadline_covers_connecting_and_the_answer(ask: Any) -> None:
    async def main() -> None:
        async with network(latency=4) as net:
            with net.raw_listen("silent"), pytest.raises(ask.Incomplete):
                await ask.ask(net.backend, "memory:silent", b"question", seconds=20)
            assert net.clock == pytest.approx(20)
            net.black_hole("silent")
            with pytest.raises(halfclose.ConnectTimeout):
                await ask.ask(net.backend, "memory:silent", b"question", seconds=30)
            assert net.clock == pytest.approx(50)
        async with network() as net:
            await net.backend.listen("memory:sum", Sum)
            assert await ask.ask(net.backend, "memory:sum", b"hello", seconds=5) == HELLO
            # No timer is left, or waiting for ever would not be seen as that.
            with pytest.raises(Deadlock):
                await net.backend.create_event().wait()

    asyncio.run(main())


def test_a_server_that_closes_with_input_unread_has_not_ended_its_answer(ask: Any) -> None:
    question = b"x" * (16 << 20)

    async def main(backend: Backend, endpoint: str) -> None:
        with pytest.raises(ask.Incomplete) as caught:
            await ask.ask(backend, endpoint, question)
        assert type(caught.value.__cause__) is halfclose.ConnectionLost

    def refuse(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(b"too long")
        sock.close()

    serve(main, refuse, "anyio+asyncio")


def test_the_options_of_the_page() -> None:
    assert module(PAGE, "patient").options.half_close_timeout == 30


def test_after_an_answer_nothing_is_left(ask: Any) -> None:
    async def main() -> None:
        async with network() as net:
            await net.backend.listen("memory:sum", Sum)
            await ask.ask(net.backend, "memory:sum", b"hello")
            await net.advance(0)
            assert net.ends() == []

    asyncio.run(main())


def test_a_timeout_of_twisted() -> None:
    """In an interpreter of its own, because it runs the global reactor."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = example(PAGE, "ask").partition("if __name__")[0]
        port = silent.getsockname()[1]
        printed = python(source + ON_TWISTED, arguments=[str(port)], limit=LIMIT, warm=True)
        assert printed == "timed out\n"
        with accepted(silent) as sock:
            wait_silently(sock)


ON_TWISTED = """
from twisted.internet import defer, task

async def main(reactor, endpoint):
    async with halfclose.open_backend() as backend:
        try:
            asked = ask(backend, endpoint, b"question")
            await defer.Deferred.fromCoroutine(asked).addTimeout(1, reactor)
        except defer.TimeoutError:
            print("timed out", flush=True)

task.react(lambda reactor: defer.ensureDeferred(main(reactor, f"tcp:127.0.0.1:{sys.argv[1]}")))
"""
