"""A host for the contract suite: a program that installs and runs its own Twisted reactor."""

from __future__ import annotations

import asyncio
import functools
import importlib
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import Any, TypeVar

import twisted.internet
from halfclose import Backend
from halfclose.testing import Host
from twisted.internet import asyncioreactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import globalLogBeginner
from twisted.python.failure import Failure

__all__ = ["HOSTS", "ReactorRun"]

T = TypeVar("T")

Main = Callable[[Backend], Awaitable[T]]


class ReactorRun(Host):
    """Runs programs by ``reactor.run()``, on the one reactor that the process has installed.

    ``callWhenRunning`` begins the program. A trigger before shutdown cancels it, so that it leaves
    the backend whoever stops the reactor. A reactor that was stopped cannot be run again, so each
    run installs a new one.
    """

    name = "reactor.run"
    brings_fatal = False

    def run(self, main: Main[T], backend: str, options: Mapping[str, Any] | None = None) -> T:
        _begin_logging()
        outcome: list[Any] = []
        stopping: list[bool] = []
        with _installed(backend.partition("+")[2] or None) as reactor:

            def begin() -> None:
                body = Deferred.fromCoroutine(self.open_and_run(main, backend, options))
                reactor.addSystemEventTrigger("before", "shutdown", leave, body)
                body.addBoth(end)

            def end(result: object) -> None:
                if not stopping:
                    stopping.append(True)
                    outcome.append(result)
                    reactor.stop()

            def leave(body: Deferred[None]) -> Deferred[None]:
                stopping.append(True)
                body.cancel()
                return body

            reactor.callWhenRunning(begin)
            reactor.run()
        if not outcome:
            raise RuntimeError("the reactor was stopped before main had ended")
        result = outcome[0]
        if isinstance(result, Failure):
            result.raiseException()
        return result  # type: ignore[no-any-return]

    async def run_program(
        self, main: Main[object], backend: Backend, options: Mapping[str, Any]
    ) -> BaseException | None:
        # A process has only one reactor, and that runs the test already.
        return await self.run_beside(main, backend, options)


@functools.cache
def _begin_logging() -> None:
    """Begin Twisted's logging, as a program does once.

    Until then Twisted keeps each event, and everything that the event refers to.
    """
    globalLogBeginner.beginLoggingTo((), redirectStandardIO=False, discardBuffer=True)


@contextmanager
def _installed(variant: str | None) -> Iterator[Any]:
    """Install a new reactor of *variant* as the process's own, and remove it at the end."""
    with ExitStack() as stack:
        stack.enter_context(_signal_handlers())
        if variant in ("asyncio", "uvloop"):
            new_loop = asyncio.SelectorEventLoop if variant == "asyncio" else _uvloop_loop
            asyncioreactor.install(stack.enter_context(closing(new_loop())))
        else:
            module = f"twisted.internet.{variant}reactor" if variant else "twisted.internet.default"
            importlib.import_module(module).install()
        reactor: Any = sys.modules["twisted.internet.reactor"]
        try:
            yield reactor
        finally:
            # Twisted has no way to uninstall a reactor, since a process keeps one while it lives.
            del sys.modules["twisted.internet.reactor"]
            del twisted.internet.reactor
            # Only the wakers are left: everything else was removed when the reactor stopped.
            for reader in reactor.getReaders():
                reactor.removeReader(reader)
                reader.connectionLost(Failure(ConnectionDone()))


@contextmanager
def _signal_handlers() -> Iterator[None]:
    """Put back the signal handlers, since those of a reactor stay installed and keep it alive."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)


def _uvloop_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


HOSTS: tuple[Host, ...] = (ReactorRun(),)
"""Hosts that the contract suite runs programs by: see `halfclose.BackendSpec`."""
