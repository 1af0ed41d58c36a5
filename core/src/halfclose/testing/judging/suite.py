"""The contract suite: one class with one test for each rule."""

from __future__ import annotations

import functools
import inspect
import types
from typing import Any, ClassVar

import pytest

from ...reasons import BackendError
from ..channels.channel_types import ChannelType, check_channel_types, load_channel_types
from ..hosts import HALFCLOSE_RUN, Host, find_host, load_hosts
from ..rules import alternatives  # noqa: F401 - imported once here, not in the process of each case
from ..rules.accepting import AcceptingRules
from ..rules.closing import ClosingRules
from ..rules.connecting import ConnectingRules
from ..rules.descriptors import DescriptorRules
from ..rules.events import EventRules
from ..rules.exits import ExitRules
from ..rules.failures import FailureRules
from ..rules.flushing import FlushingRules
from ..rules.forking import ForkingRules
from ..rules.lingering import LingeringRules
from ..rules.loop import LoopRules
from ..rules.pipes import PipeRules
from ..rules.producers import ProducerRules
from ..rules.proxies import ProxyRules
from ..rules.running import RunningRules
from ..rules.verbs import VerbRules
from ..tools.harness import Rule
from .case import TIME_LIMIT, Case
from .explaining import demand_assertions
from .trial import Trial

__all__ = ["ContractSuite"]


class ContractSuite(
    EventRules,
    VerbRules,
    FlushingRules,
    ProducerRules,
    ProxyRules,
    FailureRules,
    AcceptingRules,
    ConnectingRules,
    ExitRules,
    ForkingRules,
    ClosingRules,
    LingeringRules,
    PipeRules,
    DescriptorRules,
    LoopRules,
    RunningRules,
):
    """Every rule of the contract, for pytest to run on a backend of yours::

        class TestContract(halfclose.testing.ContractSuite):
            backend = "mine"

    Each rule runs on each channel type that the backend names in `BackendSpec.channel_types`, and
    each time in a process of its own. With pytest's options ``--pdb`` and ``--trace`` it runs in
    pytest's process, without a time limit.

    If your backend is known to break a rule, mark the test as below. It still runs, and fails as
    soon as the rule is kept. To remove a rule in any other way is a `TypeError`::

        test_evt_05_both_halves_end = pytest.mark.xfail(strict=True, reason="…")(
            halfclose.testing.ContractSuite.test_evt_05_both_halves_end
        )
    """

    backend: ClassVar[str]
    """The name of the backend."""

    channel_types: ClassVar[tuple[ChannelType, ...]] = ()
    """Channel types in addition to those that the backend names."""

    host: ClassVar[str] = HALFCLOSE_RUN.name
    """The name of the host, which starts the loop: ``"halfclose.run"``, or a host that the backend
    names in `BackendSpec.hosts`, such as ``"asyncio.run"``. Under such a host, rules run only on
    the channel types that the host names."""

    time_limit: ClassVar[float] = TIME_LIMIT
    """Seconds after which a rule on one channel type has failed."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, replaced in list(vars(cls).items()):
            if name in _rules() and replaced is _rules()[name]:
                # The mark was put on the function, which ContractSuite and other suites share.
                # So this class gets a copy with the mark, and the original loses it.
                marks = replaced.__dict__.pop("pytestmark", [])
                own = _copy(replaced)
                own.pytestmark = marks
                setattr(cls, name, own)
        _check_whole(cls)

    @classmethod
    def rules(cls) -> dict[str, Rule]:
        """Every rule of the contract, by its id.

        The rules of the loop come first, because a broken loop breaks many other rules too.
        """
        rules = [function.rule for function in _rules().values()]
        rules.sort(key=lambda rule: not rule.identifier.startswith("LOOP-"))
        return {rule.identifier: rule for rule in rules}

    @classmethod
    def channel_types_of(cls, rule: Rule) -> list[ChannelType]:
        """The channel types on which *rule* can be tested under this suite's host.

        :param rule: one of `rules`.
        :raises TypeError: the backend has no host of that name, or none of the channel types that
            the host names.
        :raises BackendError: the backend is not installed or does not load.
        """
        channel_types = check_channel_types((*load_channel_types(cls.backend), *cls.channel_types))
        shown = cls._host().channel_types
        if shown is not None:
            channel_types = tuple(
                channel_type for channel_type in channel_types if channel_type.name in shown
            )
            if not channel_types:
                raise TypeError(
                    f"{cls.__qualname__}: {cls.host} is to run on {', '.join(shown)}, and backend "
                    f"{cls.backend!r} has none of them"
                )
        if rule.once:
            return [channel_types[0]]
        return [
            channel_type for channel_type in channel_types if channel_type.scheme in rule.schemes
        ]

    @classmethod
    def _host(cls) -> Host:
        try:
            return find_host(load_hosts(cls.backend), cls.host)
        except LookupError as error:
            raise TypeError(f"{cls.__qualname__}: backend {cls.backend!r}: {error}") from None

    def hold_to(self, rule: Rule, channel_type: ChannelType) -> None:
        """Fail the current test unless the backend keeps *rule* on *channel_type*.

        :param rule: one of `rules`.
        :param channel_type: one of those that `channel_types_of` gives for it.
        """
        if self._debugging:
            Trial(self, self.backend, channel_type, self._host(), rule).hold()
            return
        case = Case(self, self.backend, channel_type, rule, self._host())
        verdict = case.judge(self.time_limit)
        if not verdict.passed:
            pytest.fail(str(verdict), pytrace=False)

    _debugging = False

    @pytest.fixture(autouse=True)
    def _let_debug(self, request: pytest.FixtureRequest) -> None:
        option = request.config.getoption
        if option("usepdb", False) or option("trace", False):
            self._debugging = True

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Have pytest run each rule once for every channel type on which it can be tested.

        :param metafunc: pytest's, for one test of the class.
        :raises TypeError: a rule is taken away, by a mark or by a method that replaces it.
        :raises CollectError: pytest's: the backend is not installed or does not load.
        """
        _check_whole(type(self))
        demand_assertions()
        for mark in metafunc.definition.iter_markers():
            if mark.name in ("skip", "skipif") or (mark.name == "xfail" and not _is_strict(mark)):
                raise TypeError(
                    f"{type(self).__qualname__}: the mark {mark.name} takes rules of the contract "
                    f"away; {_HOW_TO_DECLARE}"
                )
        function = _rules().get(metafunc.function.__name__)
        if function is not None:
            try:
                channel_types = self.channel_types_of(function.rule)
            except BackendError as error:
                raise pytest.Collector.CollectError(str(error)) from None
            metafunc.parametrize(
                "channel_type",
                channel_types,
                ids=[channel_type.name for channel_type in channel_types],
            )


