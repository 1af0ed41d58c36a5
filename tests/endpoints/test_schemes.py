"""The schemes that there are: found, missed, brought twice, and brought by a broken plugin."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import halfclose
import pytest
from core.support import Recorder, Site, python
from halfclose import (
    Backend,
    Channel,
    ConnectError,
    Endpoint,
    EndpointError,
    ListenError,
    Scheme,
    hookimpl,
    parse_endpoint,
)
from halfclose.scheme_registry import known_schemes, scheme_of


class Point(Endpoint):
    """An endpoint of any scheme."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme

    @property
    def scheme(self) -> str:
        return self._scheme

    def __str__(self) -> str:
        return f"{self._scheme}:"


class PointScheme(Scheme[Point, Backend]):
    """A scheme whose only endpoint cannot be connected to."""

    needs_descriptors = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.examples = (f"{name}:",)

    def parse(self, rest: str) -> Point:
        return Point(self.name)

    async def connect(self, backend: Backend, endpoint: Point, timeout: float | None) -> Channel:
        raise OSError(5, "out of\norder")


class Brings:
    """A plugin that gives *given* in its hook, or raises it."""

    def __init__(self, given: object) -> None:
        self._given = given

    @hookimpl
    def halfclose_endpoints(self) -> Any:
        if isinstance(self._given, BaseException):
            raise self._given
        return self._given

    def __repr__(self) -> str:
        return "<a plugin without a name>"


Register = Callable[..., None]


@pytest.fixture
def register() -> Iterator[Register]:
    """`halfclose.register`, taken back at the end."""
    with ExitStack() as stack:

        def register(given: object, name: str | None = None) -> None:
            plugin = Brings(given)
            halfclose.register(plugin, name)
            stack.callback(halfclose.unregister, plugin)

        yield register


def said(text: str) -> str:
    """What is said of the endpoint *text*, which is wrong."""
    with pytest.raises(EndpointError) as caught:
        parse_endpoint(text)
    return str(caught.value)


def test_cores_own_come_first_and_by_the_same_hook() -> None:
    names = [scheme.name for scheme in known_schemes()]
    assert names[:3] == ["tcp", "unix", "stdio"]
    assert "memory" in names
    plugin = importlib.import_module("halfclose.io.plugin")
    assert [scheme.name for scheme in plugin.halfclose_endpoints()] == names[:3]
    for scheme in known_schemes():
        for example in scheme.examples:
            endpoint = parse_endpoint(example)
            assert endpoint.scheme == scheme.name
            assert str(endpoint) == example
            assert scheme_of(endpoint) is scheme


def test_an_unknown_scheme_names_those_that_there_are_and_close_ones(register: Register) -> None:
    register([PointScheme("telex")], "post office")
    assert said("nonsense:x") == (
        "endpoint 'nonsense:x': no kind of endpoint is called 'nonsense', there are memory:, "
        "stdio:, tcp:, telex: and unix:; write it like tcp:127.0.0.1:8000, tcp:[::1]:8000, "
        "unix:/tmp/echo.sock, stdio:, memory:echo or telex:"
    )
    assert "'tpc' (did you mean tcp:?), there are" in said("tpc:x")
    assert "'tele' (did you mean telex:?), there are" in said("tele:")


def test_two_that_bring_the_same_are_both_named_and_cost_nobody_else(register: Register) -> None:
    register([PointScheme("telex"), PointScheme("fax")], "one")
    register([PointScheme("telex")], "another")
    told = (
        "the scheme 'telex' is brought twice, by the plugins 'one' and 'another'; "
        "uninstall or unregister one"
    )
    assert said("telex:") == told
    with pytest.raises(EndpointError, match="'one' and 'another'"):
        scheme_of(Point("telex"))
    assert str(parse_endpoint("fax:")) == "fax:"
    assert str(parse_endpoint("tcp:a:1")) == "tcp:a:1"
    assert "telex" not in said("nonsense:")


def test_one_of_cores_own_is_not_replaced(register: Register) -> None:
    register([PointScheme("unix")])
    assert "by the plugins 'halfclose' and <a plugin without a name>" in said("unix:/x")


class Nameless(PointScheme):
    def __init__(self) -> None:
        self.examples = ()


