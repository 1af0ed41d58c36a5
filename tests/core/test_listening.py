"""Listening: unix paths taken over and left alone, and what cannot be listened on."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from core.support import VARIANTS, EchoBack, Recorder, descriptors, run, until
from halfclose import (
    TCP,
    UNIX,
    Backend,
    ConnectError,
    ConnectionOptions,
    EndpointError,
    HalfcloseError,
    Listener,
    ListenError,
    StandardIO,
    open_backend,
)
from halfclose.io import tcp
from halfclose.io.listening import ListeningSocket

pytestmark = pytest.mark.parametrize("variant", VARIANTS)


async def echoes(backend: Backend, listener: Listener) -> None:
    """Assert that *listener* serves EchoBack."""
    client = await backend.connect(listener.endpoint, Recorder)
    client.transport.write(b"hello")
    client.transport.loseWriteConnection()
    await client.transport.whenClosed()
    assert client.data == b"hello"


async def is_reset(backend: Backend, listener: Listener) -> None:
    """Assert that *listener* accepts a connection and resets it."""
    assert isinstance(listener.endpoint, TCP)
    with socket.create_connection((listener.endpoint.host, listener.endpoint.port)) as sock:
        sock.setblocking(False)
        found: list[object] = []

        def look() -> bool:
            try:
                found.append(sock.recv(100))
            except BlockingIOError:
                return False
            except OSError as error:
                found.append(type(error))
            return True

        await until(backend, look)
        assert found == [ConnectionResetError]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def stale(path: Path, kind: int = socket.SOCK_STREAM) -> int:
    """A socket at *path* whose process is gone; its inode."""
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(str(path))
    return path.lstat().st_ino


async def refusal(backend: Backend, endpoint: str) -> HalfcloseError:
    before = descriptors()
    with pytest.raises(ListenError) as caught:
        await backend.listen(endpoint, EchoBack)
    assert endpoint in str(caught.value)
    assert len(descriptors()) == len(before)
    return caught.value


# -- unix --------------------------------------------------------------------------------------


def test_a_path_is_made_and_removed(variant: str, tmp_path: Path) -> None:
    path = tmp_path / "sock"

    async def main(backend: Backend) -> None:
        async with await backend.listen(f"unix:{path}", EchoBack) as listener:
            assert listener.endpoint == UNIX(str(path))
            assert stat.S_ISSOCK(path.lstat().st_mode)
            await echoes(backend, listener)
        assert not path.exists()
        assert listener.endpoint == UNIX(str(path))
        await listener.aclose()
        # And again, at once.
        async with await backend.listen(f"unix:{path}", EchoBack) as listener:
            await echoes(backend, listener)

    run(main, variant=variant)
    assert list(tmp_path.iterdir()) == []


def test_leaving_the_backend_removes_the_path(variant: str, tmp_path: Path) -> None:
    path = tmp_path / "sock"

    async def main(backend: Backend) -> None:
        await backend.listen(f"unix:{path}", EchoBack)
        assert path.exists()

    run(main, variant=variant)
    assert not path.exists()

    async def failing(backend: Backend) -> None:
        await backend.listen(f"unix:{path}", EchoBack)
        raise LookupError

    with pytest.raises(LookupError):
        run(failing, variant=variant)
    assert not path.exists()


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777])
@pytest.mark.parametrize("wanted", [None, 0o600, 0o666, 0o770, 0])
def test_the_mode_is_what_was_asked_for(
    variant: str, tmp_path: Path, umask: int, wanted: int | None
) -> None:
    path = tmp_path / "sock"
    options = None if wanted is None else ConnectionOptions(unix_mode=wanted)

    async def main(backend: Backend) -> int:
        before = os.umask(umask)
        try:
            async with await backend.listen(f"unix:{path}", EchoBack, options):
                return mode(path)
        finally:
            os.umask(before)

    assert run(main, variant=variant) == (0o600 if wanted is None else wanted)


def test_a_stale_socket_is_taken_over(variant: str, tmp_path: Path) -> None:
    path = tmp_path / "sock"
    stale(path)
    path.chmod(0o777)

    async def main(backend: Backend) -> None:
        async with await backend.listen(f"unix:{path}", EchoBack) as listener:
            assert mode(path) == 0o600
            await echoes(backend, listener)

    run(main, variant=variant)
    assert not path.exists()


def test_a_live_socket_is_refused_and_lives_on(variant: str, tmp_path: Path) -> None:
    path = tmp_path / "sock"

    async def main(backend: Backend) -> None:
        async with await backend.listen(f"unix:{path}", EchoBack) as listener:
            inode = path.lstat().st_ino
            await refusal(backend, f"unix:{path}")
            assert path.lstat().st_ino == inode
            await echoes(backend, listener)

    run(main, variant=variant)


def test_a_live_socket_with_a_full_queue_is_refused(variant: str, tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(path))
        server.listen(0)
        client.connect(str(path))
        inode = path.lstat().st_ino

        async def main(backend: Backend) -> None:
            await refusal(backend, f"unix:{path}")

        run(main, variant=variant)
        assert path.lstat().st_ino == inode


def test_a_datagram_socket_is_left_alone(variant: str, tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        inode = path.lstat().st_ino

        async def main(backend: Backend) -> None:
            await refusal(backend, f"unix:{path}")

        run(main, variant=variant)
        assert path.lstat().st_ino == inode


@pytest.mark.parametrize(
    "kind", ["file", "directory", "fifo", "link", "dangling", "link to socket"]
)
def test_what_is_no_socket_is_refused_and_left_alone(
    variant: str, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "it"
    target = tmp_path / "target"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        target.write_text("precious")
        path.symlink_to(target)
    elif kind == "dangling":
        path.symlink_to(target)
    else:
        stale(target)
        path.symlink_to(target)
    before = path.lstat()

    async def main(backend: Backend) -> None:
        await refusal(backend, f"unix:{path}")

    run(main, variant=variant)
    after = path.lstat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    if kind in ("file", "link"):
        assert path.read_text() == "precious"
    if kind == "link to socket":
        assert target.exists()


def test_a_directory_that_is_not_there(variant: str, tmp_path: Path) -> None:
    async def main(backend: Backend) -> None:
        error = await refusal(backend, f"unix:{tmp_path}/none/sock")
        assert isinstance(error.__cause__, FileNotFoundError)

    run(main, variant=variant)


@pytest.mark.parametrize("replaced", ["removed", "file", "socket", "directory"])
def test_a_path_that_is_ours_no_more_is_left_alone(
    variant: str, tmp_path: Path, replaced: str
) -> None:
    path = tmp_path / "sock"

    async def main(backend: Backend) -> int | None:
        async with await backend.listen(f"unix:{path}", EchoBack):
            # Kept under another name, so that its inode is not used again.
            path.rename(tmp_path / "aside")
            if replaced == "file":
                path.write_text("precious")
            elif replaced == "socket":
                stale(path)
            elif replaced == "directory":
                path.mkdir()
            return path.lstat().st_ino if replaced != "removed" else None

    inode = run(main, variant=variant)
    if inode is None:
        assert not path.exists()
    else:
        assert path.lstat().st_ino == inode


def test_a_relative_path_is_removed_also_from_elsewhere(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "other"
    other.mkdir()

    async def main(backend: Backend) -> None:
        async with await backend.listen("unix:sock", EchoBack) as listener:
            await echoes(backend, listener)
            monkeypatch.chdir(other)
        assert not (tmp_path / "sock").exists()

    run(main, variant=variant)


def test_closing_only_stops_accepting(variant: str, tmp_path: Path) -> None:
    path = tmp_path / "sock"

    async def main(backend: Backend) -> None:
        listener = await backend.listen(f"unix:{path}", EchoBack)
        client = await backend.connect(listener.endpoint, Recorder)
        client.transport.write(b"1")
        await until(backend, lambda: client.data == b"1")
        await listener.aclose()
        await listener.aclose()
        client.transport.write(b"2")
        await until(backend, lambda: client.data == b"12")
        with pytest.raises(HalfcloseError):
            await backend.connect(f"unix:{path}", Recorder)
        assert client.events == ["made", "data"]

    run(main, variant=variant)


# -- tcp ---------------------------------------------------------------------------------------


def test_where_somebody_listens(variant: str) -> None:
    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            error = await refusal(backend, str(listener.endpoint))
            assert isinstance(error.__cause__, OSError)
            await echoes(backend, listener)

    run(main, variant=variant)


def test_the_port_that_the_system_chose(variant: str) -> None:
    async def main(backend: Backend) -> None:
        async with (
            await backend.listen(TCP("127.0.0.1", 0), EchoBack) as one,
            await backend.listen("tcp:[::1]:0", EchoBack) as two,
        ):
            for listener, host in ((one, "127.0.0.1"), (two, "::1")):
                endpoint = listener.endpoint
                assert isinstance(endpoint, TCP)
                assert endpoint.host == host
                assert endpoint.port > 0
                await echoes(backend, listener)
        assert isinstance(one.endpoint, TCP)
        # Free again at once.
        async with await backend.listen(one.endpoint, EchoBack) as again:
            assert again.endpoint == one.endpoint
            await echoes(backend, again)

    run(main, variant=variant)


@pytest.mark.parametrize("host", ["nosuch.invalid", "192.0.2.1", "a..b", "a" * 64 + ".invalid"])
def test_a_host_that_is_not_ours(variant: str, host: str) -> None:
    async def main(backend: Backend) -> None:
        await refusal(backend, f"tcp:{host}:0")

    run(main, variant=variant)


def test_listening_on_every_address_of_a_name(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Addresses of this process: another test, in another process, may have the same port.
    first, second = (f"127.{os.getpid() >> 8 & 255}.{os.getpid() & 255}.{n}" for n in (1, 2))

    async def main(backend: Backend) -> None:
        async def resolve(host: str, port: int) -> list[tuple[int, object]]:
            return [
                (socket.AF_INET, (first, port)),
                (socket.AF_INET, (second, port)),
                (socket.AF_INET6, ("::1", port, 0, 0)),
            ]

        monkeypatch.setattr(backend, "resolve", resolve)
        async with await backend.listen("tcp:name.example:0", EchoBack) as listener:
            endpoint = listener.endpoint
            assert isinstance(endpoint, TCP)
            for host in (first, second, "::1"):
                client = await backend.connect(TCP(host, endpoint.port), Recorder)
                client.transport.loseWriteConnection()
                await client.transport.whenClosed()
        # One of the addresses is taken: none remains listened on.
        with socket.create_server((second, 0)) as taken:
            port = taken.getsockname()[1]
            await refusal(backend, f"tcp:name.example:{port}")
            with pytest.raises(HalfcloseError):
                await backend.connect(TCP(first, port), Recorder)

    run(main, variant=variant)


@pytest.mark.parametrize("endpoint", ["stdio:", StandardIO()], ids=str)
def test_stdio_cannot_be_listened_on(variant: str, endpoint: str | StandardIO) -> None:
    async def main(backend: Backend) -> None:
        with pytest.raises(ListenError, match="stdio"):
            await backend.listen(endpoint, EchoBack)

    run(main, variant=variant)


def test_a_malformed_endpoint(variant: str) -> None:
    async def main(backend: Backend) -> None:
        with pytest.raises(EndpointError):
            await backend.listen("tcp:host", EchoBack)

    run(main, variant=variant)


@pytest.mark.parametrize("kind", ["raises", "none", "class"])
def test_a_factory_that_fails_costs_its_connection_only(
    variant: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[object] = []

    def factory() -> EchoBack:
        made.append(1)
        if len(made) in (1, 3):
            if kind == "raises":
                raise ZeroDivisionError
            return None if kind == "none" else EchoBack  # type: ignore[return-value]
        return EchoBack()

    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:127.0.0.1:0", factory) as listener:
            for good in (False, True, False, True):
                if good:
                    await echoes(backend, listener)
                else:
                    await is_reset(backend, listener)

    run(main, variant=variant)
    assert len(made) == 4
    errors = [r for r in caplog.records if r.levelno >= logging.ERROR and r.name == "halfclose"]
    assert len(errors) == 2
    assert all(record.exc_info for record in errors)


# -- every address -----------------------------------------------------------------------------


def answering(monkeypatch: pytest.MonkeyPatch, backend: Backend, *hosts: str) -> None:
    """Let every name have the addresses *hosts*."""

    async def resolve(host: str, port: int) -> list[tuple[int, object]]:
        return [
            (socket.AF_INET6, (each, port, 0, 0)) if ":" in each else (socket.AF_INET, (each, port))
            for each in hosts
        ]

    monkeypatch.setattr(backend, "resolve", resolve)


def test_a_name_that_has_an_address_twice(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(backend: Backend) -> None:
        twice = ("127.0.0.1", "::1", "127.0.0.1", "::ffff:127.0.0.1", "::1")
        answering(monkeypatch, backend, *twice)
        async with await backend.listen("tcp:twice.example:0", EchoBack) as listener:
            await echoes(backend, listener)

    run(main, variant=variant)


@pytest.mark.parametrize(
    "wrong",
    [
        [(socket.AF_INET, ("127.0.0.1",))],
        [(socket.AF_INET, (5, 80))],
        [("inet", ("127.0.0.1", 80))],
        [(socket.AF_INET6, None)],
        [None],
        None,
    ],
    ids=repr,
)
def test_what_is_no_address(variant: str, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stays behind of those that came before."""

    async def resolve(host: str, port: int) -> Any:
        return wrong and [(socket.AF_INET, ("127.0.0.1", port)), *wrong]

    async def main(backend: Backend) -> None:
        monkeypatch.setattr(backend, "resolve", resolve)
        before = descriptors()
        with pytest.raises(ListenError, match="cannot listen on tcp:wrong"):
            await backend.listen("tcp:wrong.example:0", EchoBack)
        assert descriptors() == before

    run(main, variant=variant)


