"""``halfclose demo``: holds one conversation on every variant, and shows them side by side."""

from __future__ import annotations

from collections import Counter

from .. import running
from ..backend import Backend
from ..discovery import available_backends, find_backend, none_installed
from ..reasons import BackendError
from ..text import one_line
from .agreement import Agreement
from .conversation import converse
from .demo_table import table
from .ladder import Events
from .listing import load_error
from .report import FAILED, Problem
from .screen import console
from .signals import Signals

__all__ = ["demo"]


async def _converse(backend: Backend, signals: Signals) -> Events:
    signals.attach(backend)
    return await converse(backend)


def _variants() -> list[str]:
    """The names of the variants, and of the backends that have none."""
    names = [name for name in available_backends() if _is_real(name)]
    parents = {name.partition("+")[0] for name in names if "+" in name}
    return [name for name in names if name not in parents]


def _is_real(name: str) -> bool:
    """Whether programs run on the backend. One for tests, such as memory, is left out."""
    try:
        return find_backend(name).automatic
    except BackendError:
        return True  # It stays in the list, so that the user learns that it does not load.


def demo() -> int:
    """Run the conversation on every variant, and print what both ends saw on each.

    :returns: the exit status: 0 if all variants that load agree.
    :raises Problem: there is no variant.
    :raises Stopped: a signal came.
    """
    seen: dict[str, Events] = {}
    notes: list[str] = []
    failed = unloaded = 0
    for name in _variants():
        error = load_error(name)
        if error is not None:
            unloaded += 1
            notes.append(f"{name}: {error}")
            continue
        try:
            with Signals() as signals:
                seen[name] = running.run(_converse, signals, backend=name)
        except Exception as problem:
            failed += 1
            notes.append(f"{name} failed: {type(problem).__name__}: {one_line(problem)}")
    if not seen and not notes:
        raise Problem(none_installed())
    out = console()
    agreeing = 0
    if seen:
        agreement = Agreement(Counter(seen.values()).most_common(1)[0][0], seen)
        # The verdict counts the marks that the table shows, and nothing else.
        agreeing = len(agreement.agreeing)
        for line in table(agreement, out.width):
            line.rstrip()
            # With soft_wrap rich cuts no line that is wider than the screen.
            out.print(line, soft_wrap=True)
        notes += [_difference(name, seen[name]) for name in seen if name not in agreement.agreeing]
    for note in notes:
        out.print(f"\n{note}", soft_wrap=True)
    out.print("\n" + _verdict(agreeing, len(seen) + failed, unloaded), soft_wrap=True)
    return 0 if seen and agreeing == len(seen) and not failed else FAILED


def _difference(name: str, events: Events) -> str:
    """A line with all that both ends saw on a variant that differs."""
    ends = (
        f"{end}: {', '.join(str(entry).strip() for entry in entries)}"
        for end, entries in zip(("client", "server"), events, strict=True)
    )
    return f"{name} differs: " + "; ".join(ends)


def _verdict(agreeing: int, ran: int, unloaded: int) -> str:
    """The last line: how many variants agree."""
    rest = f" ({unloaded} not loaded)" if unloaded else ""
    if agreeing < ran or not ran:
        return f"They do not agree: {agreeing} of {ran} variants went as above{rest}."
    if ran == 1:
        return f"Only 1 variant ran{rest}: there is nothing to compare."
    return f"All {ran} variants agree{rest}."
