"""Connecting: every way to fail, on every variant, and several addresses."""

from __future__ import annotations

import contextlib
import errno
import math
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator, Sized
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from core.support import VARIANTS, EchoBack, Recorder, Threads, descriptors, run, until
from halfclose import (
    Backend,
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionOptions,
    ConnectionRefused,
    ConnectTimeout,
    DNSLookupFailed,
    EndpointError,
    HalfcloseError,
    Protocol,
    open_backend,
)
from halfclose.io import connecting, poller, tcp
from halfclose.io.connecting import ATTEMPT_DELAY

pytestmark = pytest.mark.parametrize("variant", VARIANTS)

Addresses = list[tuple[int, Any]]


@pytest.fixture
def refused() -> Iterator[int]:
    """A port that is taken and not listened on, so that nobody else can come to listen there.

    On every address of both families.
    """
    with socket.socket(socket.AF_INET6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0))
        yield sock.getsockname()[1]


@contextlib.contextmanager
def black_hole(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port that answers nothing: its queue is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        server.listen(0)
        for _ in range(20):
            sock = stack.enter_context(socket.socket())
            sock.settimeout(0.2)
            try:
                sock.connect(server.getsockname())
            except TimeoutError:
                break
        else:
            raise AssertionError("the queue is never full")
        yield server.getsockname()[1]


@pytest.fixture
def hole() -> Iterator[int]:
    with black_hole() as port:
        yield port


def resolving(
    monkeypatch: pytest.MonkeyPatch, backend: Backend, result: Addresses | BaseException
) -> list[tuple[str, int]]:
    """Let *backend* find *result* for any name; the names that were asked."""
    asked: list[tuple[str, int]] = []

    async def resolve(host: str, port: int) -> Addresses:
        asked.append((host, port))
        await backend.sleep(0)
        if isinstance(result, BaseException):
            raise result
        return result

    monkeypatch.setattr(backend, "resolve", resolve)
    return asked


async def failure(backend: Backend, endpoint: str, timeout: float | None = 15.0) -> BaseException:
    """What connecting raises; the factory must not be called."""

    def never() -> Protocol:
        raise AssertionError("the factory was called")

    before = descriptors()
    with pytest.raises(HalfcloseError) as caught:
        await backend.connect(endpoint, never, timeout)
    added = {fd: what for fd, what in descriptors().items() if before.get(fd) != what}
    assert [what for what in added.values() if what.startswith("socket:")] == []
    return caught.value


async def warm(backend: Backend) -> None:
    """Make what a backend makes when it is first needed."""
    assert backend.driver.poller


def fail(variant: str, endpoint: str, timeout: float | None = 15.0) -> BaseException:
    async def main(backend: Backend) -> BaseException:
        await warm(backend)
        return await failure(backend, endpoint, timeout)

    return run(main, variant=variant)


# -- the ways to fail --------------------------------------------------------------------------


def test_refused(variant: str, refused: int) -> None:
    endpoint = f"tcp:127.0.0.1:{refused}"
    error = fail(variant, endpoint)
    assert type(error) is ConnectionRefused
    assert isinstance(error, ConnectError)
    assert endpoint in str(error)
    assert isinstance(error.__cause__, OSError)
    assert error.__cause__.errno == errno.ECONNREFUSED


def test_an_unknown_host(variant: str) -> None:
    error = fail(variant, "tcp:nosuch.invalid:80")
    assert type(error) is DNSLookupFailed
    assert isinstance(error, ConnectError)
    assert "tcp:nosuch.invalid:80" in str(error)
    assert isinstance(error.__cause__, OSError)


@pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "a..b", ".invalid", "x." * 130], ids=repr)
def test_a_host_that_no_resolver_takes(variant: str, host: str) -> None:
    """A label too long, or empty: Python's own encoding refuses it with a UnicodeError."""
    error = fail(variant, f"tcp:{host}:80")
    assert type(error) is DNSLookupFailed
    assert host in str(error)


def test_a_black_hole(variant: str, hole: int) -> None:
    endpoint = f"tcp:127.0.0.1:{hole}"
    error = fail(variant, endpoint, 0.2)
    assert type(error) is ConnectTimeout
    assert isinstance(error, ConnectError)
    assert endpoint in str(error)
    assert "0.2" in str(error)


