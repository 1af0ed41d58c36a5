"""Which backend is meant: argument, running framework, environment, the only one, priority."""

from __future__ import annotations

import asyncio
from pathlib import Path

import halfclose
import pytest
import trio
import uvloop
from core.support import TWISTED, VARIANTS, Site, plugin, python, run
from halfclose import Backend
from halfclose.discovery import ENVIRONMENT, select_backend


async def name_of(backend: Backend) -> str:
    return backend.name


async def chosen_inside(backend: Backend) -> str:
    """What `open_backend` chooses in the framework of *backend*; and that it works."""
    async with halfclose.open_backend() as inner:
        await inner.sleep(0)
        return inner.name


RUNNING = {
    "anyio+asyncio": "anyio+asyncio",
    "anyio+uvloop": "anyio+uvloop",
    "anyio+trio": "anyio+trio",
    **dict.fromkeys(TWISTED, "twisted"),
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)


# -- the running framework ---------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_inside_our_own_run(variant: str) -> None:
    assert run(chosen_inside, variant=variant) == RUNNING[variant]


@pytest.mark.parametrize("variant", VARIANTS)
def test_inside_a_task_of_ours(variant: str) -> None:
    async def main(backend: Backend) -> str:
        found: list[str] = []
        done = backend.create_event()

        async def task() -> None:
            found.append(await chosen_inside(backend))
            done.set()

        backend.start_soon(task)
        await done.wait()
        return found[0]

    assert run(main, variant=variant) == RUNNING[variant]


async def program() -> str:
    async with halfclose.open_backend() as backend:
        await backend.sleep(0)
        return backend.name


def test_inside_trio() -> None:
    assert trio.run(program) == "anyio+trio"


def test_inside_asyncio() -> None:
    assert asyncio.run(program()) == "anyio+asyncio"


def test_inside_uvloop() -> None:
    loop = uvloop.new_event_loop()
    try:
        assert loop.run_until_complete(program()) == "anyio+uvloop"
    finally:
        loop.close()


def test_trio_in_a_thread_of_an_asyncio_program() -> None:
    async def main() -> tuple[str, str]:
        return await asyncio.to_thread(trio.run, program), await program()

    assert asyncio.run(main()) == ("anyio+trio", "anyio+asyncio")


def test_twisted_in_a_thread_of_an_asyncio_program() -> None:
    def thread() -> str:
        return run(chosen_inside, variant="twisted+select")

    async def main() -> tuple[str, str]:
        return await asyncio.to_thread(thread), await program()

    assert asyncio.run(main()) == ("twisted", "anyio+asyncio")


PROGRAM = """
    import halfclose
    {install}
    from twisted.internet import defer, task

    async def main(reactor):
        {wait}
        async with halfclose.open_backend({name}) as backend:
            await backend.sleep(0)
            print(backend.name, backend.reactor is reactor)

    task.react(lambda reactor: defer.ensureDeferred(main(reactor)))
"""


INSTALL = {
    "twisted+select": "from twisted.internet import selectreactor; selectreactor.install()",
    "twisted+poll": "from twisted.internet import pollreactor; pollreactor.install()",
    "twisted+epoll": "from twisted.internet import epollreactor; epollreactor.install()",
    "twisted+asyncio": "from twisted.internet import asyncioreactor; asyncioreactor.install()",
    "twisted+uvloop": "import uvloop; from twisted.internet import asyncioreactor; "
    "asyncioreactor.install(uvloop.new_event_loop())",
}


def twisted_program(variant: str, name: str, wait: str) -> str:
    return python(PROGRAM.format(install=INSTALL[variant], name=name, wait=wait), warm=True)


@pytest.mark.parametrize("variant", TWISTED)
def test_inside_a_twisted_program(variant: str) -> None:
    wait = "await task.deferLater(reactor, 0)"
    assert twisted_program(variant, "", wait) == "twisted True\n"
    assert twisted_program(variant, repr(variant), wait) == f"{variant} True\n"


@pytest.mark.parametrize("variant", TWISTED)
@pytest.mark.parametrize("name", ["", "'twisted'"])
def test_at_the_very_beginning_of_a_twisted_program(variant: str, name: str) -> None:
    """`task.react` calls its function before it runs the reactor; that is no mistake of it."""
    assert twisted_program(variant, name, "pass") == "twisted True\n"