def test_a_port_that_is_free_on_every_address(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ports that the system chooses first for one address are taken on the other."""
    bind = tcp._bind
    tried: list[int] = []

    def taken_at_first(address: tuple[int, object], port: int) -> socket.socket:
        if address[0] == socket.AF_INET6 and len(tried) < 5:
            tried.append(port)
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        return bind(address, port)

    monkeypatch.setattr(tcp, "_bind", taken_at_first)

    async def main(backend: Backend) -> None:
        answering(monkeypatch, backend, "127.0.0.1", "::1")
        before = len(descriptors())
        async with await backend.listen("tcp:both.example:0", EchoBack) as listener:
            await echoes(backend, listener)
            assert len(descriptors()) == before + 2 + len(opened(backend))
        assert len(set(tried)) == 5
        # One that was asked for is not exchanged for another.
        tried.clear()
        with pytest.raises(ListenError, match="in use"):
            await backend.listen(listener.endpoint, EchoBack)
        assert len(tried) == 1

    def opened(backend: Backend) -> list[int]:
        # The poller, made when it was first needed.
        return [1] if backend.driver._own else []

    run(main, variant=variant)


@pytest.mark.parametrize("sockets", ["poller", "native"])
def test_every_address_of_both_families(variant: str, sockets: str) -> None:
    served: list[Recorder] = []

    def factory() -> Recorder:
        served.append(Recorder())
        return served[-1]

    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:*:0", factory) as listener:
            endpoint = listener.endpoint
            assert isinstance(endpoint, TCP)
            assert endpoint.host == "*"
            assert endpoint.port
            for host in ("127.0.0.1", "::1"):
                client = await backend.connect(TCP(host, endpoint.port), Recorder)
                await until(backend, lambda: served)
                transport = served.pop().transport
                assert transport.getHost() == TCP(host, endpoint.port)
                assert transport.getPeer() == client.transport.getHost()
                client.transport.abortConnection()
                await transport.whenClosed()
            with pytest.raises(ConnectError, match=r"tcp:\*:"):
                await backend.connect(endpoint, Recorder)
        # IPv6 alone is IPv6 alone.
        async with await backend.listen("tcp:[::]:0", factory) as listener:
            assert isinstance(listener.endpoint, TCP)
            with pytest.raises(ConnectError):
                await backend.connect(TCP("127.0.0.1", listener.endpoint.port), Recorder)

    run(main, variant=variant, options={"sockets": sockets})


# -- accepting that fails ----------------------------------------------------------------------


@pytest.mark.parametrize("sockets", ["poller", "native"])
@pytest.mark.parametrize("code", ["EINVAL", "EBADF", "ENOTSOCK", "EOPNOTSUPP"])
def test_a_listener_that_is_dead_says_so(
    variant: str,
    sockets: str,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    number = getattr(errno, code)
    asked: list[object] = []

    def accept(sock: socket.socket) -> object:
        asked.append(sock)
        raise OSError(number, os.strerror(number))

    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            assert isinstance(listener.endpoint, TCP)
            assert listener.failure is None
            with monkeypatch.context() as patch:
                patch.setattr(ListeningSocket, "accept", accept)
                with socket.create_connection((listener.endpoint.host, listener.endpoint.port)):
                    await until(backend, lambda: listener.failure)
                    for _ in range(20):
                        await backend.sleep(0)
            assert listener.failure is not None
            assert listener.failure.errno == number
        assert len(asked) == 1

    run(main, variant=variant, options={"sockets": sockets})
    errors = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert [each.getMessage().count("accepts no more") for each in errors] == [1]


@pytest.mark.parametrize("sockets", ["poller", "native"])
@pytest.mark.parametrize("how", ["SHUT_RD", "SHUT_RDWR"])
@pytest.mark.parametrize("where", ["tcp:127.0.0.1:0", "unix:{}", "unix:@{}"])
def test_a_listener_that_somebody_has_shut_down(
    variant: str,
    sockets: str,
    how: str,
    where: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its path goes with it: whoever comes next takes it, and keeps it when we close ours."""

    async def main(backend: Backend) -> None:
        endpoint = where.format(tmp_path / "sock")
        async with await backend.listen(endpoint, EchoBack) as listener:
            (fd,) = listener.descriptors()
            with socket.socket(fileno=os.dup(fd)) as copy:
                copy.shutdown(getattr(socket, how))
            await until(backend, lambda: listener.failure)
            assert listener.failure is not None
            assert listener.failure.errno == errno.EINVAL
            async with await backend.listen(listener.endpoint, EchoBack) as successor:
                listener.close()
                client = await backend.connect(successor.endpoint, Recorder)
                client.transport.abortConnection()

    run(main, variant=variant, options={"sockets": sockets})
    errors = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert [each.getMessage().count("accepts no more") for each in errors] == [1]


@pytest.mark.parametrize("code", ["ECONNABORTED", "EPROTO", "ENETDOWN", "EPERM", "EIO"])
def test_other_errors_of_accept_are_gone_the_next_time(
    variant: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = getattr(errno, code)
    asked: list[object] = []
    accept = socket.socket.accept

    def once(sock: socket.socket) -> object:
        asked.append(sock)
        if len(asked) == 1:
            raise OSError(number, os.strerror(number))
        return accept(sock)

    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            monkeypatch.setattr(ListeningSocket, "accept", once)
            await echoes(backend, listener)
            assert listener.failure is None

    run(main, variant=variant)
    assert len(asked) > 1


def test_what_the_framework_cannot_take_now_is_kept(
    variant: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its transport may need a second descriptor, and there is none."""
    asked: list[object] = []

    async def main(backend: Backend) -> None:
        adopt = backend.adopt

        def fail_thrice(sock: socket.socket) -> object:
            asked.append(sock)
            if len(asked) <= 3:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return adopt(sock)

        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            assert isinstance(listener.endpoint, TCP)
            address = listener.endpoint.host, listener.endpoint.port
            with socket.create_connection(address) as sock:
                sock.send(b"kept")
                sock.shutdown(socket.SHUT_WR)
                sock.setblocking(False)
                monkeypatch.setattr(backend, "adopt", fail_thrice)
                got: list[bytes] = []

                def look() -> bool:
                    try:
                        got.append(sock.recv(100))
                    except BlockingIOError:
                        return False
                    return not got[-1]

                await until(backend, look)
                assert b"".join(got) == b"kept"

    run(main, variant=variant, options={"sockets": "native"})
    assert len(asked) == 4
    assert [each.getMessage().count("waits") for each in caplog.records] == [1]


# -- left meanwhile ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["left", "cancelled"])
def test_a_backend_that_is_left_while_a_name_is_looked_up(
    variant: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then nobody would close the sockets."""
    found: list[object] = []
    before: list[int] = []

    async def main(outer: Backend) -> None:
        go_on = outer.create_event()
        over = outer.create_event()
        before.append(len(descriptors()))
        async with open_backend(variant) as inner:

            async def resolve(host: str, port: int) -> list[tuple[int, object]]:
                await go_on.wait()
                return [(socket.AF_INET, ("127.0.0.1", port))]

            monkeypatch.setattr(inner, "resolve", resolve)

            async def listen() -> None:
                try:
                    found.append(await inner.listen("tcp:slow.example:0", EchoBack))
                except BaseException as error:
                    found.append(error)
                    if not isinstance(error, Exception):
                        raise
                finally:
                    over.set()

            (outer if how == "left" else inner).start_soon(listen)
            for _ in range(5):
                await outer.sleep(0)
        go_on.set()
        await over.wait()
        assert len(descriptors()) == before[0]

    run(main, variant=variant)
    assert len(found) == 1
    if how == "left":
        assert "has been left" in str(found[0])


def test_a_listener_that_is_made_while_the_backend_is_left(variant: str, tmp_path: Path) -> None:
    """What a connection's end begins is closed with all else."""
    made: list[Listener | BaseException] = []

    async def main(backend: Backend) -> None:
        async def again() -> None:
            try:
                made.append(await backend.listen(f"unix:{tmp_path}/again", EchoBack))
            except RuntimeError as error:
                made.append(error)

        class Restarts(Recorder):
            def connectionLost(self, reason: BaseException) -> None:
                backend.start_soon(again)

        listener = await backend.listen("tcp:127.0.0.1:0", EchoBack)
        await backend.connect(listener.endpoint, Restarts)

    run(main, variant=variant)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        (tmp_path / "again").lstat()


def test_a_listener_of_another_kind_is_closed_too(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Backend.open_listener` may take as long as it likes."""
    closed: list[Listener] = []

    class Slow(Listener):
        def close(self) -> None:
            closed.append(self)

    async def main(backend: Backend) -> None:
        async def open_listener(*args: object) -> Listener:
            backend.left = True
            return Slow(StandardIO())

        monkeypatch.setattr(backend, "open_listener", open_listener)
        try:
            with pytest.raises(RuntimeError, match="left"):
                await backend.listen("tcp:127.0.0.1:0", EchoBack)
        finally:
            backend.left = False
        assert len(closed) == 1

    run(main, variant=variant)
