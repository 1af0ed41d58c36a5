"""An endpoint that is one connection, and not standard input: a server is attached to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.support import ECHO, halfclose_, listening, read_all, start
from installing import install

PLUGIN = '''
"""``once:PORT``: the connection to a port of this machine, and nobody listens on it."""

from halfclose import TCP, Endpoint, Scheme, hookimpl


class Once(Endpoint):
    scheme = "once"

    def __init__(self, port):
        self.port = int(port)

    def __str__(self):
        return f"once:{self.port}"


class OnceScheme(Scheme):
    name = "once"
    examples = ("once:8000",)
    one_connection = True

    def parse(self, rest):
        return Once(rest)

    async def connect(self, backend, endpoint, timeout):
        return await backend.open_channel(TCP("127.0.0.1", endpoint.port), timeout)


@hookimpl
def halfclose_endpoints():
    return [OnceScheme()]
'''


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """An environment in which the plugin is an installed distribution."""
    (tmp_path / "once.py").write_text(PLUGIN)
    return install(tmp_path, "once", "once")


def test_run_serves_it_until_it_ends(installed: dict[str, str]) -> None:
    with listening() as (listener, endpoint):
        where = f"once:{endpoint.rpartition(':')[2]}"
        with start("run", ECHO, where, env=installed) as command:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(b"hello")
                sock.shutdown(1)
                assert read_all(sock) == b"hello"
            assert command.finish().status == 0


def test_connect_reaches_it_and_nobody_listens(installed: dict[str, str]) -> None:
    with start("run", ECHO, "tcp:127.0.0.1:0") as server:
        where = f"once:{server.endpoint().rpartition(':')[2]}"
        result = halfclose_("connect", where, data=b"hello", env=installed)
        assert result == (0, b"hello", "")
    result = halfclose_("listen", where, env=installed)
    assert result.status == 2
    assert result.problem == (
        f"halfclose: cannot listen on {where}: it is one connection; connect to it instead"
    )