class Unlike(PointScheme):
    def __init__(self, *examples: str) -> None:
        self.name = "unlike"
        self.examples = examples


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (ValueError("what\nnow"), "ValueError: what\\nnow"),
        (SystemExit(3), "SystemExit: 3"),
        (None, "TypeError: 'NoneType' object is not iterable"),
        ([PointScheme("telex"), 5], "TypeError: 5 is no halfclose.Scheme"),
        ([PointScheme], "is no halfclose.Scheme"),
        ([Nameless()], "AttributeError: 'Nameless' object has no attribute 'name'"),
        ([PointScheme("")], "ValueError: '' can be no scheme's name"),
        ([PointScheme("Telex")], "ValueError: 'Telex' can be no scheme's name"),
        ([PointScheme("te:lex")], "ValueError: 'te:lex' can be no scheme's name"),
        ([Unlike()], "TypeError: the examples of 'unlike' are no tuple of at least one: ()"),
        ([Unlike("like:x")], "ValueError: the examples ('like:x',) are no endpoints of 'unlike'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_hook_is_told_by_name_and_costs_nobody_else(
    register: Register, given: object, says: str
) -> None:
    register([PointScheme("before")], "before")
    register(given, "broken")
    register([PointScheme("after")], "after")
    for name in ("before", "after"):
        assert str(parse_endpoint(f"{name}:")) == f"{name}:"
    assert str(parse_endpoint("tcp:a:1")) == "tcp:a:1"
    told = said("telex:")
    assert "; plugin 'broken' failed: " in told
    assert says in told
    assert "there are after:, before:, memory:, stdio:, tcp: and unix:" in told


