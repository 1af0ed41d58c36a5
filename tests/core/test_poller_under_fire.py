"""The poller where the system is short of something, or shows it something that is no longer so."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from core.support import (
    ANYIO,
    LIMIT,
    TWISTED,
    VARIANTS,
    EchoBack,
    Recorder,
    descriptors,
    run,
    until,
)
from halfclose import (
    TCP,
    UNIX,
    Backend,
    ConnectError,
    ConnectionAborted,
    ConnectionLost,
    ConnectionRefused,
    ConnectTimeout,
    Endpoint,
    Listener,
    ListenError,
    Protocol,
)
from halfclose.endpoints import UNIX_PATH_BYTES
from halfclose.io.poller import READ, EpollPoller, Registration

each_variant = pytest.mark.parametrize("variant", VARIANTS)

Addresses = list[tuple[int, Any]]


async def echoes(backend: Backend, listener: Listener) -> None:
    """Assert that *listener* serves EchoBack."""
    client = await backend.connect(listener.endpoint, Recorder)
    client.transport.write(b"hello")
    client.transport.loseWriteConnection()
    await client.transport.whenClosed()
    assert client.data == b"hello"


def resolving(monkeypatch: pytest.MonkeyPatch, backend: Backend, result: Addresses) -> None:
    """Let *backend* find *result* for any name."""

    async def resolve(host: str, port: int) -> Addresses:
        await backend.sleep(0)
        return result

    monkeypatch.setattr(backend, "resolve", resolve)


def never() -> Protocol:
    raise AssertionError("the factory was called")


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port that answers nothing: its queue is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
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


# -- readiness that is stale -------------------------------------------------------------------


@each_variant
def test_readiness_is_not_that_of_the_next_descriptor_of_the_number(variant: str) -> None:
    """Two are ready in one batch; the first to be served closes the other and opens a new one."""

    async def main(backend: Backend) -> list[str]:
        poller = backend.driver.poller
        told: list[str] = []
        with contextlib.ExitStack() as stack:

            def watched(name: str) -> tuple[socket.socket, socket.socket, Registration]:
                ours, theirs = socket.socketpair()
                stack.callback(ours.close)
                stack.callback(theirs.close)

                def ready(events: int) -> None:
                    told.append(name)
                    serve(name)

                def broken(error: Exception) -> None:
                    told.append(repr(error))

                registration = poller.register(ours.fileno(), ready, broken)
                stack.callback(registration.stop)
                registration.want(READ)
                return ours, theirs, registration

            def serve(name: str) -> None:
                if name == "new":
                    pairs[name][2].stop()
                    return
                for each in ("one", "two"):
                    pairs[each][2].stop()
                other = pairs["two" if name == "one" else "one"][0]
                number = other.fileno()
                other.close()
                # The lowest free number is the next to be given.
                pairs["new"] = watched("new")
                assert pairs["new"][0].fileno() == number

            pairs = {name: watched(name) for name in ("one", "two")}
            for name in ("one", "two"):
                pairs[name][1].send(b"x")
            await until(backend, lambda: told)
            assert len(told) == 1, told
            # It does hear of what is its own.
            pairs["new"][1].send(b"x")
            await until(backend, lambda: told[1:])
            return told

    told = run(main, variant=variant)
    assert told[0] in ("one", "two")
    assert told[1:] == ["new"]


@pytest.mark.parametrize("variant", TWISTED)
def test_a_black_hole_is_not_connected_by_stale_readiness(variant: str) -> None:
    """On Twisted a coroutine goes on inside dataReceived: the reuse comes in the same batch."""
    from twisted.internet.defer import Deferred

    async def main(backend: Backend, hole: int) -> None:
        first: Deferred[Recorder] = Deferred()

        class Client(Recorder):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                if not first.called:
                    first.callback(self)

        with contextlib.ExitStack() as stack:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            clients, peers = [], []
            for _ in range(2):
                port = server.getsockname()[1]
                clients.append(await backend.connect(f"tcp:127.0.0.1:{port}", Client))
                peers.append(stack.enter_context(server.accept()[0]))
            for peer in peers:
                peer.send(b"x")
            served = await first
            for client in clients:
                if client is not served:
                    client.transport.abortConnection()
            with pytest.raises(ConnectTimeout):
                await backend.connect(f"tcp:127.0.0.1:{hole}", never, 0.2)

    with black_hole() as hole:
        run(main, hole, variant=variant, options={"grace": 0})


# -- no descriptor is left ---------------------------------------------------------------------


@contextlib.contextmanager
def descriptors_left(number: int) -> Iterator[None]:
    """Only *number* more descriptors can be made; then it is EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.dup(0) for _ in range(number + 1)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(held), hard))
    for fd in held:
        os.close(fd)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("host", ["127.0.0.1", "name.example"])
