"""A whole run must have run the whole contract: an empty or thinned-out selection cannot pass."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("halfclose.testing")

from halfclose.testing.exploration import register_profiles  # noqa: E402 - rewritten, as above

# No verdict by the wall clock: by default an example that takes 0.2 s fails, and a machine with
# other work takes that for nothing at all.
settings.register_profile("timeless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("timeless")
register_profiles()

# A shell has what it runs in the background ignore SIGINT, nohup has it ignore SIGHUP, and what a
# test starts would inherit that.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)

ROOT = Path(__file__).parent.parent

EVERYWHERE = ("tcp", "unix", "stdio", "native-tcp", "native-unix")
"""The kinds of channel that every variant of a framework has."""

HOSTED = ("tcp", "native-tcp")
"""The kinds of channel that are tried in a loop that `halfclose.run` has not started."""

VARIANTS = {
    "test_twisted.py::TestSelect": (*EVERYWHERE, "twisted-tcp", "twisted-unix"),
    "test_twisted.py::TestPoll": (*EVERYWHERE, "twisted-tcp", "twisted-unix"),
    "test_twisted.py::TestEpoll": (*EVERYWHERE, "twisted-tcp", "twisted-unix"),
    "test_twisted.py::TestAsyncio": (*EVERYWHERE, "twisted-tcp", "twisted-unix"),
    "test_twisted.py::TestUvloop": (*EVERYWHERE, "twisted-tcp", "twisted-unix"),
    "test_anyio.py::TestAsyncio": (*EVERYWHERE, "anyio-tcp", "anyio-unix"),
    "test_anyio.py::TestUvloop": (*EVERYWHERE, "anyio-tcp", "anyio-unix"),
    "test_anyio.py::TestTrio": (*EVERYWHERE, "anyio-tcp", "anyio-unix", "trio-tcp"),
    "test_memory.py::TestMemory": ("memory",),
    "test_hosts.py::TestAsyncioRun": HOSTED,
    "test_hosts.py::TestUvloopRun": HOSTED,
    "test_hosts.py::TestTrioRun": HOSTED,
    "test_hosts.py::TestSelectReactorRun": HOSTED,
    "test_hosts.py::TestPollReactorRun": HOSTED,
    "test_hosts.py::TestEpollReactorRun": HOSTED,
    "test_hosts.py::TestAsyncioReactorRun": HOSTED,
    "test_hosts.py::TestUvloopReactorRun": HOSTED,
}
"""The eight variants and memory, and the eight in a loop that somebody else started; and the kinds
of channel that each has."""

PARTIAL: dict[str, tuple[str, ...]] = {
    "END-01": ("tcp", "unix"),
    "END-02": ("tcp", "unix"),
    "END-07": ("tcp", "unix"),
    "ERR-07": ("tcp", "unix"),
    "ERR-08": ("tcp", "unix"),
    "ERR-09": ("tcp", "unix"),
    "ERR-10": ("tcp", "unix"),
    "ERR-11": ("tcp", "unix"),
    "ERR-16": ("tcp", "unix"),
    "FLU-11": ("tcp", "unix"),
    "PIP-01": ("unix", "stdio"),
    "PIP-02": ("stdio",),
    "PIP-03": ("stdio",),
    "PIP-04": ("tcp", "stdio"),
    "PIP-05": ("stdio",),
    "PIP-06": ("stdio",),
    "PIP-07": ("stdio",),
    "PIP-08": ("stdio",),
    "PIP-09": ("stdio",),
    "PRD-09": ("tcp", "unix"),
    "VRB-03": ("tcp", "unix"),
    "VRB-04": ("tcp", "unix"),
}
"""Rules that can be seen on some of the system's raw peers only, and on which."""


ONCE = ("tcp", "memory")
"""Where the rules of the loop are tried, which say nothing about connections."""


def rules() -> list[str]:
    """The rules' ids, from the contract."""
    text = (ROOT / "docs" / "contract.md").read_text()
    return re.findall(r"^- ([A-Z]{3,4}-\d\d) ", text, re.MULTILINE)


def is_seen(rule: str, kind: str) -> bool:
    """Whether *rule* is tried on that *kind* of channel."""
    if rule.startswith("LOOP-"):
        return kind in ONCE
    return kind == "memory" or kind.rpartition("-")[2] in PARTIAL.get(rule, (*EVERYWHERE,))


def expected() -> set[str]:
    """What a whole run passes: variant, rule and kind of channel."""
    return {
        f"{variant} {rule} {kind}"
        for variant, kinds in VARIANTS.items()
        for rule in rules()
        for kind in kinds
        if is_seen(rule, kind)
    }


class Completeness:
    """Collects what passed, in the process that sees every report."""

    def __init__(self) -> None:
        self.passed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = re.fullmatch(
            r"tests/contract/(\S+?)::test_([a-z]{3,4})_(\d\d)_\w+\[(\S+)\]", report.nodeid
        )
        if found and report.when == "call" and report.passed:
            variant, chapter, number, kind = found.groups()
            self.passed.add(f"{variant} {chapter.upper()}-{number} {kind}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        missing = sorted(expected() - self.passed)
        if missing and session.exitstatus in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            reporter = session.config.pluginmanager.get_plugin("terminalreporter")
            if reporter is not None:
                reporter.write_line("")
                reporter.write_line(
                    f"the contract was not run whole: {len(missing)} of {len(expected())} "
                    f"are missing, first {missing[0]!r}",
                    red=True,
                )


def pytest_configure(config: pytest.Config) -> None:
    """Demand a whole run where the whole suite was asked for."""
    whole = (
        not config.getoption("keyword")
        and not config.getoption("markexpr")
        and not config.getoption("collectonly")
        and not config.getoption("lf", default=False)
        and not config.getoption("deselect")
        and list(config.args) == config.getini("testpaths")
    )
    if whole and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Completeness())
