"""docs/how-to/moving-from-asyncio.md: its programs, its names, and what it says of asyncio."""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import builtins
import socket
from pathlib import Path
from typing import Any

import halfclose
import pytest
from cli.support import read_all, serving
from core.support import python
from documents.blocks import example
from documents.moving import check_differences, check_programs, check_rows

sslproto: Any = asyncio.sslproto

PAGE = "docs/how-to/moving-from-asyncio.md"


@pytest.mark.parametrize("name", ["before, a protocol", "before, streams"])
def test_the_program_as_it_was(name: str, tmp_path: Path) -> None:
    check_programs(PAGE, name, tmp_path, ends=("NoneType", "ConnectionResetError"))


@pytest.mark.parametrize("backend", ["anyio+asyncio", "anyio+uvloop", "twisted+asyncio"])
def test_the_program_as_it_is(backend: str, tmp_path: Path) -> None:
    check_programs(PAGE, "after", tmp_path, backend, until_a_signal=True)


@pytest.mark.parametrize("name", ["before, a client", "after, a client"])
def test_the_client(name: str) -> None:
    answered: list[bytes] = []

    def behave(sock: socket.socket) -> None:
        answered.append(read_all(sock))
        # More than comes at once.
        sock.sendall(b"x" * (1 << 20))

    with serving(behave) as endpoint:
        port = endpoint.rpartition(":")[2]
        said = python(example(PAGE, name), arguments=[port], warm=True)
    assert (answered, said) == ([b"b\na\n"], f"{b'x' * (1 << 20)!r}\n")


def test_the_names_exist() -> None:
    check_rows(
        PAGE,
        {
            "": (asyncio, asyncio.Protocol, builtins),
            "asyncio": (asyncio,),
            "socket": (socket,),
            "transport": (asyncio.Transport,),
            "reader": (asyncio.StreamReader,),
            "writer": (asyncio.StreamWriter,),
            "loop": (asyncio.AbstractEventLoop,),
            "server": (asyncio.Server,),
        },
    )


def test_the_differences_are_those_of_the_scorecard() -> None:
    check_differences(PAGE, "asyncio", "uvloop")


# -- what the page says of asyncio by itself ---------------------------------------------------


def test_a_write_after_the_end_of_our_half() -> None:
    async def main() -> None:
        left, right = socket.socketpair()
        with right:
            _, writer = await asyncio.open_connection(sock=left)
            writer.write_eof()
            with pytest.raises(RuntimeError):
                writer.write(b"x")
            writer.close()
            await writer.wait_closed()

    asyncio.run(main())


def test_the_marks_are_the_same() -> None:
    async def main() -> tuple[int, int]:
        left, right = socket.socketpair()
        with right:
            transport, _ = await asyncio.get_running_loop().create_connection(
                asyncio.Protocol, sock=left
            )
            limits = transport.get_write_buffer_limits()
            transport.abort()
            await asyncio.sleep(0)
            return limits

    assert asyncio.run(main()) == (halfclose.LOW_WATER, halfclose.HIGH_WATER)


def test_tls_has_no_end_of_one_half() -> None:
    # Its class has no public name, and one of it comes from a handshake only.
    assert sslproto._SSLProtocolTransport.can_write_eof(None) is False


def test_a_closed_loop_takes_no_call() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError):
        loop.call_soon_threadsafe(print)
