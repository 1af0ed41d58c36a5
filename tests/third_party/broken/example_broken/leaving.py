"""Backends that leave something behind each time that they are left."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from example_loop.backend import ExampleBackend

__all__ = ["DaemonThread", "Descriptor", "SignalHandler", "Task", "Thread", "Timer"]

T = TypeVar("T")

_kept: list[Any] = []


class Descriptor(ExampleBackend):
    """A socket that nobody closes."""

    async def stop(self, error: BaseException | None) -> None:
        await super().stop(error)
        _kept.append(socket.socket())


class Thread(ExampleBackend):
    """A thread that waits for ever."""

    daemon = False

    async def stop(self, error: BaseException | None) -> None:
        await super().stop(error)
        for_ever = threading.Event()
        threading.Thread(target=for_ever.wait, name="the example's", daemon=self.daemon).start()


class DaemonThread(Thread):
    """Likewise, one more each time, which the interpreter would not wait for."""

    daemon = True


class Task(ExampleBackend):
    """A coroutine that was begun and is neither cancelled nor ended."""

    async def stop(self, error: BaseException | None) -> None:
        await super().stop(error)
        left: Coroutine[Any, Any, None] = self.create_event().wait()
        left.send(None)
        _kept.append(left)


class Timer(ExampleBackend):
    """Timers outlive the backend, and their functions are called after it was left."""

    def call_later(self, seconds: float, function: Callable[..., object], *args: object) -> Any:
        return self._loop.call_at(self.time() + seconds, self.guarded, function, *args)


class SignalHandler(ExampleBackend):
    """``run`` does not put the handler of SIGINT back."""

    @classmethod
    def run(
        cls,
        name: str,
        options: Mapping[str, Any] | None,
        main: Callable[..., Awaitable[T]],
        args: tuple[object, ...],
    ) -> T:
        try:
            return super().run(name, options, main, args)
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, signal.SIG_IGN)
