"""The backend ``memory`` under `halfclose.run`: results, failures, tasks, what it has not."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

import halfclose
import pytest
from core.support import Site
from halfclose import Backend, ConnectError, ConnectionAborted, ListenError, Memory, Unsupported
from halfclose.memory import Cancelled, Deadlock, Network
from halfclose.memory.backend import MemoryBackend
from memory.support import EchoBack, Noted


def run(main: Any, *args: object, **options: object) -> Any:
    """`halfclose.run` on ``memory``."""
    return halfclose.run(main, *args, backend="memory", options=options)


def network_of(backend: Backend) -> Network:
    assert isinstance(backend, MemoryBackend)
    return backend.network


# -- running ---------------------------------------------------------------------------------------


def test_run_gives_the_result_and_may_be_called_again() -> None:
    async def main(backend: Backend, one: int, other: int) -> int:
        await backend.sleep(1)
        assert backend.time() == 1
        return one + other

    assert [run(main, 1, number) for number in range(3)] == [1, 2, 3]


def test_an_exception_of_main_comes_out_bare() -> None:
    boom = ValueError("boom")

    async def main(backend: Backend) -> None:
        await backend.sleep(1)
        raise boom

    with pytest.raises(ValueError, match="boom") as caught:
        run(main)
    assert caught.value is boom
    assert caught.value.__cause__ is None


def test_a_program_is_not_run_inside_another_unless_on_a_network_that_is_named() -> None:
    async def inner(backend: Backend) -> float:
        await backend.sleep(5)
        return backend.time()

    async def beside(backend: Backend, ticks: list[float]) -> None:
        while True:
            await backend.sleep(1)
            ticks.append(backend.time())

    async def main(backend: Backend) -> None:
        with pytest.raises(RuntimeError, match="open_backend"):
            run(inner)
        ticks: list[float] = []
        backend.start_soon(beside, backend, ticks)
        await backend.sleep(0.5)
        assert run(inner, network=network_of(backend)) == 5.5
        assert ticks == [1, 2, 3, 4, 5]
        await backend.sleep(1)
        assert run(inner, network=Network()) == 5

    run(main)


def test_a_backend_opened_inside_joins_the_network_and_is_found_unnamed() -> None:
    async def main(backend: Backend) -> None:
        async with halfclose.open_backend() as inner:
            assert inner.name == "memory"
            assert network_of(inner) is network_of(backend)
            await backend.listen("memory:echo", EchoBack)
            client = await inner.connect("memory:echo", Noted)
            client.transport.write(b"hello")
            client.transport.loseWriteConnection()
            await client.transport.whenClosed()
            assert client.received == b"hello"
        assert inner.left
        assert not backend.left
        async with halfclose.open_backend("memory", {"network": Network()}) as other:
            assert network_of(other) is not network_of(backend)
            await other.sleep(100)
        assert backend.time() == 0

    run(main)


def test_it_is_found_only_while_it_runs() -> None:
    plugin = halfclose.find_backend("memory")
    assert not plugin.running()
    seen: list[bool] = []

    async def main(backend: Backend) -> None:
        seen.append(plugin.running())
        backend.call_soon(lambda: seen.append(plugin.running()))
        await backend.sleep(0)

    run(main)
    assert seen == [True, True]
    assert not plugin.running()


def test_it_is_never_chosen_unless_it_is_named(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.distribution("halfclose", {"memory": "halfclose.memory.plugin"})
    told = site.python(
        """
        import halfclose

        async def main(backend):
            return backend.name

        print(list(halfclose.available_backends()))
        try:
            halfclose.run(main)
        except halfclose.BackendNotFound as error:
            print(error)
        try:
            halfclose.open_backend()
        except halfclose.BackendNotFound as error:
            print(error)
        print(halfclose.run(main, backend="memory"))
        """
    ).splitlines()
    assert told[0] == "['memory']"
    assert told[1].startswith("no backend is installed")
    assert told[2].startswith("no backend is installed")
    assert told[3] == "memory"


def test_discovery_imports_the_plugin_and_nothing_of_the_backend(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.distribution("halfclose", {"memory": "halfclose.memory.plugin"})
    told = site.python(
        """
        import sys
        import halfclose
        print(halfclose.find_backend("memory").running())
        print(sorted(name for name in sys.modules if name.startswith("halfclose.memory")))
        """
    ).splitlines()
    light = [
        "halfclose.memory",
        *(f"halfclose.memory.{n}" for n in ("occupant", "plugin", "scheme")),
    ]
    assert told == ["False", str(light)]


def test_it_is_tested_with_by_whatever_framework_there_is(tmp_path: Path) -> None:
    told = (
        Site(tmp_path / "site")
        .python(
            """
        import sys
        from halfclose.testing.networks import network

        async def main():
            async with network() as net:
                await net.advance(600)
                print(net.clock)

        try:
            main().send(None)
        except StopIteration:
            print("pytest" in sys.modules)
        """
        )
        .splitlines()
    )
    assert told == ["600.0", "False"]


# -- what it has not -------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["tcp:127.0.0.1:9", "unix:/tmp/x", "stdio:"])
def test_the_endpoints_of_the_system_are_refused_by_name(endpoint: str) -> None:
    async def main(backend: Backend) -> None:
        with pytest.raises(ConnectError, match=r"'memory' serves memory:NAME only") as refused:
            await backend.connect(endpoint, Noted)
        assert endpoint in str(refused.value)
        with pytest.raises(ListenError, match=r"'memory' serves memory:NAME only") as unheard:
            await backend.listen(endpoint, Noted)
        assert endpoint in str(unheard.value)

    run(main)


@pytest.mark.parametrize("variant", ["anyio+asyncio", "anyio+trio", "twisted+select"])
def test_other_backends_refuse_names_of_the_network(variant: str) -> None:
    async def main(backend: Backend) -> None:
        for endpoint in ("memory:name", Memory("name")):
            with pytest.raises(ConnectError, match=r"memory:name: only the backend 'memory'"):
                await backend.connect(endpoint, Noted)
            with pytest.raises(ListenError, match=r"memory:name: only the backend 'memory'"):
                await backend.listen(endpoint, Noted)

    halfclose.run(main, backend=variant)


def test_descriptors_and_hosts_are_unsupported() -> None:
    async def main(backend: Backend) -> None:
        assert not backend.capabilities.descriptors
        with pytest.raises(Unsupported, match="descriptor"):
            backend.watch(0, print)
        with pytest.raises(Unsupported, match="host"):
            await backend.resolve("localhost", 80)
        with pytest.raises(Unsupported, match="socket"):
            backend.adopt(None)

    run(main)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sockets": "poller"}, "sockets"),
        ({"busy_poll": 0}, "busy_poll"),
        ({"colour": 1}, "colour"),
        ({"network": "name"}, "Network"),
        ({"network": Network(), "seed": 1}, "'seed'"),
        ({"chunks": "12"}, "whole number"),
    ],
)
def test_wrong_options(options: dict[str, object], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        halfclose.open_backend("memory", options)


def test_options_of_a_network_of_its_own_are_refused_where_it_joins_another() -> None:
    async def main(backend: Backend) -> None:
        with pytest.raises(TypeError, match="'latency'"):
            halfclose.open_backend("memory", {"latency": 1})

    run(main)


def test_options_make_the_network() -> None:
    async def main(backend: Backend) -> None:
        listening = network_of(backend).listen("name")
        client = network_of(backend).connect("name")
        assert client.send(b"12345") == 4
        await backend.sleep(2)
        end = listening.accept()
        assert end is not None
        assert end.recv() == b"123"

    run(main, buffer=4, latency=2, chunks=3, seed=1)


# -- tasks -----------------------------------------------------------------------------------------


def test_a_task_that_fails_is_logged_and_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("boom")

    async def main(backend: Backend) -> str:
        backend.start_soon(fail)
        await backend.sleep(1)
        return "done"

    with caplog.at_level(logging.ERROR, "halfclose"):
        assert run(main) == "done"
    assert "fail" in caplog.text
    assert "boom" in caplog.text
    assert len(caplog.records) == 1


def test_leaving_cancels_tasks_and_runs_what_they_do_at_the_end() -> None:
    ended: list[str] = []

    async def task(backend: Backend) -> None:
        try:
            await backend.create_event().wait()
        except BaseException as error:
            ended.append(type(error).__name__)
            # It is cancelled for good.
            with pytest.raises(Cancelled):
                await backend.sleep(1)
            raise
        finally:
            ended.append("finally")

    async def main(backend: Backend) -> float:
        backend.start_soon(task, backend)
        await backend.sleep(1)
        return backend.time()

    assert run(main) == 1
    assert ended == ["Cancelled", "finally"]


def test_a_task_that_has_not_begun_is_dropped_without_a_word() -> None:
    begun: list[str] = []

    async def task() -> None:
        begun.append("begun")

    async def main(backend: Backend) -> None:
        backend.start_soon(task)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(main)
        gc.collect()
    assert begun == []
    assert caught == []


def test_a_task_may_leave_a_backend_of_its_own() -> None:
    left: list[bool] = []

    async def task() -> None:
        async with halfclose.open_backend() as inner:
            await inner.listen("memory:name", EchoBack)
            inner.start_soon(inner.sleep, 1000)
            await inner.sleep(1)
        left.append(inner.left)

    async def main(backend: Backend) -> float:
        backend.start_soon(task)
        await backend.sleep(2)
        return backend.time()

    assert run(main) == 2
    assert left == [True]


def test_any_number_wait_for_one_event_and_each_for_itself() -> None:
    async def main(backend: Backend) -> None:
        event = backend.create_event()
        woken: list[int] = []

        async def wait(number: int) -> None:
            await event.wait()
            woken.append(number)

        async with halfclose.open_backend() as inner:
            inner.start_soon(wait, 0)
            backend.start_soon(wait, 1)
            backend.start_soon(wait, 2)
            await backend.sleep(1)
        # Leaving has cancelled the first.
        event.set()
        event.set()
        assert woken == []
        await backend.sleep(1)
        assert woken == [1, 2]
        await event.wait()

    run(main)


def test_what_is_of_another_event_loop_cannot_be_awaited() -> None:
    class Foreign:
        def __await__(self) -> Generator[str, None, None]:
            yield "a future"

    async def main(backend: Backend) -> str:
        with pytest.raises(RuntimeError, match=r"'a future'.*another event loop"):
            await Foreign()
        await backend.sleep(1)
        return "went on"

    assert run(main) == "went on"


# -- the end of the program ------------------------------------------------------------------------


class Raises(Noted):
    """Raises *error* at the first data."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        raise self.error


