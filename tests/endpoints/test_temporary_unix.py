"""A plugin's own scheme is as good as core's, on every backend and in the command."""

from __future__ import annotations

import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import halfclose
import pytest
from cli.support import ECHO, dial, halfclose_, start
from core.support import EchoBack, Recorder, run
from endpoints import temporary_unix
from endpoints.temporary_unix import TemporaryUNIX
from halfclose import (
    UNIX,
    Backend,
    ConnectError,
    ConnectionOptions,
    ConnectionRefused,
    EndpointError,
    ListenError,
    parse_endpoint,
)
from installing import install

VARIANTS = ("twisted+select", "anyio+asyncio", "anyio+trio")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, of this test alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def registered() -> Iterator[None]:
    """The plugin, registered by the program."""
    halfclose.register(temporary_unix)
    yield
    halfclose.unregister(temporary_unix)


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """An environment in which the plugin is an installed distribution."""
    site = tmp_path / "site"
    site.mkdir()
    source = Path(temporary_unix.__file__)
    (site / source.name).symlink_to(source)
    return {**install(site, "tmpunix", "temporary_unix"), "TMPDIR": str(tmp_path)}


@pytest.mark.usefixtures("registered")
class TestInAProgram:
    def test_it_is_parsed_and_gives_itself_back(self) -> None:
        endpoint = parse_endpoint("tmpunix:echo")
        assert endpoint == TemporaryUNIX("echo")
        assert str(endpoint) == "tmpunix:echo"
        assert halfclose.as_endpoint(endpoint) is endpoint

    @pytest.mark.parametrize("text", ["tmpunix:", "tmpunix:a/b"])
    def test_a_malformed_one_says_what_is_wrong_and_shows_a_right_one(self, text: str) -> None:
        with pytest.raises(EndpointError) as caught:
            parse_endpoint(text)
        name = text.partition(":")[2]
        assert str(caught.value) == (
            f"endpoint {text!r}: the name {name!r} is not of letters, digits and -; "
            "write it like tmpunix:echo"
        )

    @pytest.mark.parametrize("variant", VARIANTS)
    @pytest.mark.parametrize("sockets", ["poller", "native"])
    @pytest.mark.parametrize("endpoint", ["tmpunix:echo", TemporaryUNIX("echo")])
    def test_connects_and_listens(
        self, folder: Path, variant: str, sockets: str, endpoint: str | TemporaryUNIX
    ) -> None:
        class Client(Recorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.transport.write(b"hello")
                self.transport.loseWriteConnection()

        async def main(backend: Backend) -> Client:
            async with await backend.listen(
                endpoint, EchoBack, ConnectionOptions(unix_mode=0o660)
            ) as listener:
                assert str(listener.endpoint) == "tmpunix:echo"
                assert listener.failure is None
                assert len(list(listener.descriptors())) == 1
                assert (folder / "echo.sock").stat().st_mode & 0o777 == 0o660
                client: Client = await backend.connect(listener.endpoint, Client)
                await client.transport.whenClosed()
                assert client.transport.getPeer() == UNIX(str(folder / "echo.sock"))
            assert not (folder / "echo.sock").exists()
            return client

        assert run(main, variant=variant, options={"sockets": sockets}).data == b"hello"

    def test_leaving_a_backend_closes_its_listener(self, folder: Path) -> None:
        async def main(backend: Backend) -> None:
            await backend.listen("tmpunix:echo", EchoBack)
            assert (folder / "echo.sock").exists()

        run(main, variant="anyio+asyncio")
        assert not (folder / "echo.sock").exists()

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_errors_name_the_endpoint_and_keep_their_class(
        self, folder: Path, variant: str
    ) -> None:
        async def main(backend: Backend) -> None:
            with pytest.raises(ConnectError, match=r"cannot connect to tmpunix:none: .*No such"):
                await backend.connect("tmpunix:none", Recorder)
            with pytest.raises(
                ListenError, match=r"cannot listen on tmpunix:busy: .*somebody listens"
            ):
                async with await backend.listen("tmpunix:busy", EchoBack):
                    await backend.listen("tmpunix:busy", EchoBack)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(str(folder / "stale.sock"))
            with pytest.raises(ConnectionRefused, match=r"cannot connect to tmpunix:stale: "):
                await backend.connect("tmpunix:stale", Recorder)

        run(main, variant=variant)

    def test_a_backend_without_descriptors_refuses_it_by_name(self) -> None:
        async def main(backend: Backend) -> None:
            with pytest.raises(ConnectError, match=r"tmpunix:echo: .*'memory' serves memory:NAME"):
                await backend.connect("tmpunix:echo", Recorder)
            with pytest.raises(ListenError, match=r"tmpunix:echo: .*'memory' serves memory:NAME"):
                await backend.listen("tmpunix:echo", EchoBack)

        halfclose.run(main, backend="memory")


def test_once_unregistered_it_is_gone() -> None:
    halfclose.register(temporary_unix)
    halfclose.unregister(temporary_unix)
    with pytest.raises(EndpointError, match=r"no kind of endpoint is called 'tmpunix'"):
        parse_endpoint("tmpunix:echo")

    async def main(backend: Backend) -> None:
        with pytest.raises(EndpointError, match=r"no kind of endpoint is called 'tmpunix'"):
            await backend.connect(TemporaryUNIX("echo"), Recorder)

    halfclose.run(main, backend="memory")


class TestInTheCommand:
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_run_and_connect(self, installed: dict[str, str], tmp_path: Path, variant: str) -> None:
        settings: dict[str, Any] = {"env": installed}
        backend = ("--backend", variant)
        with start("run", ECHO, "tmpunix:e", "--unix-mode", "640", *backend, **settings) as server:
            assert server.endpoint() == "tmpunix:e"
            assert (tmp_path / "e.sock").stat().st_mode & 0o777 == 0o640
            result = halfclose_("connect", "tmpunix:e", *backend, data=b"hello", **settings)
            assert result == (0, b"hello", "")
            server.send(signal.SIGTERM)
            assert server.finish().status == 0
        assert not (tmp_path / "e.sock").exists()

    def test_listen(self, installed: dict[str, str], tmp_path: Path) -> None:
        with start("listen", "tmpunix:x", env=installed) as command:
            assert command.endpoint() == "tmpunix:x"
            with dial(f"unix:{tmp_path / 'x.sock'}") as peer:
                peer.sendall(b"hello")
                assert command.stdout.read(5) == b"hello"
                peer.shutdown(1)
                assert command.finish().status == 0

    def test_errors(self, installed: dict[str, str]) -> None:
        result = halfclose_("connect", "tmpunix:none", env=installed)
        assert result.status == 1
        assert result.problem.startswith("halfclose: cannot connect to tmpunix:none: ")
        result = halfclose_("connect", "tmpunix:", env=installed)
        assert result.status == 2
        assert result.problem.endswith("write it like tmpunix:echo")

    def test_it_is_no_backend(self, installed: dict[str, str]) -> None:
        result = halfclose_("backends", env=installed)
        assert (result.status, result.err) == (0, "")
        assert b"tmpunix" not in result.out