def test_an_asyncio_task_on_a_twisted_asyncio_reactor() -> None:
    """There a task of asyncio is running, so asyncio it is."""

    async def main(backend: Backend) -> str:
        from twisted.internet.defer import Deferred

        loop = asyncio.get_running_loop()
        return await Deferred.fromFuture(asyncio.ensure_future(program(), loop=loop))

    assert run(main, variant="twisted+asyncio") == "anyio+asyncio"


# -- order -------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_argument_comes_first(monkeypatch: pytest.MonkeyPatch, variant: str) -> None:
    monkeypatch.setenv(ENVIRONMENT, "nonsense")
    assert halfclose.run(name_of, backend=variant) == variant
    assert halfclose.open_backend(variant).name == variant

    async def inside() -> str:
        return halfclose.open_backend(variant).name

    assert asyncio.run(inside()) == variant


def test_the_running_framework_comes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ENVIRONMENT, "twisted")
    assert trio.run(program) == "anyio+trio"
    assert asyncio.run(program()) == "anyio+asyncio"
    monkeypatch.setenv(ENVIRONMENT, "anyio+trio")
    assert run(chosen_inside, variant="twisted+select") == "twisted"


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_environment(monkeypatch: pytest.MonkeyPatch, variant: str) -> None:
    monkeypatch.setenv(ENVIRONMENT, variant)
    assert halfclose.run(name_of) == variant
    assert halfclose.open_backend().name == variant


def test_an_empty_environment_variable_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "")
    assert halfclose.run(name_of) == "anyio"


def test_a_wrong_name_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "nonsense")
    said = "'nonsense', which HALFCLOSE_BACKEND names,"
    with pytest.raises(halfclose.BackendNotFound, match=said):
        halfclose.run(name_of)
    with pytest.raises(halfclose.BackendNotFound, match=said):
        halfclose.open_backend()


def test_run_does_not_look_at_what_runs_elsewhere() -> None:
    async def main() -> str:
        return await asyncio.to_thread(halfclose.run, name_of)

    assert asyncio.run(main()) == "anyio"
    assert ENVIRONMENT == "HALFCLOSE_BACKEND"


def test_by_priority() -> None:
    assert halfclose.run(name_of) == "anyio"
    assert select_backend(running=False) == "anyio"
    assert select_backend(running=True) == "anyio"


# -- with other plugins ------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


RUN = "import halfclose; print(halfclose.run(None))"
OPEN = "import halfclose; print(halfclose.open_backend().name)"


def test_the_only_one_installed(site: Site) -> None:
    site.module("solo", plugin("solo", priority=-5, module="solo"))
    site.distribution("solo-dist", {"solo": "solo"})
    assert site.python(RUN) == "solo ran solo\n"
    assert site.python(OPEN) == "solo\n"


def test_the_highest_priority(site: Site) -> None:
    for number, name in enumerate(["low", "middle", "high", "most"]):
        site.module(name, plugin(name, priority=number * 10, module=name))
    for name in ["high", "low", "middle"]:
        site.distribution(f"{name}-dist", {name: name})
    assert site.python(RUN) == "high ran high\n"
    site.distribution("most-dist", {"most": "most"})
    assert site.python(RUN) == "most ran most\n"
    assert site.python(RUN, HALFCLOSE_BACKEND="low") == "low ran low\n"


def test_a_third_partys_default_priority_is_below_ours(site: Site) -> None:
    assert halfclose.BackendSpec("x", "y:z").priority == 0
    out = python(
        """
        from halfclose.plugins import registry
        registry.load_all()
        print(min(spec.priority for spec in registry.specs().values()) > 0)
        """
    )
    assert out == "True\n"


def test_equal_priorities_are_decided_by_name_and_not_by_order(site: Site) -> None:
    for name in ["b", "c", "a"]:
        site.module(f"plugin_{name}", plugin(name, module=f"plugin_{name}"))
        site.distribution(f"dist-{name}", {name: f"plugin_{name}"})
    assert site.python(RUN) == "plugin_a ran a\n"


