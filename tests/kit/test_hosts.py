"""A host starts the loop, whole and alone; what it does wrong is seen, and it leaves nothing."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import halfclose
import halfclose.examples
import pytest
from halfclose import Backend, BackendLoadError, BackendSpec
from halfclose.testing import ContractSuite, Host, PollerTCP
from halfclose.testing import hosts as kit_hosts
from halfclose.testing.hosts import HALFCLOSE_RUN, check_hosts, find_host, load_hosts
from halfclose.testing.judging import case as cases
from halfclose.testing.judging.case import Case
from halfclose.testing.judging.leaks import Footprint, unheard
from halfclose.testing.judging.trial import Trial
from kit import defects

T = TypeVar("T")

VARIANTS = [name for name in halfclose.available_backends() if "+" in name]

HOSTED = [(name, host) for name in VARIANTS for host in load_hosts(name)]


def suite_of(backend: str, **members: str) -> type[ContractSuite]:
    return type("TestMine", (ContractSuite,), {"backend": backend, **members})


def by_both(given: Any) -> str:
    return given if isinstance(given, str) else str(given.name)


def test_every_variant_has_one() -> None:
    assert [name for name, _ in HOSTED] == VARIANTS
    assert {host.name for _, host in HOSTED} == {
        *("asyncio.run", "uvloop.run", "trio.run", "reactor.run")
    }
    assert load_hosts("memory") == ()


def in_child(function: Callable[[], object]) -> None:
    """Call it in a fork, where a reactor may be installed."""
    from halfclose.testing.judging.isolation import Died, Work, each

    def work() -> str:
        function()
        return "done"

    ((_, result),) = each([Work("", work)], 1, 60.0)
    assert not isinstance(result, Died), f"{result.what}\n{result.output}"
    assert result == "done"


@pytest.mark.parametrize(("backend", "host"), HOSTED, ids=by_both)
def test_it_runs_main_in_a_loop_of_the_framework_alone(backend: str, host: Host) -> None:
    async def main(opened: Backend) -> object:
        # Nothing has told anyio or sniffio which loop this is.
        sniffio = sys.modules.get("sniffio")
        assert sniffio is None or sniffio.current_async_library_cvar.get() is None
        assert opened.name == backend
        assert opened.options == {"grace": 1}
        await opened.sleep(0)
        return opened

    def twice() -> None:
        for _ in range(2):
            assert isinstance(host.run(main, backend, {"grace": 1}), Backend)

    in_child(twice)


@pytest.mark.parametrize(("backend", "host"), HOSTED, ids=by_both)
def test_what_main_raises_comes_out_bare(backend: str, host: Host) -> None:
    error = LookupError()

    async def main(opened: Backend) -> None:
        await opened.sleep(0)
        raise error

    def check() -> None:
        with pytest.raises(LookupError) as raised:
            host.run(main, backend)
        assert raised.value is error

    in_child(check)


@pytest.mark.parametrize(("backend", "host"), HOSTED, ids=by_both)
def test_it_leaves_nothing(backend: str, host: Host) -> None:
    async def main(opened: Backend) -> None:
        async with await opened.listen("tcp:127.0.0.1:0", halfclose.examples.Echo):
            await opened.sleep(0)

    def state() -> list[object]:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
        return [signal.getsignal(number) for number in numbers]

    def check() -> None:
        host.run(main, backend)
        before = state()
        with unheard() as heard:
            footprint = Footprint()
            host.run(main, backend)
            assert footprint.left() == []
            assert footprint.kept() == []
        assert heard == []
        assert state() == before
        assert "twisted.internet.reactor" not in sys.modules

    in_child(check)


class Stepping(Host):
    """asyncio, started by hand; it forgets to close its loop."""

    name = "stepping"

    def run(
        self,
        main: Callable[[Backend], Awaitable[T]],
        backend: str,
        options: Mapping[str, Any] | None = None,
    ) -> T:
        loop = asyncio.new_event_loop()
        return loop.run_until_complete(self.open_and_run(main, backend, options))


class Useless(Host):
    """It starts nothing."""

    name = "useless"

    def run(
        self,
        main: Callable[[Backend], Awaitable[T]],
        backend: str,
        options: Mapping[str, Any] | None = None,
    ) -> T:
        raise RuntimeError("no loop today")


def judged(host: Host, rule: str = "EVT-01") -> Any:
    suite = suite_of("anyio+asyncio")
    return Case(suite(), "anyio+asyncio", PollerTCP(), suite.rules()[rule], host).judge()


def test_a_rule_runs_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "_tried", {})
    verdict = judged(Stepping())
    assert not verdict.passed
    assert verdict.host == "stepping"
    assert "left behind" in verdict.what
    assert "unclosed event loop" in verdict.what
    assert "EVT-01 on anyio+asyncio, tcp under stepping: left behind" in str(verdict)


@pytest.mark.parametrize("rule", ["EVT-01", "ERR-05"])
def test_one_by_which_nothing_runs_is_told(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "_tried", {})
    verdict = judged(Useless(), rule)
    assert "not even one connection works: RuntimeError: no loop today" in verdict.what


def test_programs_beside_a_test_run_by_it() -> None:
    """In a thread; and END-03 would not be seen by the host otherwise."""
    ran: list[str] = []

    class Told(Stepping):
        def run(
            self,
            main: Callable[[Backend], Awaitable[T]],
            backend: str,
            options: Mapping[str, Any] | None = None,
        ) -> T:
            ran.append(threading.current_thread().name)
            return asyncio.run(self.open_and_run(main, backend, options))

    suite = suite_of("anyio+asyncio")
    trial = Trial(suite(), "anyio+asyncio", PollerTCP(), Told(), suite.rules()["END-03"])
    trial._once(trial._test(trial.try_connection()))
    assert ran[:2] == ["MainThread", "MainThread"]
    assert set(ran[2:]) == {"halfclose raw peer"}


# -- naming one --------------------------------------------------------------------------------


def test_the_suite_names_one_that_the_backend_has() -> None:
    suite = suite_of("anyio+trio", host="asyncio.run")
    with pytest.raises(TypeError, match=r"TestMine: .*'asyncio\.run'; there are: halfclose\.run, "):
        suite.channel_types_of(suite.rules()["EVT-01"])


def test_it_runs_on_the_kinds_that_it_names() -> None:
    suite = suite_of("anyio+trio", host="trio.run")
    rules = suite.rules()
    assert [channel_type.name for channel_type in suite.channel_types_of(rules["EVT-01"])] == [
        "tcp",
        "native-tcp",
    ]
    assert suite.channel_types_of(rules["PIP-02"]) == []


def test_one_with_no_kind_of_the_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Useless, "channel_types", ("nothing",))
    monkeypatch.setattr(kit_hosts, "HOSTS", (Useless(),))
    with defects.installed("Defective") as name:
        suite = suite_of(name, host="useless")
        with pytest.raises(TypeError, match="useless is to run on nothing"):
            suite.channel_types_of(suite.rules()["EVT-01"])


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ([Stepping()], "is no tuple of halfclose.testing.Host"),
        ((Stepping,), "is no halfclose.testing.Host"),
        ((Stepping(), Stepping()), "two hosts are called 'stepping'"),
        ((HALFCLOSE_RUN,), "two hosts are called 'halfclose.run'"),
    ],
)
def test_bad_hosts_are_refused(hosts: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match=said):
        check_hosts(hosts)
    monkeypatch.setattr(kit_hosts, "HOSTS", hosts)
    with (
        defects.installed("Defective") as name,
        pytest.raises(BackendLoadError, match=f"'{name}'.*{said}"),
    ):
        load_hosts(name)


def test_the_default_is_always_there() -> None:
    assert find_host((), "halfclose.run") is HALFCLOSE_RUN
    assert BackendSpec("mine", "mine:Mine").hosts == "halfclose.testing.hosts:HOSTS"
    assert ContractSuite.host == "halfclose.run"