@pytest.mark.parametrize("timeout", [0, 0.0, 1e-9])
def test_no_time_at_all(variant: str, hole: int, timeout: float) -> None:
    assert type(fail(variant, f"tcp:127.0.0.1:{hole}", timeout)) is ConnectTimeout


def test_a_unix_path_that_is_not_there(variant: str, tmp_path: Path) -> None:
    path = tmp_path / "none"
    error = fail(variant, f"unix:{path}")
    assert type(error) is ConnectError
    assert f"unix:{path}" in str(error)
    assert isinstance(error.__cause__, OSError)
    assert error.__cause__.errno == errno.ENOENT


def test_a_unix_path_that_nobody_listens_on(variant: str, tmp_path: Path) -> None:
    path = tmp_path / "stale"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    error = fail(variant, f"unix:{path}")
    assert type(error) is ConnectionRefused
    assert f"unix:{path}" in str(error)


def test_a_unix_path_that_is_a_file(variant: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    assert type(fail(variant, f"unix:{path}")) in (ConnectionRefused, ConnectError)


def test_a_unix_listener_whose_queue_is_full(variant: str, tmp_path: Path) -> None:
    path = tmp_path / "full"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(str(path))
        server.listen(0)
        while True:
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.setblocking(False)
            if sock.connect_ex(str(path)) == errno.EAGAIN:
                break
        assert type(fail(variant, f"unix:{path}", 0.2)) is ConnectTimeout

        async def main(backend: Backend) -> list[str]:
            # Room comes while we wait.
            backend.call_later(0.05, lambda: server.accept()[0].close())
            client = await backend.connect(f"unix:{path}", Recorder)
            assert isinstance(client, Recorder)
            return client.events

        assert run(main, variant=variant, options={"grace": 0})[0] == "made"


def test_a_malformed_endpoint(variant: str) -> None:
    assert type(fail(variant, "tcp:host")) is EndpointError


def test_the_timeout_covers_the_lookup(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(backend: Backend) -> BaseException:
        ended: list[str] = []

        async def slow(host: str, port: int) -> Addresses:
            try:
                await backend.sleep(3600)
            finally:
                ended.append(host)
            return []

        monkeypatch.setattr(backend, "resolve", slow)
        begin = backend.time()
        error = await failure(backend, "tcp:slow.example:80", 0.1)
        assert backend.time() - begin < 5
        return error

    error = run(main, variant=variant)
    assert type(error) is ConnectTimeout
    assert "tcp:slow.example:80" in str(error)


@pytest.mark.parametrize(
    "result",
    [[], socket.gaierror(socket.EAI_NONAME, "none"), OSError(errno.EIO, "x"), UnicodeError("idna")],
    ids=repr,
)
def test_a_lookup_that_fails(
    variant: str, monkeypatch: pytest.MonkeyPatch, result: Addresses | BaseException
) -> None:
    async def main(backend: Backend) -> BaseException:
        assert resolving(monkeypatch, backend, result) == []
        return await failure(backend, "tcp:name.example:80")

    error = run(main, variant=variant)
    assert type(error) is DNSLookupFailed
    assert "tcp:name.example:80" in str(error)
    if isinstance(result, BaseException):
        assert error.__cause__ is result


def test_a_lookup_that_is_defective(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver's own bug must not leave connect waiting, least of all without a timeout."""

    async def main(backend: Backend) -> None:
        resolving(monkeypatch, backend, ZeroDivisionError("in the resolver"))
        with pytest.raises((ConnectError, ZeroDivisionError)) as caught:
            await backend.connect("tcp:name.example:80", Recorder, None)
        assert "in the resolver" in str(caught.value) or caught.value.__cause__ is not None

    run(main, variant=variant)


def test_an_address_is_never_looked_up(
    variant: str, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    async def main(backend: Backend) -> None:
        asked = resolving(monkeypatch, backend, ZeroDivisionError())
        for host in ("127.0.0.1", "[::1]"):
            await failure(backend, f"tcp:{host}:{refused}")
        assert asked == []

    run(main, variant=variant)


@pytest.mark.parametrize("timeout", [None, math.inf, 1e9])
def test_timeouts_that_never_run_out(variant: str, timeout: float | None) -> None:
    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            client = await backend.connect(listener.endpoint, Recorder, timeout)
            client.transport.loseConnection()
            assert isinstance(await client.transport.whenClosed(), ConnectionDone)

    run(main, variant=variant, limit=10)


@pytest.mark.parametrize("name", ["close_timeout", "half_close_timeout", "linger_timeout"])
def test_option_timeouts_that_never_run_out(variant: str, name: str) -> None:
    async def main(backend: Backend) -> None:
        values: dict[str, Any] = {name: math.inf}
        options = ConnectionOptions(**values)
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack, options) as listener:
            client = await backend.connect(listener.endpoint, Recorder, options=options)
            client.transport.write(b"x")
            client.transport.loseWriteConnection()
            assert isinstance(await client.transport.whenClosed(), ConnectionDone)
            client = await backend.connect(listener.endpoint, Recorder, options=options)
            client.transport.write(b"x")
            client.transport.loseConnection()
            assert isinstance(await client.transport.whenClosed(), ConnectionDone)

    run(main, variant=variant, limit=10)


# -- the factory -------------------------------------------------------------------------------


@pytest.mark.parametrize("gives", [None, object, int, "raise"], ids=str)
def test_a_factory_that_gives_no_protocol(variant: str, gives: object) -> None:
    class Odd(Exception):
        pass

    def factory() -> Any:
        if gives == "raise":
            raise Odd
        return gives

    async def main(backend: Backend) -> None:
        server = Recorder()
        async with await backend.listen("tcp:127.0.0.1:0", lambda: server) as listener:
            before = descriptors()
            with pytest.raises(Odd if gives == "raise" else TypeError):
                await backend.connect(listener.endpoint, factory)
            await until(backend, lambda: server.reason)
            assert type(server.reason) is ConnectionLost
            await until(backend, lambda: len(descriptors()) <= len(before))

    run(main, variant=variant)


def test_a_connection_that_is_lost_at_once_is_returned(variant: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        async def main(backend: Backend) -> Recorder:
            class Quick(Recorder):
                def connectionMade(self) -> None:
                    super().connectionMade()
                    self.transport.abortConnection()

            client = await backend.connect(f"tcp:127.0.0.1:{server.getsockname()[1]}", Quick)
            assert isinstance(client, Recorder)
            await client.transport.whenClosed()
            return client

        client = run(main, variant=variant)
    assert client.events == ["made", "lost"]
    assert isinstance(client.reason, ConnectionAborted)


def test_a_server_that_resets_at_once(variant: str) -> None:
    """The handshake is over, so it was a connection: returned, and lost (ERR-11)."""

    def bad() -> Protocol:
        raise ZeroDivisionError

    async def main(backend: Backend) -> Recorder:
        async with await backend.listen("tcp:127.0.0.1:0", bad) as listener:
            client = await backend.connect(listener.endpoint, Recorder)
            assert isinstance(client, Recorder)
            await client.transport.whenClosed()
            return client

    client = run(main, variant=variant)
    assert client.events == ["made", "lost"]
    assert type(client.reason) is ConnectionLost
    assert isinstance(client.reason.__cause__, ConnectionResetError)


def test_the_peer_of_a_connection_that_was_reset_at_once(variant: str) -> None:
    """The system has forgotten it when the library asks."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        # Else the thread would wait for ever, where a connection cannot be made.
        server.settimeout(30)
        endpoint = f"tcp:127.0.0.1:{server.getsockname()[1]}"

        def reset_each() -> None:
            for _ in range(20):
                accepted, _ = server.accept()
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                accepted.close()

        async def main(backend: Backend) -> set[str]:
            peers = set()
            for _ in range(20):
                client = await backend.connect(endpoint, Recorder)
                await client.transport.whenClosed()
                peers.add(str(client.transport.getPeer()))
            return peers

        resetting = threading.Thread(target=reset_each)
        resetting.start()
        try:
            assert run(main, variant=variant) == {endpoint}
        finally:
            resetting.join()


# -- cancelled ---------------------------------------------------------------------------------


async def cancelled(
    backend: Backend,
    function: Callable[[Backend], Awaitable[object]],
    when: Callable[[], object] | None = None,
) -> list[str]:
    """Run *function* in a backend that is left, and so cancels it, at once or *when* true."""
    told: list[str] = []

    async with open_backend(options={"grace": 0}) as inner:

        async def task() -> None:
            try:
                await function(inner)
            except BaseException as error:
                told.append(type(error).__name__)
                raise
            told.append("returned")

        inner.start_soon(task)
        if when is None:
            await inner.sleep(0)
            await inner.sleep(0)
        else:
            await until(inner, when)
    return told


def reached(found: Sized, number: int) -> bool:
    return len(found) == number


def exhausted(turns: Iterator[int]) -> bool:
    return next(turns, None) is None


def test_a_cancelled_connect_leaks_nothing(variant: str, hole: int) -> None:
    async def connect(inner: Backend) -> None:
        await inner.connect(f"tcp:127.0.0.1:{hole}", Recorder, 60)

    async def main(backend: Backend) -> None:
        await cancelled(backend, connect)
        before = sorted(descriptors().values())
        for _ in range(5):
            assert await cancelled(backend, connect) != ["returned"]
        after = sorted(descriptors().values())
        assert len(after) == len(before)

    run(main, variant=variant)


def test_a_connect_that_is_cancelled_in_its_lookup_leaks_nothing(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(backend: Backend) -> None:
        ended: list[str] = []
        begun: list[str] = []

        async def connect(inner: Backend) -> None:
            async def slow(host: str, port: int) -> Addresses:
                begun.append(host)
                try:
                    await inner.sleep(3600)
                finally:
                    ended.append(host)
                return []

            monkeypatch.setattr(inner, "resolve", slow)
            await inner.connect("tcp:name.example:80", Recorder, 60)

        threads = Threads()
        for number in range(1, 4):
            await cancelled(backend, connect, partial(reached, begun, number))
            assert len(ended) == number
        assert threads.new() == []

    run(main, variant=variant)


def test_cancelled_just_when_it_connects(variant: str) -> None:
    """Whatever wins, nothing leaks: either connect raised, or the protocol is told."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        port = server.getsockname()[1]
        made: list[Recorder] = []

        class Client(Recorder):
            def __init__(self) -> None:
                super().__init__()
                made.append(self)

        async def connect(inner: Backend) -> None:
            await inner.connect(f"tcp:127.0.0.1:{port}", Client, 60)

        async def main(backend: Backend) -> None:
            await cancelled(backend, connect)
            before = len(descriptors())
            for turns in range(1, 12):

                async def some_turns(inner: Backend, turns: int = turns) -> None:
                    await connect(inner)

                await cancelled(backend, some_turns, partial(exhausted, iter(range(turns))))
            assert len(descriptors()) == before

        run(main, variant=variant)
    for client in made:
        assert client.events[-1:] in ([], ["lost"])
        if client.events:
            assert client.events.count("lost") == 1
            assert isinstance(client.reason, (ConnectionAborted, ConnectionDone))


# -- several addresses -------------------------------------------------------------------------


def ipv4(host: str, port: int) -> tuple[int, Any]:
    return socket.AF_INET, (host, port)


def ipv6(host: str, port: int) -> tuple[int, Any]:
    return socket.AF_INET6, (host, port, 0, 0)


def connect_to(
    variant: str, monkeypatch: pytest.MonkeyPatch, addresses: Addresses
) -> tuple[str, float]:
    """Where a connection to *addresses* got, and how long it took."""

    async def main(backend: Backend) -> tuple[str, float]:
        await warm(backend)
        resolving(monkeypatch, backend, addresses)
        before = sorted(descriptors().values())
        begin = backend.time()
        client = await backend.connect("tcp:name.example:80", Recorder, 15)
        took = backend.time() - begin
        peer = str(client.transport.getPeer())
        client.transport.abortConnection()
        await client.transport.whenClosed()
        await until(backend, lambda: len(descriptors()) <= len(before))
        return peer, took

    return run(main, variant=variant)


@pytest.fixture
def servers() -> Iterator[dict[str, int]]:
    """Listeners on 127.0.0.1, 127.0.0.2 and ::1, and their ports."""
    with contextlib.ExitStack() as stack:
        found = {}
        for host in ("127.0.0.1", "127.0.0.2", "::1"):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            server = stack.enter_context(socket.create_server((host, 0), family=family))
            found[host] = server.getsockname()[1]
        yield found


def test_the_first_address_that_works(
    variant: str, monkeypatch: pytest.MonkeyPatch, servers: dict[str, int]
) -> None:
    addresses = [ipv6("::1", servers["::1"]), ipv4("127.0.0.1", servers["127.0.0.1"])]
    peer, _ = connect_to(variant, monkeypatch, addresses)
    assert peer == f"tcp:[::1]:{servers['::1']}"
    peer, _ = connect_to(variant, monkeypatch, addresses[::-1])
    assert peer == f"tcp:127.0.0.1:{servers['127.0.0.1']}"


def test_a_refusal_moves_on_at_once(
    variant: str, monkeypatch: pytest.MonkeyPatch, servers: dict[str, int], refused: int
) -> None:
    addresses = [
        ipv4("127.0.0.1", refused),
        ipv6("::1", refused),
        ipv4("127.0.0.1", refused),
        ipv4("127.0.0.2", servers["127.0.0.2"]),
    ]
    # No delay would be over before the connecting is given up.
    monkeypatch.setattr(connecting, "ATTEMPT_DELAY", 3600.0)
    peer, _ = connect_to(variant, monkeypatch, addresses)
    assert peer == f"tcp:127.0.0.2:{servers['127.0.0.2']}"


@pytest.mark.parametrize("second", ["127.0.0.2", "::1"])
def test_a_black_hole_is_overtaken(
    variant: str, monkeypatch: pytest.MonkeyPatch, servers: dict[str, int], hole: int, second: str
) -> None:
    address = (ipv6 if ":" in second else ipv4)(second, servers[second])
    peer, took = connect_to(variant, monkeypatch, [ipv4("127.0.0.1", hole), address])
    assert peer.endswith(f":{servers[second]}")
    assert ATTEMPT_DELAY * 0.9 <= took < 5


def test_the_families_take_turns(
    variant: str, monkeypatch: pytest.MonkeyPatch, servers: dict[str, int], hole: int
) -> None:
    """Behind two holes of one family, the other family's address is second and not third."""
    addresses = [
        ipv4("127.0.0.1", hole),
        ipv4("127.0.0.1", hole),
        ipv4("127.0.0.2", servers["127.0.0.2"]),
        ipv6("::1", servers["::1"]),
    ]
    peer, _ = connect_to(variant, monkeypatch, addresses)
    assert peer == f"tcp:[::1]:{servers['::1']}"


def test_a_family_that_cannot_be(
    variant: str, monkeypatch: pytest.MonkeyPatch, servers: dict[str, int]
) -> None:
    """An address to which no socket can even be made."""
    addresses = [(9999, ("x", 1)), ipv4("127.0.0.1", servers["127.0.0.1"])]

    async def main(backend: Backend) -> str:
        resolving(monkeypatch, backend, addresses)
        client = await backend.connect("tcp:name.example:80", Recorder, 15)
        return str(client.transport.getPeer())

    peer = run(main, variant=variant, options={"grace": 0})
    assert peer.endswith(str(servers["127.0.0.1"]))


def test_all_refuse(variant: str, monkeypatch: pytest.MonkeyPatch, refused: int) -> None:
    async def main(backend: Backend) -> BaseException:
        await warm(backend)
        addresses = [ipv4("127.0.0.1", refused), ipv4("127.0.0.2", refused), ipv6("::1", refused)]
        resolving(monkeypatch, backend, addresses)
        return await failure(backend, "tcp:name.example:80")

    error = run(main, variant=variant)
    assert type(error) is ConnectionRefused
    for part in ("tcp:name.example:80", "127.0.0.1", "127.0.0.2", "[::1]"):
        assert part in str(error)


def test_refused_and_black_hole(
    variant: str, monkeypatch: pytest.MonkeyPatch, refused: int, hole: int
) -> None:
    async def main(backend: Backend) -> BaseException:
        await warm(backend)
        addresses = [ipv4("127.0.0.2", refused), ipv4("127.0.0.1", hole)]
        resolving(monkeypatch, backend, addresses)
        return await failure(backend, "tcp:name.example:80", 1.0)

    error = run(main, variant=variant)
    assert type(error) is ConnectTimeout
    # Each attempt: what refused, and what never answered.
    assert f"127.0.0.2:{refused}" in str(error)
    assert f"127.0.0.1:{hole}" in str(error)


def test_nothing_of_a_lost_race_remains(
    variant: str, monkeypatch: pytest.MonkeyPatch, servers: dict[str, int], hole: int
) -> None:
    async def main(backend: Backend) -> None:
        await warm(backend)
        addresses = [ipv4("127.0.0.1", hole), ipv4("127.0.0.2", servers["127.0.0.2"])]
        resolving(monkeypatch, backend, addresses)
        before = len(descriptors())
        clients = [await backend.connect("tcp:name.example:80", Recorder, 15) for _ in range(2)]
        assert len(descriptors()) == before + len(clients)

    run(main, variant=variant, options={"grace": 0})


def test_localhost(variant: str) -> None:
    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:localhost:0", EchoBack) as listener:
            client = await backend.connect(listener.endpoint, Recorder)
            client.transport.write(b"hello")
            client.transport.loseWriteConnection()
            assert isinstance(await client.transport.whenClosed(), ConnectionDone)
            assert client.data == b"hello"

    run(main, variant=variant)


# -- writing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sockets", ["poller", "native"])
def test_writing_what_is_no_bytes(variant: str, sockets: str) -> None:
    wrong: list[Any] = ["text", None, 1, [b"x"], 1.0, object(), ["x"], {}, (b"x",)]

    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            client = await backend.connect(listener.endpoint, Recorder)
            transport = client.transport

            def check() -> None:
                for value in wrong:
                    with pytest.raises(TypeError) as caught:
                        transport.write(value)
                    assert type(value).__name__ in str(caught.value)
                    with pytest.raises(TypeError):
                        transport.writeSequence([b"lost", value])
                no_pieces: list[Any] = [None, 1, "text"]
                for value in no_pieces:
                    with pytest.raises(TypeError):
                        transport.writeSequence(value)

            check()
            transport.write(b"a")
            transport.write(bytearray(b"b"))
            transport.write(memoryview(b"c"))
            transport.write(memoryview(b"xdx")[1:2])
            transport.write(memoryview(b"eXfX")[::2])
            several: list[bytes | bytearray | memoryview] = [b"g", bytearray(b"h")]
            transport.writeSequence(iter([*several, memoryview(b"i")]))
            transport.writeSequence([])
            transport.write(b"")
            transport.loseWriteConnection()
            check()
            await transport.whenClosed()
            check()
            assert client.data == b"abcdefghi"
            assert transport.droppedBytes == 0

    run(main, variant=variant, options={"sockets": sockets})


# -- a race that fails -------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, 15.0])
def test_thousands_of_addresses_that_fail_at_once(
    variant: str, timeout: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 5000

    async def main(backend: Backend) -> None:
        await warm(backend)
        # Multicast: TCP refuses that at once.
        addresses: Addresses = [
            (socket.AF_INET, (f"224.1.{number // 250}.{number % 250 + 1}", 80))
            for number in range(many)
        ]
        resolving(monkeypatch, backend, addresses)
        turns: list[int] = []
        over: list[int] = []

        def turn() -> None:
            turns.append(1)
            if not over:
                backend.call_soon(turn)

        backend.call_soon(turn)
        error = await failure(backend, "tcp:many.example:80", timeout)
        assert isinstance(error, ConnectError)
        assert str(error).count("tcp:224.1.") == many
        # The loop has gone on meanwhile.
        assert len(turns) > 100
        over.append(1)

    run(main, variant=variant)


class Wrong:
    """No address, and not to be shown either."""

    def __repr__(self) -> str:
        return "wrong\n\x1b[31m"


@pytest.mark.parametrize(
    "addresses",
    [
        [(socket.AF_INET, Wrong())],
        [(socket.AF_INET, ("127.0.0.1",))],
        [(socket.AF_INET, ("127.0.0.1", "80"))],
        [(socket.AF_INET6, (5, 80))],
        [(12345, ("127.0.0.1", 80))],
        [("inet", ("127.0.0.1", 80))],
        [Wrong()],
        Wrong(),
    ],
    ids=repr,
)
def test_what_is_no_address(variant: str, addresses: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(backend: Backend) -> None:
        await warm(backend)
        resolving(monkeypatch, backend, addresses)
        error = await failure(backend, "tcp:wrong.example:80", None)
        assert isinstance(error, ConnectError)
        assert str(error).isprintable()

    run(main, variant=variant)


@pytest.mark.parametrize(
    "where", ["call_later", "call_soon", "register", "want", "stop", "look", "connected", "lookup"]
)
def test_whatever_fails_in_a_race_ends_it(
    variant: str, where: str, refused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is left open, and nobody waits for ever."""
    boom = ZeroDivisionError("boom")

    def fail(*args: object) -> Any:
        raise boom

    async def main(backend: Backend) -> None:
        await warm(backend)
        addresses: Addresses = [
            (socket.AF_INET, (host, refused)) for host in ("127.0.0.1", "127.0.0.2")
        ]
        resolving(monkeypatch, backend, addresses)
        with monkeypatch.context() as patch:
            if where in ("call_later", "call_soon"):
                # In what the race itself asks for, and not the loop.
                race = connecting._Race
                begin = race._start

                def start(self: Any, order: Addresses) -> None:
                    with monkeypatch.context() as inner:
                        inner.setattr(self.backend, where, fail)
                        begin(self, order)

                patch.setattr(race, "_start", start)
            elif where == "register":
                patch.setattr(backend.driver.poller, "register", fail)
            elif where == "want":
                patch.setattr(poller.Registration, "want", fail)
            elif where == "stop":
                patch.setattr(poller.Registration, "stop", fail)
            elif where == "look":
                patch.setattr(connecting, "pending_error", fail)
            elif where == "connected":
                patch.setattr(connecting._Attempt, "_met_itself", fail)
                addresses[:] = [(socket.AF_INET, server.getsockname())]
            else:
                patch.setattr(tcp, "distinct", fail)
            error = await failure(backend, "tcp:some.example:80", None)
        assert isinstance(error, ConnectError)

    with socket.create_server(("127.0.0.1", 0)) as server:
        run(main, variant=variant)


def test_an_interruption_in_a_race_is_not_kept(
    variant: str, refused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object) -> Any:
        raise KeyboardInterrupt

    async def main(backend: Backend) -> None:
        await warm(backend)
        monkeypatch.setattr(connecting, "pending_error", interrupt)
        monkeypatch.setattr(connecting._Attempt, "_begin", interrupt)
        resolving(monkeypatch, backend, [(socket.AF_INET, ("127.0.0.1", refused))])
        await backend.connect("tcp:some.example:80", Recorder, None)

    with pytest.raises(KeyboardInterrupt):
        run(main, variant=variant)


def test_a_lookup_that_is_cancelled_by_somebody_else(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stray(BaseException):
        """Like a framework's cancellation that nobody has asked for."""

    async def main(backend: Backend) -> None:
        async def resolve(host: str, port: int) -> Addresses:
            raise Stray

        monkeypatch.setattr(backend, "resolve", resolve)
        assert isinstance(await failure(backend, "tcp:stray.example:80", None), ConnectError)

    run(main, variant=variant)


def test_the_same_address_twice_is_tried_once(
    variant: str, refused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(backend: Backend) -> None:
        await warm(backend)
        address = (socket.AF_INET, ("127.0.0.1", refused))
        resolving(monkeypatch, backend, [address, address])
        error = await failure(backend, "tcp:twice.example:80")
        assert str(error).count("127.0.0.1") == 1

    run(main, variant=variant)