def test_of_several_running_the_highest_priority(site: Site) -> None:
    site.module("idle", plugin("idle", priority=100, module="idle"))
    site.module("weak", plugin("weak", priority=1, running=True, module="weak"))
    site.module("strong", plugin("strong", priority=2, running=True, module="strong"))
    for name in ["idle", "weak", "strong"]:
        site.distribution(f"{name}-dist", {name: name})
    assert site.python(OPEN) == "strong\n"
    assert site.python(OPEN, HALFCLOSE_BACKEND="idle") == "strong\n"
    # What runs plays no part in what `run` would begin, and keeps it from beginning.
    refused = """
        import halfclose
        try:
            halfclose.run(None)
        except RuntimeError as error:
            print(str(error).partition(";")[0])
    """
    runs = "here: the backend 'strong' runs in this thread already\n"
    assert site.python(refused) == f"halfclose.run cannot run the backend 'idle' {runs}"
    assert (
        site.python(refused, HALFCLOSE_BACKEND="weak")
        == f"halfclose.run cannot run the backend 'weak' {runs}"
    )


def test_a_plugin_whose_running_raises_harms_no_other(site: Site) -> None:
    source = plugin("bad", priority=100, module="bad").replace("lambda: False", "lambda: 1 / 0")
    site.module("bad", source)
    site.module("good", plugin("good", running=True, module="good"))
    site.distribution("bad-dist", {"bad": "bad"})
    site.distribution("good-dist", {"good": "good"})
    assert site.python(OPEN) == "good\n"


def test_a_name_offered_twice_is_no_silent_choice(site: Site) -> None:
    for letter in "ab":
        site.module(f"twin_{letter}", plugin("twin", module=f"twin_{letter}"))
        site.distribution(f"dist-{letter}", {"twin": f"twin_{letter}"})
    out = site.python(
        """
        import halfclose
        try:
            halfclose.run(None)
        except halfclose.BackendLoadError as error:
            print("dist-a" in str(error) and "dist-b" in str(error))
        """
    )
    assert out == "True\n"


def test_where_all_are_broken_the_reason_is_told(site: Site) -> None:
    site.module("broken", "raise ZeroDivisionError('why')")
    site.distribution("broken-dist", {"broken": "broken"})
    out = site.python(
        """
        import halfclose
        for call in (lambda: halfclose.run(None), halfclose.open_backend):
            try:
                call()
            except halfclose.BackendLoadError as error:
                print(repr(error.__cause__), "broken-dist" in str(error))
        """
    )
    assert out == "ZeroDivisionError('why') True\n" * 2


# -- entering where it does not run ------------------------------------------------------------


@pytest.mark.parametrize("name", ["twisted", *TWISTED, "anyio+uvloop", "anyio+trio"])
def test_the_wrong_framework_runs(name: str) -> None:
    async def main() -> None:
        backend = halfclose.open_backend(name)
        with pytest.raises(RuntimeError, match=r"runn|runs") as caught:
            await backend.__aenter__()
        assert name in str(caught.value)

    asyncio.run(main())


@pytest.mark.parametrize("name", ["anyio+asyncio", "anyio+uvloop", *TWISTED])
def test_the_wrong_framework_runs_trio(name: str) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=name.replace("+", r"\+")):
            await halfclose.open_backend(name).__aenter__()

    trio.run(main)


@pytest.mark.parametrize("name", VARIANTS)
def test_nothing_runs(name: str) -> None:
    coroutine = halfclose.open_backend(name).__aenter__()
    with pytest.raises(RuntimeError, match=name.replace("+", r"\+")):
        coroutine.send(None)


@pytest.mark.parametrize("outer", VARIANTS)
@pytest.mark.parametrize("inner", TWISTED)
def test_another_reactor_runs(outer: str, inner: str) -> None:
    async def main(backend: Backend) -> str:
        async with halfclose.open_backend(inner) as opened:
            return opened.name

    if outer == inner:
        assert run(main, variant=outer) == inner
    else:
        with pytest.raises(RuntimeError, match=inner.replace("+", r"\+")):
            run(main, variant=outer)


@pytest.mark.parametrize("variant", VARIANTS)
def test_run_inside_run(variant: str) -> None:
    async def main(backend: Backend) -> None:
        with pytest.raises(RuntimeError):
            halfclose.run(name_of, backend=variant)

    run(main, variant=variant)
    assert halfclose.run(name_of, backend=variant) == variant