async def provoke(backend: Backend, protocol: Noted) -> None:
    await backend.listen("memory:name", lambda: protocol)
    peer = await network_of(backend).raw("name")
    peer.send(b"x")


FATAL = [KeyboardInterrupt("now"), SystemExit(3)]


@pytest.mark.parametrize("error", FATAL, ids=repr)
def test_a_fatal_event_ends_main_and_comes_out_bare(error: BaseException) -> None:
    protocol = Raises(error)
    ended: list[str] = []

    async def main(backend: Backend) -> None:
        await provoke(backend, protocol)
        try:
            await backend.sleep(1000)
        except Cancelled:
            ended.append("cancelled")
            raise
        finally:
            ended.append(f"at {backend.time()}")

    with pytest.raises(type(error)) as caught:
        run(main)
    assert caught.value is error
    assert protocol.reason is error
    assert ended == ["cancelled", "at 0.0"]


@pytest.mark.parametrize("error", FATAL, ids=repr)
def test_a_fatal_event_ends_the_backend_that_was_opened_and_no_more(error: BaseException) -> None:
    async def main(backend: Backend) -> str:
        caught: list[BaseException] = []
        try:
            async with halfclose.open_backend() as inner:
                await provoke(inner, Raises(error))
                await backend.sleep(1000)
        except type(error) as failure:
            caught.append(failure)
        assert caught == [error]
        await backend.sleep(1)
        assert backend.time() == 1
        return "went on"

    assert run(main) == "went on"