@pytest.mark.parametrize("left", [0, 1])
@each_variant
def test_connecting_without_descriptors(
    variant: str, left: int, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None for the socket, or none for the poller that is needed for the first time."""

    async def main(backend: Backend, port: int) -> None:
        resolving(monkeypatch, backend, [(socket.AF_INET, ("127.0.0.1", port))])
        endpoint = f"tcp:{host}:{port}"
        before = descriptors()
        with descriptors_left(left), pytest.raises(ConnectError) as caught:
            await backend.connect(endpoint, never, LIMIT / 4)
        assert type(caught.value) is ConnectError
        assert endpoint in str(caught.value)
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.EMFILE
        assert len(descriptors()) == len(before)
        # The backend goes on.
        client = await backend.connect(endpoint, Recorder)
        client.transport.abortConnection()
        await client.transport.whenClosed()

    with socket.create_server(("127.0.0.1", 0)) as server:
        run(main, server.getsockname()[1], variant=variant)


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
@pytest.mark.parametrize("left", [0, 1])
@each_variant
def test_listening_without_descriptors(
    variant: str, left: int, scheme: str, tmp_path: Path
) -> None:
    path = tmp_path / "sock"

    async def main(backend: Backend) -> None:
        endpoint = f"unix:{path}" if scheme == "unix" else "tcp:127.0.0.1:0"
        before = descriptors()
        with descriptors_left(left), pytest.raises(ListenError) as caught:
            await backend.listen(endpoint, EchoBack)
        # The port may be there already, chosen by the system.
        assert endpoint.removesuffix("0") in str(caught.value)
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.EMFILE
        assert len(descriptors()) == len(before)
        assert not path.exists()
        # The backend goes on.
        async with await backend.listen(endpoint, EchoBack) as listener:
            await echoes(backend, listener)

    run(main, variant=variant)


@each_variant
def test_listening_with_descriptors_for_some_of_the_addresses(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That an address is not here is passed over; that there are no descriptors is not."""

    async def main(backend: Backend) -> None:
        resolving(
            monkeypatch,
            backend,
            [(socket.AF_INET, (host, 0)) for host in ("127.0.0.1", "127.0.0.2")],
        )
        before = descriptors()
        with descriptors_left(1), pytest.raises(ListenError):
            await backend.listen("tcp:name.example:0", EchoBack)
        assert len(descriptors()) == len(before)

    run(main, variant=variant)


# -- addresses that are not here ---------------------------------------------------------------

NOT_HERE: Addresses = [
    (socket.AF_INET, ("192.0.2.1", 0)),  # RFC 5737
    (socket.AF_INET6, ("2001:db8::1", 0, 0, 0)),  # RFC 3849
]

HERE: tuple[int, Any] = (socket.AF_INET, ("127.0.0.1", 0))


@pytest.mark.parametrize("place", ["first", "last", "both"])
@pytest.mark.parametrize("absent", NOT_HERE, ids=["ipv4", "ipv6"])
@each_variant
def test_a_name_with_an_address_that_is_not_here(
    variant: str, absent: tuple[int, Any], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is listened on where it can be."""
    addresses = {"first": [absent, HERE], "last": [HERE, absent], "both": [absent, HERE, absent]}

    async def main(backend: Backend) -> None:
        resolving(monkeypatch, backend, addresses[place])
        async with await backend.listen("tcp:name.example:0", EchoBack) as listener:
            assert isinstance(listener.endpoint, TCP)
            assert listener.endpoint.host == "name.example"
            port = listener.endpoint.port
            resolving(monkeypatch, backend, [(socket.AF_INET, ("127.0.0.1", port))])
            await echoes(backend, listener)

    run(main, variant=variant)


@each_variant
def test_a_name_with_no_address_that_is_here(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(backend: Backend) -> None:
        resolving(monkeypatch, backend, NOT_HERE)
        before = descriptors()
        with pytest.raises(ListenError) as caught:
            await backend.listen("tcp:name.example:0", EchoBack)
        assert "tcp:name.example:0" in str(caught.value)
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
        assert len(descriptors()) == len(before)

    run(main, variant=variant)


@pytest.mark.parametrize("order", [1, -1])
@each_variant
def test_a_name_with_an_address_that_is_taken(
    variant: str, order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To listen on the others only would hand clients to somebody else."""
    hosts = ["127.0.0.1", "127.0.0.2"][::order]

    async def main(backend: Backend, port: int) -> None:
        resolving(monkeypatch, backend, [(socket.AF_INET, (host, port)) for host in hosts])
        before = descriptors()
        with pytest.raises(ListenError) as caught:
            await backend.listen(f"tcp:name.example:{port}", EchoBack)
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.EADDRINUSE
        assert len(descriptors()) == len(before)

    with socket.create_server(("127.0.0.1", 0)) as server:
        run(main, server.getsockname()[1], variant=variant)


# -- unix sockets ------------------------------------------------------------------------------


@pytest.fixture
def stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A path that nobody may unlink, as in a folder of somebody else's."""
    path = tmp_path / "stuck"
    unlink = os.unlink

    def refuses(name: Any, **options: Any) -> None:
        if os.fspath(name) == str(path):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), name)
        unlink(name, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuses)
        yield path


