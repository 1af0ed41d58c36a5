"""The path of a unix socket: many processes at once, true errors, never too wide a mode."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from core.support import LIMIT, VARIANTS, EchoBack, Recorder, descriptors, run
from halfclose import UNIX, Backend, ConnectionOptions, ListenError
from halfclose.io import unix_paths

CONTENDER = """
    import os, sys
    import halfclose
    from halfclose import ListenError
    from halfclose.examples import Discard

    path, variant = sys.argv[1:]

    async def main(backend):
        os.read(0, 1)
        try:
            async with await backend.listen(f"unix:{path}", Discard):
                print("listens", flush=True)
                end = backend.create_event()
                backend.watch(0, end.set)
                await end.wait()
        except ListenError as error:
            print(error, flush=True)

    print("ready", flush=True)
    halfclose.run(main, backend=variant)
"""


@pytest.mark.parametrize("is_stale", [False, True], ids=["fresh", "stale"])
@pytest.mark.parametrize("variant", ["anyio+asyncio", "twisted+select"])
def test_of_many_processes_one_listens(variant: str, tmp_path: Path, is_stale: bool) -> None:
    path = tmp_path / "sock"
    if is_stale:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
    code = textwrap.dedent(CONTENDER)
    contenders = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path), variant],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    try:
        for each in contenders:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        for each in contenders:
            assert each.stdin is not None
            each.stdin.write("x")
            each.stdin.flush()
        said = [each.stdout.readline() for each in contenders if each.stdout is not None]
        assert sorted(said)[-1] == "listens\n"
        assert sum(line == "listens\n" for line in said) == 1, said
        assert all(
            "Address already in use" in s or "omebody" in s for s in said if s != "listens\n"
        )
        # And it is the one that the path leads to.
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
        assert [each.name for each in tmp_path.iterdir()] == ["sock"]
    finally:
        for each in contenders:
            each.communicate()
    assert list(tmp_path.iterdir()) == []


def listen(variant: str, path: Path, options: ConnectionOptions | None = None) -> str:
    """Listen once; what it said if that failed."""

    async def main(backend: Backend) -> str:
        before = len(descriptors())
        try:
            listener = await backend.listen(f"unix:{path}", EchoBack, options)
        except ListenError as error:
            assert len(descriptors()) == before
            return str(error)
        client = await backend.connect(f"unix:{path}", Recorder)
        client.transport.abortConnection()
        listener.close()
        return ""

    return run(main, variant=variant)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_socket_that_is_bound_and_does_not_listen_yet_is_not_stale(
    variant: str, tmp_path: Path
) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        before = path.lstat().st_ino
        assert "has bound" in listen(variant, path)
        assert path.lstat().st_ino == before
        sock.listen()
        assert "somebody listens there" in listen(variant, path)
    assert listen(variant, path) == ""
    assert not path.exists()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPROTOTYPE, errno.ENOTDIR, errno.EAGAIN])
def test_the_probe_says_the_true_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))

    class Probe(socket.socket):
        def connect_ex(self, address: object) -> int:
            return code

    with socket.socket(socket.AF_UNIX) as own, monkeypatch.context() as patch:
        patch.setattr(socket, "socket", Probe)
        with pytest.raises(OSError, match="sock") as caught:
            unix_paths.bind_path(own, UNIX(str(path)), 0o600)
    # A queue that is full is that of one who listens.
    assert caught.value.errno == (errno.EADDRINUSE if code == errno.EAGAIN else code)
    assert path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_socket_of_somebody_else() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        path = Path(folder) / "s"
        os.chmod(folder, 0o777)
        server.bind(str(path))
        path.chmod(0o600)
        server.listen()
        os.seteuid(65534)
        try:
            said = listen("anyio+asyncio", path)
        finally:
            os.seteuid(0)
        assert "Permission denied" in said
        assert path.exists()


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
@pytest.mark.parametrize("mode", [0o600, 0o666, 0])
def test_the_mode_is_never_wider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int, mode: int
) -> None:
    path = tmp_path / "sock"
    seen: list[int] = []

    class Sock(socket.socket):
        def bind(self, address: object) -> None:
            super().bind(address)  # type: ignore[arg-type]
            seen.append(stat.S_IMODE(path.lstat().st_mode))

    before = os.umask(umask)
    try:
        with Sock(socket.AF_UNIX) as sock:
            own = unix_paths.bind_path(sock, UNIX(str(path)), mode)
            seen.append(stat.S_IMODE(path.lstat().st_mode))
            own.remove()
    finally:
        os.umask(before)
    assert seen == [mode & ~umask, mode]
    assert not path.exists()


@pytest.mark.parametrize("variant", VARIANTS)
def test_somebody_keeps_the_lock_of_the_folder(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As flock(1) does, for as long as the program runs that it has started."""
    monkeypatch.setattr(unix_paths, "PATIENCE", 0.02)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert listen(variant, tmp_path / "sock") == ""
        fcntl.flock(fd, fcntl.LOCK_UN)
        # It has left none of its own.
        assert listen(variant, tmp_path / "sock") == ""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(fd)


@pytest.mark.parametrize("variant", VARIANTS)
def test_waiting_for_the_lock_of_the_folder(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_paths, "PATIENCE", LIMIT)
    fd = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)

    async def main(backend: Backend) -> bool:
        waited: list[bool] = []

        def release() -> None:
            waited.append(not (tmp_path / "sock").exists())
            fcntl.flock(fd, fcntl.LOCK_UN)

        backend.call_later(0.05, release)
        async with await backend.listen(f"unix:{tmp_path}/sock", EchoBack):
            return waited == [True]

    try:
        assert run(main, variant=variant)
    finally:
        os.close(fd)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_folder_that_cannot_be_locked(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    assert listen(variant, tmp_path / "sock") == ""


def test_a_path_is_removed_while_its_socket_lives(tmp_path: Path) -> None:
    """Closed first, it would be stale, and taken over before it is removed."""
    path = tmp_path / "sock"

    async def main(backend: Backend) -> None:
        listener = await backend.listen(f"unix:{path}", EchoBack)
        unlink, states = os.unlink, []

        def look(name: str) -> None:
            with socket.socket(socket.AF_UNIX) as probe:
                states.append(probe.connect_ex(name))
            unlink(name)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "unlink", look)
            listener.close()
        assert states == [0]

    run(main, variant="anyio+asyncio")
