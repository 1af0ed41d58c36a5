"""What ``pytest`` runs, and what only ``pytest --thorough`` runs: the one place that says it.

Quick, by default, is every unit test; every rule of the contract on every variant; and every rule
on every type of channel of each framework. To run every pair of them would be to run each type of
channel on five reactors or three loops, with the same code under most of it. So the channel types
on which a rule can be seen are dealt out to the variants of the framework, as cards are, and for
the next rule the first card goes to the next variant. So the quick run finds what a change breaks,
unless it breaks one rule on one type of channel of one variant alone.

Thorough adds those, and what takes long: `THOROUGH`, and more scripts in each exploration, which
are other ones each time. The quick run performs the same few scripts each time.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from rule_map.contract import statements

__all__ = ["CELL", "THOROUGH", "VARIANTS", "expected", "is_thorough", "rules"]

ROOT = Path(__file__).parents[1]

THOROUGH = (
    "tests/benchmarks/test_harness.py",
    "tests/contract/test_hosts.py",
    "tests/documents/test_exploration_page.py::test_it_performs_scripts",
    "tests/documents/test_testing_with_memory.py::test_all_pass_by_the_plugin_of_anyio",
    "tests/documents/test_tutorial.py::test_the_last_two_tests_find_a_bug_too",
    "tests/documents/test_typed_examples.py",
    "tests/exploration/test_planted.py",
    "tests/mutants/test_mutants.py::test_a_mutant_is_caught",
    "tests/mutants/test_mutants.py::test_without_a_mutant_all_is_well",
    "tests/runners/test_runners.py",
    "tests/scorecard/test_scorecard.py::test_document_says_what_is_seen_now",
    "tests/third_party/test_example.py",
)
"""What is thorough from beginning to end: files, and tests."""

SCRIPTS = {"quick": 10, "thorough": 100}
"""How many scripts an exploration performs on each type of channel, by the tier."""

EVERYWHERE = ("tcp", "unix", "stdio", "native-tcp", "native-unix")
"""The types of channel that every variant of a framework has."""

HOSTED = ("tcp", "native-tcp")
"""The types of channel that are tried in a loop that `halfclose.run` has not started."""

FRAMEWORKS: dict[str, dict[str, tuple[str, ...]]] = {
    "twisted": {
        "test_twisted.py::TestSelect": (*EVERYWHERE, "twisted-tcp", "twisted-unix"),
        "test_twisted.py::TestPoll": (*EVERYWHERE, "twisted-tcp", "twisted-unix"),
        "test_twisted.py::TestEpoll": (*EVERYWHERE, "twisted-tcp", "twisted-unix"),
        "test_twisted.py::TestAsyncio": (*EVERYWHERE, "twisted-tcp", "twisted-unix"),
        "test_twisted.py::TestUvloop": (*EVERYWHERE, "twisted-tcp", "twisted-unix"),
    },
    "anyio": {
        "test_anyio.py::TestAsyncio": (*EVERYWHERE, "anyio-tcp", "anyio-unix"),
        "test_anyio.py::TestUvloop": (*EVERYWHERE, "anyio-tcp", "anyio-unix"),
        "test_anyio.py::TestTrio": (*EVERYWHERE, "anyio-tcp", "anyio-unix", "trio-tcp"),
    },
    "memory": {"test_memory.py::TestMemory": ("memory",)},
}
"""The eight variants and memory, and the types of channel that each has."""

HOSTS = {
    "test_hosts.py::TestAsyncioRun": HOSTED,
    "test_hosts.py::TestUvloopRun": HOSTED,
    "test_hosts.py::TestTrioRun": HOSTED,
    "test_hosts.py::TestSelectReactorRun": HOSTED,
    "test_hosts.py::TestPollReactorRun": HOSTED,
    "test_hosts.py::TestEpollReactorRun": HOSTED,
    "test_hosts.py::TestAsyncioReactorRun": HOSTED,
    "test_hosts.py::TestUvloopReactorRun": HOSTED,
}
"""The eight in a loop that somebody else started, and the types of channel that each has."""

VARIANTS = {
    **{name: channel_types for of in FRAMEWORKS.values() for name, channel_types in of.items()},
    **HOSTS,
}
"""Every class of tests that runs the contract, and the types of channel that it has."""

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
"""Where the rules of the loop are tried, which say nothing about connections: the first type of
channel that each backend names."""

CELL = re.compile(r"tests/contract/(\S+?)::test_([a-z]{3,4})_(\d\d)_\w+\[(\S+)\]")
"""The name of the test of one rule on one type of channel of one variant."""


@cache
def rules() -> tuple[str, ...]:
    """The rules' ids, from the contract."""
    return tuple(statements())


@cache
def expected(*, thorough: bool) -> frozenset[str]:
    """What a whole run of that tier passes: variant, rule and type of channel."""
    if not thorough:
        return frozenset(
            f"{variant} {rule} {channel_type}"
            for variants in FRAMEWORKS.values()
            for number, rule in enumerate(rules())
            for variant, channel_type in _dealt(variants, rule, number)
        )
    return frozenset(
        f"{variant} {rule} {channel_type}"
        for variant, channel_types in VARIANTS.items()
        for rule in rules()
        for channel_type in channel_types
        if _is_seen(rule, channel_type)
    )


def _is_seen(rule: str, channel_type: str) -> bool:
    if rule.startswith("LOOP-"):
        return channel_type in ONCE
    return channel_type == "memory" or channel_type.rpartition("-")[2] in PARTIAL.get(
        rule, EVERYWHERE
    )


def _dealt(variants: dict[str, tuple[str, ...]], rule: str, first: int) -> list[tuple[str, str]]:
    """The channel types on which *rule* can be seen, each dealt to a variant, and each variant with
    one.

    :param first: the number of the variant that gets the first.
    """
    names = list(variants)
    common = set.intersection(*(set(channel_types) for channel_types in variants.values()))
    shared = [
        channel_type
        for channel_type in variants[names[0]]
        if channel_type in common and _is_seen(rule, channel_type)
    ]
    dealt = [
        (names[(first + turn) % len(names)], shared[turn % len(shared)])
        for turn in range(max(len(names), len(shared)))
    ]
    own = [
        (name, channel_type)
        for name, channel_types in variants.items()
        for channel_type in channel_types
        if channel_type not in common and _is_seen(rule, channel_type)
    ]
    return dealt + own


def is_thorough(test: str) -> bool:
    """Whether the test of that name is left to the thorough tier.

    A variant or a type of channel that this file does not name is left out of neither, so that who
    adds one sees it run.
    """
    if test.startswith(THOROUGH):
        return True
    found = CELL.fullmatch(test)
    if found is None:
        return False
    name = cell(found)
    return name in expected(thorough=True) and name not in expected(thorough=False)


def cell(found: re.Match[str]) -> str:
    """What `expected` calls the test that `CELL` has found."""
    variant, chapter, number, channel_type = found.groups()
    return f"{variant} {chapter.upper()}-{number} {channel_type}"
