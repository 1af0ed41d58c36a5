"""What these tests share: variants, limits, a protocol that notes its events, subprocesses."""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import halfclose
import warm as forks
from environment import environment
from halfclose import Backend, HalfCloseableProtocol
from installing import distribution
from warm import Process

T = TypeVar("T")

LIMIT = 20.0
"""Seconds that any wait may take; nothing here comes near it unless it hangs."""

ANYIO = ("anyio+asyncio", "anyio+uvloop", "anyio+trio")
TWISTED = (
    "twisted+select",
    "twisted+poll",
    "twisted+epoll",
    "twisted+asyncio",
    "twisted+uvloop",
)
VARIANTS = ANYIO + TWISTED


def run(
    main: Callable[..., Awaitable[T]],
    *args: object,
    variant: str,
    options: Mapping[str, Any] | None = None,
    limit: float = LIMIT,
) -> T:
    """`halfclose.run`, ended by SystemExit when it takes too long."""

    async def limited(backend: Backend) -> T:
        timer = backend.call_later(
            limit, backend.fatal, SystemExit(f"{main.__qualname__} took longer than {limit} s")
        )
        try:
            return await main(backend, *args)
        finally:
            timer.cancel()

    return halfclose.run(limited, backend=variant, options=options)


async def until(backend: Backend, true: Callable[[], object], limit: float = LIMIT) -> None:
    """Wait until *true* says so, looking every few milliseconds."""
    end = backend.time() + limit
    while not true():
        if backend.time() > end:
            raise AssertionError("what was waited for did not come")
        await backend.sleep(0.002)


class Recorder(HalfCloseableProtocol):
    """Notes its events."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.data = bytearray()
        self.reason: BaseException | None = None

    def connectionMade(self) -> None:
        self.events.append("made")

    def dataReceived(self, data: bytes) -> None:
        if self.events[-1] != "data":
            self.events.append("data")
        self.data += data

    def readConnectionLost(self) -> None:
        self.events.append("read")

    def writeConnectionLost(self) -> None:
        self.events.append("write")

    def connectionLost(self, reason: BaseException) -> None:
        self.events.append("lost")
        self.reason = reason


class EchoBack(HalfCloseableProtocol):
    """Sends back what comes, and ends when its peer has ended."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass


class Looks:
    """Counts how often the backend's descriptor is looked at, ready or not."""

    def __init__(self, backend: Backend) -> None:
        self.count = 0
        self._watch = backend.watch

    def watch(self, fd: int, ready: Callable[[], object], *, write: bool = False) -> Any:
        def counted() -> object:
            self.count += 1
            return ready()

        return self._watch(fd, counted, write=write)


def descriptors() -> dict[str, str]:
    """The open descriptors of this process, and what each is."""
    gc.collect()
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            pass  # the listing's own
    return found


class Threads:
    """The threads that there are now; one that was kept for other tests may end meanwhile."""

    def __init__(self) -> None:
        self._before = set(threading.enumerate())

    def new(self) -> list[str]:
        """Those that have come since, by name."""
        return [thread.name for thread in threading.enumerate() if thread not in self._before]


def python(
    code: str,
    *flags: str,
    env: Mapping[str, str] | None = None,
    limit: float = 180.0,
    cwd: Path | None = None,
    arguments: Sequence[str] = (),
    warm: bool = False,
) -> str:
    """Run *code* in a fresh interpreter and give what it prints; anything but success fails.

    :param warm: whether it may be one that has imported the frameworks already, which is a tenth of
        the work; not where *code* looks at what is imported, or at the ``native_id`` of the main
        thread, which Python 3.11 does not set anew in a fork.
    """
    variables = environment({"PYTHONPATH": "", **(env or {})})
    source = textwrap.dedent(code)
    program: Process
    assert not (warm and flags), "an interpreter that runs already takes no options"
    if warm:
        streams = (subprocess.DEVNULL, subprocess.PIPE, subprocess.PIPE)
        program = forks.python(source, arguments, variables, str(cwd or Path.cwd()), streams)
    else:
        program = subprocess.Popen(
            [sys.executable, *flags, "-c", source, *arguments],
            env=variables,
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    with program:
        try:
            told = program.communicate(timeout=limit)
        finally:
            program.kill()
    out, err = ((text or b"").decode() for text in told)
    assert program.returncode == 0, f"exit {program.returncode}\n{out}\n{err}"
    return out


class Site:
    """A directory that is all that an interpreter finds besides the standard library."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(exist_ok=True)
        self.link("halfclose")
        self.link("pluggy")

    def link(self, *packages: str) -> None:
        """Let *packages* be importable, without their distributions' metadata."""
        for package in packages:
            module = importlib.import_module(package)
            file = module.__file__
            assert file is not None
            source = Path(file)
            target = source.parent if source.name == "__init__.py" else source
            (self.path / target.name).symlink_to(target)

    def module(self, name: str, source: str) -> None:
        """A module with that *source*."""
        (self.path / f"{name}.py").write_text(textwrap.dedent(source))

    def distribution(
        self,
        name: str,
        entries: Mapping[str, str],
        version: str = "1.0",
        group: str = "halfclose",
    ) -> None:
        """The metadata of an installed distribution with *entries* in a group of ours."""
        distribution(self.path, name, entries, version=version, group=group)

    def python(self, code: str, **env: str) -> str:
        """Run *code* with nothing but this site."""
        return python(code, "-S", "-B", env={"PYTHONPATH": str(self.path), **env})


FAKE_BACKEND = """
    from halfclose import Backend, BackendSpec, hookimpl

    class Fake(Backend):
        run = classmethod(lambda cls, name, options, main, args: f"{cls.__module__} ran {name}")
        start = stop = fatal = time = call_soon = call_later = None
        call_soon_threadsafe = start_soon = sleep = create_event = watch = resolve = adopt = None
"""


def plugin(*names: str, priority: int = 0, running: bool = False, module: str) -> str:
    """The source of a plugin *module* that offers backends of these *names*."""
    specs = ", ".join(
        f"BackendSpec({name!r}, '{module}:Fake', priority={priority}, running=lambda: {running})"
        for name in names
    )
    return textwrap.dedent(FAKE_BACKEND) + textwrap.dedent(
        f"""
        @hookimpl
        def halfclose_backends():
            return [{specs}]
        """
    )