def stays_behind(caplog: pytest.LogCaptureFixture, path: Path) -> list[logging.LogRecord]:
    return [record for record in caplog.records if f"unix:{path}" in record.getMessage()]


@each_variant
def test_closing_a_listener_whose_path_stays(
    variant: str, stuck: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(backend: Backend) -> None:
        before: dict[str, str] = {}
        for _ in range(2):
            listener = await backend.listen(f"unix:{stuck}.other", EchoBack)
            await listener.aclose()
            before = before or descriptors()
        listener = await backend.listen(f"unix:{stuck}", EchoBack)
        await listener.aclose()
        assert len(descriptors()) == len(before)
        with pytest.raises(ConnectionRefused):
            await backend.connect(f"unix:{stuck}", never)
        await listener.aclose()

    run(main, variant=variant)
    assert stuck.is_socket()
    assert [record.levelname for record in stays_behind(caplog, stuck)] == ["WARNING"]
    assert os.strerror(errno.EPERM) in stays_behind(caplog, stuck)[0].getMessage()


@pytest.mark.parametrize("body", ["ends", "raises"])
@each_variant
def test_leaving_with_a_listener_whose_path_stays(
    variant: str, body: str, stuck: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever comes after it is ended as well, and the result is what it was."""
    server, client = Recorder(), Recorder()
    ports: list[int] = []

    async def main(backend: Backend) -> str:
        await backend.listen(f"unix:{stuck}", EchoBack)
        listener = await backend.listen("tcp:127.0.0.1:0", lambda: server)
        await backend.connect(listener.endpoint, lambda: client)
        await until(backend, lambda: server.events)
        assert isinstance(listener.endpoint, TCP)
        ports.append(listener.endpoint.port)
        if body == "raises":
            raise LookupError("mine")
        return "result"

    if body == "raises":
        with pytest.raises(LookupError, match="mine"):
            run(main, variant=variant, options={"grace": 0})
    else:
        assert run(main, variant=variant, options={"grace": 0}) == "result"
    for each in (server, client):
        assert each.events == ["made", "lost"]
        if body == "raises":
            assert type(each.reason) is ConnectionAborted
    with socket.socket() as sock:
        assert sock.connect_ex(("127.0.0.1", ports[0])) == errno.ECONNREFUSED
    assert [record.levelname for record in stays_behind(caplog, stuck)] == ["WARNING"]


@pytest.mark.parametrize("sockets", ["poller", "native"])
@each_variant
def test_a_unix_peer_that_stops_reading(variant: str, sockets: str, tmp_path: Path) -> None:
    """Its shutdown(SHUT_RD) fails our next send, and nothing else would ever end it."""

    class Server(Recorder):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.write(b"again")
            self.transport.loseWriteConnection()

    async def main(backend: Backend) -> Server:
        server = Server()
        await backend.listen(f"unix:{tmp_path}/sock", lambda: server)
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(f"{tmp_path}/sock")
            await until(backend, lambda: server.events)
            peer.shutdown(socket.SHUT_RD)
            peer.send(b"question")
            await until(backend, lambda: server.reason)
        return server

    server = run(main, variant=variant, options={"grace": 0, "sockets": sockets}, limit=LIMIT + 5)
    assert server.events == ["made", "data", "lost"]
    assert server.data == b"question"
    assert type(server.reason) is ConnectionLost
    # Twisted keeps its transports' causes to itself.
    if sockets == "poller" or variant in ANYIO:
        assert isinstance(server.reason.__cause__, BrokenPipeError)


# -- what the system refuses -------------------------------------------------------------------


@each_variant
def test_no_room_to_watch_one_more(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """fs.epoll.max_user_watches is reached: that connection is lost, and told so."""
    want = EpollPoller.want
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[-1]

    def full(self: EpollPoller, fd: int, before: int | None, events: int) -> None:
        if before is None and events:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        want(self, fd, before, events)

    async def main(backend: Backend) -> BaseException:
        async with await backend.listen("tcp:127.0.0.1:0", factory) as listener:
            assert isinstance(listener.endpoint, TCP)
            monkeypatch.setattr(EpollPoller, "want", full)
            with socket.create_connection(("127.0.0.1", listener.endpoint.port)):
                await until(backend, lambda: made)
                reason = await made[0].transport.whenClosed()
            monkeypatch.setattr(EpollPoller, "want", want)
            await echoes_again(backend, listener)
        return reason

    async def echoes_again(backend: Backend, listener: Listener) -> None:
        client = await backend.connect(listener.endpoint, Recorder)
        await until(backend, lambda: len(made) == 2)
        client.transport.abortConnection()
        await client.transport.whenClosed()

    reason = run(main, variant=variant)
    assert isinstance(reason, ConnectionLost)
    assert isinstance(reason.__cause__, OSError)
    assert reason.__cause__.errno == errno.ENOSPC


@each_variant
def test_a_peer_whose_name_is_no_endpoint(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file called ``@...`` is two bytes longer, written as an endpoint: too long for one."""
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[-1]

    async def main(backend: Backend) -> Endpoint:
        path = str(tmp_path / "socket")
        async with await backend.listen(UNIX(path), factory):
            with socket.socket(socket.AF_UNIX) as client:
                client.bind("@".ljust(UNIX_PATH_BYTES, "x"))
                client.connect(path)
                await until(backend, lambda: made)
                return made[0].transport.getPeer()

    monkeypatch.chdir(tmp_path)
    assert run(main, variant=variant) == UNIX("")