@pytest.mark.parametrize("error", FATAL, ids=repr)
def test_a_fatal_event_of_the_outer_backend_ends_the_inner_one_too(error: BaseException) -> None:
    left: list[Backend] = []

    async def main(backend: Backend) -> None:
        await provoke(backend, Raises(error))
        async with halfclose.open_backend() as inner:
            left.append(inner)
            await inner.sleep(1000)

    with pytest.raises(type(error)) as caught:
        run(main)
    assert caught.value is error
    assert left[0].left


@pytest.mark.parametrize("error", FATAL, ids=repr)
@pytest.mark.parametrize("how", ["task", "call_soon", "call_later", "factory", "while leaving"])
def test_whatever_is_fatal(how: str, error: BaseException) -> None:
    def fail(*_: object) -> Any:
        raise error

    async def failing() -> None:
        raise error

    class Lost(Noted):
        def connectionLost(self, reason: BaseException) -> None:
            raise error

    async def main(backend: Backend) -> None:
        if how == "task":
            backend.start_soon(failing)
        elif how == "call_soon":
            backend.call_soon(fail)
        elif how == "call_later":
            backend.call_later(1, fail)
        else:
            await backend.listen("memory:name", fail if how == "factory" else Lost)
            await network_of(backend).raw("name")
            await backend.sleep(1)
            if how == "while leaving":
                return
        await backend.sleep(1000)

    with pytest.raises(type(error)) as caught:
        run(main)
    assert caught.value is error


def test_a_stray_exception_of_an_event_is_that_connections_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Stray(BaseException):
        pass

    stray = Stray()
    protocol = Raises(stray)

    async def main(backend: Backend) -> str:
        await provoke(backend, protocol)
        await backend.sleep(1)
        return "went on"

    with caplog.at_level(logging.ERROR, "halfclose"):
        assert run(main) == "went on"
    assert protocol.reason is stray
    assert len(caplog.records) == 1


def test_an_interruption_from_without_cancels_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """As SIGINT, which can come anywhere."""
    ended: list[str] = []
    protocol = EchoBack()

    async def main(backend: Backend) -> None:
        scheduler = network_of(backend).scheduler
        await backend.listen("memory:name", lambda: protocol)
        await network_of(backend).raw("name")
        await backend.sleep(1)

        def interrupt() -> None:
            raise KeyboardInterrupt

        # Past every guard.
        scheduler.call_soon(interrupt)
        try:
            await backend.sleep(1000)
        finally:
            ended.append("finally")

    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert ended == ["finally"]
    assert isinstance(protocol.reason, ConnectionAborted)


def test_a_deadlock_in_main_aborts_its_connections() -> None:
    protocol = EchoBack()

    async def main(backend: Backend) -> None:
        await backend.listen("memory:name", lambda: protocol)
        await network_of(backend).raw("name")
        await backend.create_event().wait()

    with pytest.raises(Deadlock):
        run(main)
    assert isinstance(protocol.reason, ConnectionAborted)
