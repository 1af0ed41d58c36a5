"""Runs the suite on any installed backends, without pytest."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable

from ..hosts import HALFCLOSE_RUN, Host, load_hosts
from .case import TIME_LIMIT, Case, try_connections
from .explaining import demand_assertions
from .importing import import_explained
from .isolation import each
from .verdict import Verdict

__all__ = ["check", "plan"]


def plan(backend: str, only: Iterable[str] = (), *, hosts: bool = False) -> list[Case]:
    """Every rule on every type of channel of the backend of that name.

    :param only: ids of rules, or of chapters such as ``"EVT"``; by default all.
    :param hosts: also under each host that the backend names, beside `halfclose.run`.
    :raises BackendNotFound: no such backend is installed.
    :raises BackendLoadError: it does not load.
    :raises RuntimeError: Python runs without assertions.
    :raises LookupError: there is no such rule; its message names it, and the chapters.
    """
    demand_assertions()
    import_explained()
    from .suite import ContractSuite

    rules = ContractSuite.rules()
    asked = {wanted.upper() for wanted in only}
    chapters = {identifier.partition("-")[0] for identifier in rules}
    unknown = sorted(asked - set(rules) - chapters)
    if unknown:
        raise LookupError(
            f"the contract has no rule {unknown[0]!r}; its chapters are "
            f"{', '.join(sorted(chapters))}, and a rule is such as EVT-05"
        )
    suites: list[tuple[type[ContractSuite], Host]] = [
        (type("Suite", (ContractSuite,), {"backend": backend, "host": host.name}), host)
        for host in (HALFCLOSE_RUN, *(load_hosts(backend) if hosts else ()))
    ]
    return [
        Case(suite(), backend, channel_type, rule, host)
        for rule in rules.values()
        if not asked or {rule.identifier, rule.identifier.partition("-")[0]} & asked
        for suite, host in suites
        for channel_type in suite.channel_types_of(rule)
    ]


def check(
    cases: Iterable[Case], jobs: int | None = None, limit: float = TIME_LIMIT
) -> Generator[Verdict, None, None]:
    """Judge *cases*, each in a process of its own, and give each verdict as it comes.

    Closing the generator kills what still runs.

    :param jobs: how many run at once; by default one for each processor.
    :param limit: seconds for each; then it is killed, and has failed.
    """

    cases = list(cases)
    jobs = jobs or os.cpu_count() or 1
    try_connections(cases, jobs, limit)
    for case, result in each((case.work(limit) for case in cases), jobs, limit):
        yield case.conclude(result, limit)
