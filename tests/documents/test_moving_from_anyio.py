"""docs/how-to/moving-from-anyio.md: its programs, its names, and what it says of both."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.abc
import anyio.from_thread
import anyio.streams.buffered
import anyio.streams.stapled
import pytest
import trio
import trio.testing
from anyio.streams.tls import TLSStream
from documents.blocks import example
from documents.moving import check_differences, check_programs, check_rows
from documents.programs import SOME

PAGE = "docs/how-to/moving-from-anyio.md"


@pytest.mark.parametrize("name", ["before, anyio", "before, trio"])
def test_the_program_as_it_was(name: str, tmp_path: Path) -> None:
    check_programs(PAGE, name, tmp_path, ends=("NoneType", "BrokenResourceError"))


@pytest.mark.parametrize("backend", SOME)
def test_the_program_as_it_is(backend: str, tmp_path: Path) -> None:
    check_programs(PAGE, "after", tmp_path, backend, until_a_signal=True)


def test_the_class_on_a_listener_of_anyio(tmp_path: Path) -> None:
    (tmp_path / "sort_lines.py").write_text(example(PAGE, "after"))
    check_programs(PAGE, "on your listener", tmp_path)


def test_the_names_exist() -> None:
    check_rows(
        PAGE,
        {
            "": (trio.abc.ReceiveStream,),
            "anyio": (anyio,),
            "trio": (trio,),
            "stream": (anyio.abc.SocketStream, trio.abc.HalfCloseableStream),
            "SocketAttribute": (anyio.abc.SocketAttribute,),
            "listener": (anyio.abc.SocketListener,),
            "tasks": (anyio.abc.TaskGroup,),
        },
    )


def test_the_differences_are_those_of_the_scorecard() -> None:
    check_differences(PAGE, "anyio, asyncio", "anyio, uvloop", "anyio, trio")


# -- what the page says of them by themselves --------------------------------------------------


def test_tls_of_anyio_has_no_end_of_one_half() -> None:
    async def main() -> None:
        # A real one comes from a handshake only, and this method asks for the version alone.
        stream: Any = SimpleNamespace(extra=lambda attribute: "TLSv1.3")
        with pytest.raises(NotImplementedError):
            await TLSStream.send_eof(stream)

    anyio.run(main)


def test_tls_of_trio_has_no_end_of_one_half() -> None:
    assert not issubclass(trio.SSLStream, trio.abc.HalfCloseableStream)


def test_the_end_of_a_half_while_something_is_sent() -> None:
    async def main() -> None:
        left, right = socket.socketpair()
        left.setblocking(False)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(left))
        with right:
            async with stream, trio.open_nursery() as nursery:
                nursery.start_soon(stream.send_all, b"x" * (4 << 20))
                await trio.testing.wait_all_tasks_blocked()
                with pytest.raises(trio.BusyResourceError):
                    await stream.send_eof()
                nursery.cancel_scope.cancel()

    trio.run(main)


def test_an_exception_of_a_handler() -> None:
    async def handler(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            raise ZeroDivisionError

    async def main() -> None:
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            with (
                socket.create_connection(("127.0.0.1", port)),
                pytest.raises(ExceptionGroup),
            ):
                await listener.serve(handler)

    anyio.run(main)