_HOW_TO_DECLARE = (
    "one that is known to be broken is marked pytest.mark.xfail(strict=True, reason=...)"
)

_MACHINERY = (
    "_host",
    "hold_to",
    "channel_types_of",
    "rules",
    "pytest_generate_tests",
    "_let_debug",
)


@functools.cache
def _rules() -> dict[str, Any]:
    """The tests of all rules, by the name of the method."""
    members = inspect.getmembers(ContractSuite, inspect.isfunction)
    return {name: function for name, function in members if hasattr(function, "rule")}


def _check_whole(cls: type[ContractSuite]) -> None:
    """Make sure that *cls* still tests every rule, and has replaced nothing that runs the rules.

    :raises TypeError: a rule was removed or replaced without a strict xfail mark, or a method of
        the suite was replaced.
    """
    for name in _MACHINERY:
        if _defined(cls, name) is not vars(ContractSuite)[name]:
            raise TypeError(f"{cls.__qualname__}.{name} would replace the suite's own")
    for name, original in _rules().items():
        replaced = _defined(cls, name)
        if replaced is not original and not _is_declared(replaced):
            raise TypeError(
                f"{cls.__qualname__}.{name} takes rule {original.rule.identifier} away; "
                f"{_HOW_TO_DECLARE}"
            )


def _defined(cls: type, name: str) -> Any:
    """`inspect.getattr_static`, at a tenth of its cost: it is asked for each rule in each test."""
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)


def _copy(function: Any) -> Any:
    """Another function object with the same code, which can have other marks."""
    copy = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    return functools.update_wrapper(copy, function)


def _is_declared(replaced: Any) -> bool:
    """Whether *replaced* has a strict xfail mark and will run."""
    marks = getattr(replaced, "pytestmark", [])
    if not callable(replaced) or any(mark.name in ("skip", "skipif") for mark in marks):
        return False
    declared = [mark for mark in marks if mark.name == "xfail"]
    return bool(declared) and all(_is_strict(mark) for mark in declared)


def _is_strict(mark: pytest.Mark) -> bool:
    """Whether *mark*, an xfail, lets its test run and makes it fail if the rule is kept."""
    return (
        mark.kwargs.get("strict") is True
        and bool(mark.kwargs.get("reason"))
        and bool(mark.kwargs.get("run", True))
        and not mark.args
        and "condition" not in mark.kwargs
    )
