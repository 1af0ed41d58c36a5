"""A backend that works, with one defect: what the kit must see and name."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, ClassVar, TypeVar

import halfclose
from halfclose import BackendSpec, hookimpl
from halfclose_anyio.backend import AnyioBackend

T = TypeVar("T")

NAME = "defective"


class Defective(AnyioBackend):
    """What *defect* does, it does in `stop`, at the end of each program."""

    defect: ClassVar[Callable[[Any], object]]

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__("anyio+asyncio", options)
        self.name = name

    async def stop(self, error: BaseException | None) -> None:
        outcome = type(self).defect(self)
        if outcome is not None:
            await outcome  # type: ignore[misc]
        await super().stop(error)


class HangsAtTheEnd(AnyioBackend):
    """Never comes back from ``run``."""

    @classmethod
    def run(
        cls,
        name: str,
        options: Mapping[str, Any] | None,
        main: Callable[..., Awaitable[T]],
        args: tuple[object, ...],
    ) -> T:
        super().run("anyio", options, main, args)
        never = threading.Event()
        never.wait()
        raise AssertionError


@contextmanager
def installed(implementation: str) -> Iterator[str]:
    """The backend of that class, as a plugin of this program."""

    class Plugin:
        @hookimpl
        def halfclose_backends(self) -> list[BackendSpec]:
            return [BackendSpec(NAME, f"kit.defects:{implementation}", automatic=False)]

    plugin = Plugin()
    halfclose.register(plugin)
    try:
        yield NAME
    finally:
        halfclose.unregister(plugin)


kept: list[Any] = []
"""What the defects hold on to."""


def keep_a_descriptor(backend: Any) -> None:
    kept.append(os.open(os.devnull, os.O_RDONLY))


def keep_a_socket_for_the_collector(backend: Any) -> None:
    import socket

    cycle: list[Any] = [socket.socket()]
    cycle.append(cycle)


def keep_a_thread(backend: Any) -> None:
    threading.Thread(target=time.sleep, args=(30,), name="straggler").start()


def keep_a_daemon(backend: Any) -> None:
    threading.Thread(target=time.sleep, args=(30,), name="straggler", daemon=True).start()


_pool = SimpleNamespace(work=threading.Semaphore(0), worker=None)


def reuse_a_daemon(backend: Any) -> None:
    """No defect: what a framework does that keeps its workers for the next time."""

    def loop() -> None:
        while True:
            _pool.work.acquire()

    if _pool.worker is None:
        _pool.worker = threading.Thread(target=loop, name="worker", daemon=True)
        _pool.worker.start()
    _pool.work.release()


async def forgotten(backend: Any) -> None:
    await backend.create_event().wait()


def keep_a_process(backend: Any) -> None:
    # It holds every pipe that this one has.
    if os.fork() == 0:
        time.sleep(5)
        os._exit(0)


def print_without_end(backend: Any) -> None:
    while True:
        print("x" * 1_000_000)


def hide_from_its_group(backend: Any) -> None:
    os.setpgid(0, os.getpgid(os.getppid()))
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    while True:
        time.sleep(60)


def keep_a_task(backend: Any) -> None:
    coroutine = forgotten(backend)
    coroutine.send(None)
    kept.append(coroutine)


def never_await(backend: Any) -> None:
    _ = forgotten(backend)


def raise_in_a_finalizer(backend: Any) -> None:
    class Finalized:
        def __del__(self) -> None:
            raise ZeroDivisionError("in a finalizer")

    Finalized()


def raise_in_a_thread(backend: Any) -> None:
    def fail() -> None:
        raise ZeroDivisionError("in a thread")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()


def block(backend: Any) -> None:
    while True:
        time.sleep(60)


def swallow_everything(backend: Any) -> None:
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue


def crash(backend: Any) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(backend: Any) -> None:
    os._exit(7)


async def wait_for_ever(backend: Any) -> None:
    await backend.create_event().wait()
