"""The two tiers; and a whole run of either must have run its whole part of the contract."""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, find, settings
from hypothesis import strategies as st
from tiers import CELL, SCRIPTS, cell, expected, is_thorough

pytest.register_assert_rewrite("halfclose.testing")

from halfclose.testing.exploration import register_profiles  # noqa: E402 - rewritten, as above

# No verdict by the wall clock: by default an example that takes 0.2 s fails, and a machine with
# other work takes that for nothing at all.
_TIMELESS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The quick tier looks at the same examples each time; to find new ones is for the thorough one.
settings.register_profile(
    "quick", _TIMELESS, max_examples=SCRIPTS["quick"], derandomize=True, database=None
)
settings.register_profile("thorough", _TIMELESS, max_examples=SCRIPTS["thorough"])
settings.load_profile("quick")
register_profiles()

# A thousand interpreters are started here. Where the environment forbids bytecode, or an installer
# has made none, each would compile all that it imports, which takes longer than the rest. So they
# share a folder for it, away from the sources.
_COMPILED = str(Path(__file__).parents[1] / ".pytest_cache" / "compiled")
os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = _COMPILED
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell has what it runs in the background ignore SIGINT, nohup has it ignore SIGHUP, and what a
# test starts would inherit that.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


def pytest_collection_finish() -> None:
    """Have the collector look no more at what was imported and collected.

    Tests ask for collections, to see what is left behind, and each would go through a million
    objects of which none is theirs; in a forked child it would copy them as well.
    """
    # Hypothesis looks once who refers to Python's random generator, and would find nobody.
    find(st.none(), lambda _: True)
    gc.collect()
    gc.freeze()


class Completeness:
    """Collects what passed, in the process that sees every report."""

    def __init__(self, *, thorough: bool) -> None:
        self.expected = expected(thorough=thorough)
        self.passed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = CELL.fullmatch(report.nodeid)
        if found and report.when == "call" and report.passed:
            self.passed.add(cell(found))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        missing = sorted(self.expected - self.passed)
        if missing and session.exitstatus in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            reporter = session.config.pluginmanager.get_plugin("terminalreporter")
            if reporter is not None:
                reporter.write_line("")
                reporter.write_line(
                    f"the contract was not run whole: {len(missing)} of {len(self.expected)} "
                    f"are missing, first {missing[0]!r}",
                    red=True,
                )


class QuickTier:
    """Leaves out what only the thorough tier runs, and says how much that is.

    With pytest-xdist each worker leaves it out, and tells the process that reports.
    """

    left_out = 0

    # After ``-k`` and the like, so that it counts what would be run and is not.
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        left_out = [item for item in items if is_thorough(item.nodeid)]
        self.left_out = len(left_out)
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not is_thorough(item.nodeid)]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["left_out"] = self.left_out

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        told = getattr(node, "workeroutput", {})
        self.left_out = max(self.left_out, told.get("left_out", 0))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.left_out:
            terminalreporter.write_line(f"{self.left_out} more with --thorough")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the second tier; `tiers` says what is in each."""
    parser.addoption(
        "--thorough", action="store_true", help="run everything, in a quarter of an hour and more"
    )


def _is_narrow(config: pytest.Config) -> bool:
    """Whether a part of the tests is asked for, by words or by the names of files."""
    return bool(
        config.getoption("keyword")
        or config.getoption("markexpr")
        or config.getoption("collectonly")
        or config.getoption("lf", default=False)
        or config.getoption("deselect")
        or list(config.args) != config.getini("testpaths")
    )


def pytest_configure(config: pytest.Config) -> None:
    """Take the tier that is asked for, and demand a whole run of it where all was asked for."""
    thorough = config.getoption("thorough")
    if not config.getoption("--hypothesis-profile", default=None):
        settings.load_profile("thorough" if thorough else "quick")
    # Who names a test has it run, whichever tier it is of.
    if not thorough and not any("::" in argument for argument in config.args):
        config.pluginmanager.register(QuickTier())
    if not _is_narrow(config) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Completeness(thorough=thorough))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Four workers for each processor, since tests mostly wait: for peers, timeouts, processes.

    Each takes some seconds to begin, which a few tests are not worth.
    """
    # Only Linux tells which of them this process may use.
    told = getattr(os, "sched_getaffinity", None)
    processors = len(told(0)) if told is not None else os.cpu_count() or 1
    return processors if _is_narrow(config) else 4 * processors
