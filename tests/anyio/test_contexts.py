"""What the backend is told to call later runs in the context in which it was told."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable

import pytest
from core.own_loops import HOSTS, Host
from halfclose import Backend, open_backend

each_host = pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)

tenant = contextvars.ContextVar("tenant", default="nobody")

Later = Callable[[Backend, Callable[[], None]], object]


def by_a_task(backend: Backend, function: Callable[[], None]) -> None:
    async def task() -> None:
        function()

    backend.start_soon(task)


def by_a_task_that_waits(backend: Backend, function: Callable[[], None]) -> None:
    async def task() -> None:
        await backend.sleep(0.001)
        function()

    backend.start_soon(task)


def by_a_thread(backend: Backend, function: Callable[[], None]) -> None:
    """A thread begins with an empty context; what it sets there goes along."""

    def work() -> None:
        tenant.set(value)
        backend.call_soon_threadsafe(function)

    value = tenant.get()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


WAYS: dict[str, Later] = {
    "call_soon": lambda backend, function: backend.call_soon(function),
    "call_later": lambda backend, function: backend.call_later(0.001, function),
    "call_soon_threadsafe": lambda backend, function: backend.call_soon_threadsafe(function),
    "from a thread": by_a_thread,
    "start_soon": by_a_task,
    "start_soon, waiting": by_a_task_that_waits,
}


@each_host
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_context_of_the_call(host: Host, way: Later) -> None:
    """Through any number of further calls; and what is set there stays there."""

    async def main() -> None:
        async with open_backend() as backend:
            done = backend.create_event()
            seen: list[tuple[str, str]] = []

            def first(name: str) -> None:
                seen.append((name, tenant.get()))
                tenant.set(f"{name} again")
                way(backend, lambda: second(name))

            def second(name: str) -> None:
                seen.append((name, tenant.get()))
                if len(seen) == 6:
                    done.set()

            for name in ("a", "b"):
                context = contextvars.copy_context()
                context.run(tenant.set, name)
                context.run(way, backend, lambda name=name: first(name))  # type: ignore[misc]
            way(backend, lambda: first("nobody"))
            await done.wait()
            expected = {(name, name) for name in ("a", "b", "nobody")}
            assert set(seen) == expected | {(name, f"{name} again") for name, _ in expected}
            assert tenant.get() == "nobody"

    host(main)


@each_host
def test_the_context_before_the_loops_next_turn(host: Host) -> None:
    """A task that is begun at once after entering has its own context too."""

    async def main() -> None:
        async with open_backend() as backend:
            done = backend.create_event()

            async def task() -> None:
                assert tenant.get() == "early"
                done.set()

            context = contextvars.copy_context()
            context.run(tenant.set, "early")
            context.run(backend.start_soon, task)
            await done.wait()

    host(main)
