"""``halfclose contract``: tests which rules of the contract backends keep."""

from __future__ import annotations

import difflib
import json
import os
import time
from collections.abc import Sequence
from contextlib import closing

from ..reasons import BackendError
from ..testing.judging.runner import check, plan
from ..text import one_line
from .failures import print_failures
from .listing import installed, load_error
from .progress import progress
from .proof import Proof, Tried
from .proof_table import print_table
from .report import FAILED, USAGE, Problem, say
from .screen import console
from .stopping import Stopped, stoppable

__all__ = ["contract"]


def contract(
    names: Sequence[str],
    only: Sequence[str],
    *,
    hosts: bool,
    jobs: int | None,
    limit: float,
    as_json: bool,
    verbose: bool,
) -> int:
    """Test backends against the contract, and print the verdict on each rule.

    :param names: names of the backends; a name that comes twice counts once.
    :param only: ids of rules or chapters; empty: all rules.
    :param hosts: whether rules run also under each host that a backend names.
    :param jobs: how many cases run at once; None: one for each processor.
    :param limit: seconds after which a case is killed and has failed.
    :param as_json: whether to print one JSON object in place of a table.
    :param verbose: whether to print every report in full.
    :returns: the exit status: 0 if every backend loads and keeps every rule.
    :raises BackendNotFound: a backend is not installed; nothing has run.
    :raises Problem: *only* names no rule, or the rules cannot be tested on any channel type.
    :raises Stopped: a signal came; the verdicts until then have been printed.
    """
    _fill_standard_descriptors()
    proof = Proof([_planned(name, only, hosts) for name in installed(names)])
    for tried in proof.backends:
        if tried.error is not None:
            say(f"halfclose: {tried.error}")
    if proof.loaded and not proof.planned:
        raise Problem(
            f"on no type of channel of {', '.join(tried.name for tried in proof.loaded)} can "
            f"{', '.join(only)} be seen",
            USAGE,
        )
    stopped = _judge(proof, jobs, limit)
    if as_json:
        print(json.dumps(proof.told(), indent=2))
    elif proof.loaded:
        _print(proof, verbose)
    if stopped is not None:
        raise stopped
    return 0 if proof.kept else FAILED


def _fill_standard_descriptors() -> None:
    # Else a file that is opened for a case could get the number of a closed standard descriptor.
    while True:
        number = os.open(os.devnull, os.O_RDWR)
        if number > 2:
            os.close(number)
            return


def _planned(name: str, only: Sequence[str], hosts: bool) -> Tried:
    """The cases of one backend, or why it does not load.

    :raises Problem: *only* names no rule.
    """
    error = load_error(name)
    try:
        cases = plan(name, only, hosts=hosts)
    except (BackendError, SystemExit) as failed:
        return Tried(name, error=error or one_line(failed))
    except LookupError as unknown:
        raise Problem(one_line(unknown) + _close_to(only), USAGE) from None
    return Tried(name, cases) if error is None else Tried(name, error=error)


def _close_to(only: Sequence[str]) -> str:
    """A hint at rules with a similar id, for the one of *only* that is no rule.

    If several are none, it is the alphabetically first, which `plan` has complained about.
    """
    # Imported after `plan`, which first has pytest rewrite the suite's assertions.
    from ..testing import ContractSuite

    rules = ContractSuite.rules()
    known = [*rules, *{identifier.partition("-")[0] for identifier in rules}]
    wanted = min(each.upper() for each in only if each.upper() not in known)
    close = difflib.get_close_matches(wanted, known, n=3)
    return f". Did you mean {' or '.join(close)}?" if close else ""


def _judge(proof: Proof, jobs: int | None, limit: float) -> Stopped | None:
    """Judge all cases and put the verdicts into *proof*.

    :returns: the signal that came before the end; None: none did.
    """
    by_name = {tried.name: tried for tried in proof.backends}
    cases = [case for tried in proof.backends for case in tried.cases]
    judging = check(cases, jobs, limit)
    begun = time.monotonic()
    broken = 0
    signalled: Stopped | None = None
    try:
        with (
            stoppable(),
            progress(len(cases)) as advance,
            closing(judging) as verdicts,
        ):
            for verdict in verdicts:
                by_name[verdict.backend].verdicts.append(verdict)
                broken += not verdict.passed
                advance(f"{verdict.backend} {verdict.rule}", f"{broken} broken" if broken else "")
    except Stopped as stopped:
        signalled = stopped
    proof.seconds = time.monotonic() - begun
    for tried in proof.backends:
        tried.sort()
    return signalled


def _print(proof: Proof, verbose: bool) -> None:
    out = console()
    print_table(out, proof)
    print_failures(out, proof.broken, whole=verbose)
    out.print(f"\n{_summary(proof)}", soft_wrap=True)


def _summary(proof: Proof) -> str:
    """The last line: how many rules were kept or broken, in how many cases."""
    judged, broken = len(proof.verdicts), proof.broken
    unloaded = len(proof.backends) - len(proof.loaded)
    if not proof.complete:
        text = f"Interrupted: {judged} of {proof.planned} cases were judged, {len(broken)} failed"
    elif broken:
        text = (
            f"Broken: {len({each.rule for each in broken})} of {_count(proof.rules, 'rule')}, "
            f"in {len(broken)} of {_count(proof.verdicts, 'case')}, "
            f"on {len({each.backend for each in broken})} of {_count(proof.loaded, 'backend')}"
        )
    else:
        text = (
            f"Kept: {_count(proof.rules, 'rule')} in {_count(proof.verdicts, 'case')} "
            f"on {_count(proof.loaded, 'backend')}"
        )
    return f"{text}{f' ({unloaded} not loaded)' if unloaded else ''}; {proof.seconds:.1f} s."


def _count(things: Sequence[object], name: str) -> str:
    """How many *things* there are, with *name* in the singular or plural."""
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
