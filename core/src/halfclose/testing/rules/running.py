"""LOOP: how a program is run, ended and left."""

from __future__ import annotations

import os
import signal
from typing import Any

from ...backend import Backend
from ...running import open_backend, run
from ..channels.channel_types import ChannelType
from ..channels.peers import LIMIT
from ..hosts import Host
from ..tools.fatal import check_fatal_told, raised_by
from ..tools.harness import Net, rule
from ..tools.logs import logged
from ..tools.reactions import as_task, raises, raising
from ..tools.waiting import SHORT, elapse

__all__ = ["RunningRules"]


class RunningRules:
    """The rules LOOP-09 to LOOP-12."""

    @rule("LOOP-09", once=True)
    async def test_loop_09_leaving(self, net: Net) -> None:
        """Leaving a backend cancels the tasks that it began and waits for their end, and calls none
        of its timers. The tasks and timers of another backend in the same loop go on.

        Where to look: each backend keeps its own list of tasks and timers, and ``stop`` cancels
        these. It must also wait until the cancelled tasks have ended.
        """
        ended: list[str] = []
        go_on = net.backend.create_event()

        async def task(name: str, event: Any) -> None:
            try:
                await event.wait()
            finally:
                ended.append(name)

        net.backend.start_soon(task, "outer", go_on)
        # On a busy machine the timer may come before the backend is left; then try a longer one.
        for seconds in (SHORT, 10 * SHORT, 100 * SHORT):
            ended.clear()
            begun = net.backend.time()
            async with open_backend(net.backend.name) as inner:
                inner.start_soon(task, "inner", inner.create_event())
                inner.call_later(seconds, ended.append, "a timer of the inner one")
                await net.turns()
            if net.backend.time() - begun < seconds:
                break
        assert ended == ["inner"], f"having left a backend with one task, {ended} had ended"
        await elapse(net, 2 * seconds)
        assert ended == ["inner"], f"of a backend that was left, {ended[1:]} came later"
        go_on.set()
        await net.turns()
        assert ended == ["inner", "outer"], f"the other backend's task: {ended}"

    @rule("LOOP-10", once=True)
    def test_loop_10_run(self: Any, channel_type: ChannelType, host: Host) -> None:
        """`run` returns what main returns. Where its loop runs already it raises RuntimeError, and
        so does `open_backend` where no loop runs.

        Where to look: ``Backend.run`` must look for a running loop of its framework before it
        makes one. ``start`` must fail if there is no running loop that it could use.
        """

        async def nothing(inner: Backend) -> None:
            raise AssertionError("run ran inside of a loop that runs")

        async def main(opened: Backend) -> int:
            with raises(RuntimeError):
                run(nothing, backend=opened.name)
            return 17

        backend = self.backend
        assert host.run(main, backend) == 17, f"{host.name} does not give what its main gives"
        outside = open_backend(backend)
        if outside.capabilities.descriptors:
            entering: Any = outside.__aenter__()
            with raises(RuntimeError):
                entering.send(None)

    @rule("LOOP-11", once=True)
    def test_loop_11_exceptions_that_end_the_program(
        self: Any, channel_type: ChannelType, host: Host
    ) -> None:
        """KeyboardInterrupt or SystemExit in a task, or in what `call_soon` or `call_later` calls,
        ends the program as one in an event does (ERR-05). If there are two, the first counts.

        Where to look: ``Backend.guarded`` passes these two exceptions to ``Backend.fatal``. The
        code that runs the tasks of ``start_soon`` must do so, too.
        """

        def by_task(opened: Backend, error: BaseException) -> None:
            opened.start_soon(as_task(raising(error)))

        def by_call(opened: Backend, error: BaseException) -> None:
            opened.call_soon(raising(error))

        def by_timer(opened: Backend, error: BaseException) -> None:
            opened.call_later(0, raising(error))

        def twice(opened: Backend, error: BaseException) -> None:
            opened.call_soon(opened.fatal, error)
            opened.call_soon(opened.fatal, SystemExit("the second"))

        went_on: list[object] = []
        for way in (by_task, by_call, by_timer, twice):
            for error in (KeyboardInterrupt(), SystemExit(3)):

                async def main(
                    opened: Backend, way: Any = way, error: BaseException = error
                ) -> None:
                    way(opened, error)
                    await opened.sleep(LIMIT)
                    went_on.append(way)

                with logged() as records:
                    raised = raised_by(host, main, self.backend)
                assert not went_on, f"{way.__name__} raised {error!r}, and the program went on"
                check_fatal_told(host, error, raised, records)

    @rule("LOOP-12", once=True)
    def test_loop_12_interruption(self: Any, channel_type: ChannelType, host: Host) -> None:
        """SIGINT cancels main, and KeyboardInterrupt is raised once main has ended. Under a
        caller's own reactor, the reactor is stopped. The handler of SIGINT is afterwards as it was.

        Where to look: ``Backend.run`` installs a handler of SIGINT, in the main thread only, which
        cancels main by ``call_soon_threadsafe``. At the end it puts the old handler back.
        """
        before = signal.getsignal(signal.SIGINT)
        cancelled: list[bool] = []

        async def main(opened: Backend) -> None:
            opened.call_soon(os.kill, os.getpid(), signal.SIGINT)
            try:
                await opened.sleep(LIMIT)
                cancelled.append(False)
            finally:
                cancelled.append(True)

        with raises(KeyboardInterrupt if host.brings_fatal else RuntimeError):
            host.run(main, self.backend)
        assert cancelled == [True], "main was not cancelled"
        assert signal.getsignal(signal.SIGINT) is before, "the handler of SIGINT was not put back"