def test_a_broken_hook_that_interrupts_is_no_failure_of_the_plugin(register: Register) -> None:
    register(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        parse_endpoint("telex:")


class Elsewhere(PointScheme):
    def parse(self, rest: str) -> Point:
        return Point("fax")


class Nowhere(PointScheme):
    def parse(self, rest: str) -> Any:
        return None


class Strict(PointScheme):
    def parse(self, rest: str) -> Point:
        raise ValueError("nothing is right")


def test_what_parsing_gives_is_looked_at(register: Register) -> None:
    register([Elsewhere("elsewhere"), Nowhere("nowhere"), Strict("strict")], "rubbish")
    for name in ("elsewhere", "nowhere"):
        told = said(f"{name}:x")
        assert told.startswith(f"endpoint '{name}:x': plugin 'rubbish' gave ")
        assert told.endswith(f", which is no endpoint of the scheme '{name}'")
    assert said("strict:x") == "endpoint 'strict:x': nothing is right; write it like strict:"


class Raises(PointScheme):
    """A scheme that raises *error* wherever it is asked."""

    def __init__(self, name: str, error: Exception) -> None:
        super().__init__(name)
        self.error = error

    def parse(self, rest: str) -> Point:
        raise self.error


def test_what_parsing_raises_names_the_plugin(register: Register) -> None:
    register(
        [
            Raises("key", KeyError("x")),
            Raises("silent", ValueError()),
            Raises("two", OSError("a\nb")),
        ],
        "raising",
    )
    assert said("key:x") == "endpoint 'key:x': plugin 'raising' failed: KeyError: 'x'"
    assert said("two:x") == "endpoint 'two:x': plugin 'raising' failed: OSError: a\\nb"
    assert said("silent:x") == "endpoint 'silent:x': malformed; write it like silent:"


class GivesNothing(PointScheme):
    async def connect(self, *args: object) -> Any:
        return None

    async def listen(self, *args: object) -> Any:
        return None


def test_what_connecting_and_listening_give_is_looked_at(register: Register) -> None:
    register([GivesNothing("telex")])

    async def main(backend: Backend) -> None:
        with pytest.raises(TypeError, match="telex: its plugin gave None, which is no channel"):
            await backend.connect("telex:", Recorder)
        with pytest.raises(TypeError, match="telex: its plugin gave None, which is no listener"):
            await backend.listen("telex:", Recorder)

    halfclose.run(main, backend="memory")


def test_a_scheme_that_does_not_listen_says_so_before_it_is_asked_to(register: Register) -> None:
    register([PointScheme("telex")])
    endpoint = parse_endpoint("telex:")
    assert scheme_of(endpoint).cannot_listen(endpoint) == "its scheme can only connect"
    assert GivesNothing("fax").cannot_listen(Point("fax")) is None


class Asks:
    """A plugin whose hook asks for a scheme of core's, and for one that nobody brings."""

    @hookimpl
    def halfclose_endpoints(self) -> Any:
        yield PointScheme(parse_endpoint("tcp:a:1").scheme + "-too")
        parse_endpoint("nonsense:")


def test_a_hook_that_asks_for_schemes_is_not_called_within_itself() -> None:
    plugin = Asks()
    halfclose.register(plugin, "asks")
    try:
        told = said("telex:")
    finally:
        halfclose.unregister(plugin)
    assert told.count("plugin 'asks' failed: EndpointError: endpoint 'nonsense:': no kind") == 1


def test_threads_that_look_at_the_same_time_find_the_same(register: Register) -> None:
    """A plugin in whose hook the threads meet, which the interpreter might do anywhere."""
    together = threading.Barrier(2, timeout=10)

    class Slow(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            with suppress(threading.BrokenBarrierError):
                together.wait()
            return super().__iter__()

    register([PointScheme("telex")], "one")
    register(Slow([PointScheme("fax")]), "another")
    with ThreadPoolExecutor() as threads:
        found = list(threads.map(lambda _: str(parse_endpoint("telex:")), range(2)))
    assert found == ["telex:", "telex:"]
    assert str(parse_endpoint("fax:")) == "fax:"


def test_a_thread_does_not_miss_what_another_has_begun_to_load(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.module("slow", "import time; time.sleep(0.3)\nfrom telex import *")
    site.module(
        "telex",
        """
        from halfclose import Endpoint, Scheme, hookimpl
        class Telex(Endpoint):
            scheme = "telex"
            def __str__(self):
                return "telex:"
        class TelexScheme(Scheme):
            name, examples = "telex", ("telex:",)
            def parse(self, rest):
                return Telex()
            async def connect(self, backend, endpoint, timeout):
                raise OSError
        @hookimpl
        def halfclose_endpoints():
            return [TelexScheme()]
        """,
    )
    site.distribution("telex", {"telex": "slow"}, group="halfclose.plugins")
    told = site.python(
        """
        from concurrent.futures import ThreadPoolExecutor
        from halfclose import parse_endpoint
        with ThreadPoolExecutor() as threads:
            print(*threads.map(lambda _: parse_endpoint("telex:"), range(4)))
        """
    )
    assert told.split() == ["telex:"] * 4


def test_what_the_system_says_becomes_an_error_that_names_the_endpoint(register: Register) -> None:
    """And who cannot listen says so, without a line of his own."""
    register([PointScheme("telex")])

    async def main(backend: Backend) -> None:
        with pytest.raises(ConnectError) as caught:
            await backend.connect("telex:", Recorder)
        assert str(caught.value) == r"cannot connect to telex: [Errno 5] out of\norder"
        assert isinstance(caught.value.__cause__, OSError)
        with pytest.raises(ListenError, match="cannot listen on telex:"):
            await backend.listen("telex:", Recorder)

    halfclose.run(main, backend="memory")


def test_an_endpoint_that_nobody_brings() -> None:
    async def main(backend: Backend) -> None:
        with pytest.raises(EndpointError, match="'telex:': no kind of endpoint is called 'telex'"):
            await backend.connect(Point("telex"), Recorder)

    halfclose.run(main, backend="memory")


def test_cores_own_are_parsed_without_loading_a_plugin(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.module("noted", "print('loaded')")
    site.distribution("noted", {"noted": "noted"})
    told = site.python(
        """
        from halfclose import parse_endpoint
        for text in ("tcp:127.0.0.1:80", "unix:/tmp/x", "stdio:"):
            parse_endpoint(text)
        print("parsed")
        try:
            parse_endpoint("noted:")
        except ValueError:
            print("missed")
        """
    )
    assert told.split() == ["parsed", "loaded", "missed"]


def test_a_plugin_that_does_not_load_is_told_where_a_scheme_is_missed(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.module("broken", "import no_such_module")
    site.distribution("third-party", {"telex": "broken"}, group="halfclose.plugins")
    told = site.python(
        """
        from halfclose import available_backends, parse_endpoint
        try:
            parse_endpoint("telex:1")
        except ValueError as error:
            print(error)
        print(list(available_backends()))
        """
    )
    error, backends = told.splitlines()
    assert "plugin 'third-party:broken' failed: ModuleNotFoundError: No module named" in error
    assert backends == "[]"


def test_importing_halfclose_loads_no_plugin() -> None:
    told = python("import sys, halfclose; print('halfclose.memory.plugin' in sys.modules)")
    assert told.strip() == "False"
