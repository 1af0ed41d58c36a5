"""The command line."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.console import Console

from .catalogue import CATALOGUE, Server, named
from .cores import Cores, pin, raise_limit
from .document import write_document
from .measuring import measure, steps
from .progress import progress
from .results import Results, Run, describe_machine, load, save
from .table import measured_bars, print_bars, print_work
from .works.everything import WORKS
from .works.work import Scale, Work

__all__ = ["main"]

ROUNDS = 3

_WIDE = 160
"""Columns, where no terminal says how many there are."""

_README = Path(__file__).parents[2] / "README.md"
_DOCUMENT = _README.parent / "docs" / "benchmarks.md"

_QUICK = Scale(seconds=0.05, bulk=1 << 25, connections=300, idle=1000, growth=2)

_QUICK_WORKS = ("echo-1", "echo-64", "bulk-echo", "connections")


@click.command(context_settings={"max_content_width": 100})
@click.option(
    "--work", "works", multiple=True, type=click.Choice(list(WORKS)), help="Only this; repeatable."
)
@click.option(
    "--server",
    "servers",
    multiple=True,
    type=click.Choice([server.name for server in CATALOGUE]),
    help="Only this; repeatable.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=ROUNDS,
    help="Rounds, many of them short.  [3]",
)
@click.option("--runs", type=click.IntRange(1), default=1, help="Do everything so often.  [1]")
@click.option("--quick", is_flag=True, help="A minute or two: four works, and less of each.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write JSON here, work by work."
)
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measure nothing: show what --json wrote.",
)
@click.option("--docs", is_flag=True, help="Write README.md and docs: figures, charts.")
@click.option("--check", is_flag=True, help="Exit with 1 unless every bar is held.")
def main(
    works: tuple[str, ...],
    servers: tuple[str, ...],
    rounds: int,
    runs: int,
    quick: bool,
    json_path: Path | None,
    source: Path | None,
    docs: bool,
    check: bool,
) -> None:
    """Measure halfclose beside its peers, and the bare loop that is the floor.

    Every server has a process of its own on one core, the load generator another core. They are
    measured in turns. A figure is the median of the rounds.
    """
    if source is not None:
        try:
            results = load(source)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    else:
        chosen = [named(name) for name in servers] or list(CATALOGUE)
        names = works or (_QUICK_WORKS if quick else tuple(WORKS))
        scale = _QUICK if quick else Scale()
        cores = Cores()
        results = Results(
            _command(works, servers, quick, rounds, runs),
            describe_machine(chosen, str(cores)),
        )
        for so_far in _measure(names, chosen, scale, 1 if quick else rounds, runs, cores):
            results.runs = so_far
            # An hour's figures are not lost to what comes in its last minute.
            if json_path is not None:
                save(results, json_path)
    out = Console() if sys.stdout.isatty() else Console(width=_WIDE)
    for run in results.runs[:1]:
        for name, measured in run.works.items():
            print_work(out, name, measured)
    bars = measured_bars(results)
    if bars:
        print_bars(out, results, bars)
    if source is not None and json_path is not None:
        save(results, json_path)
    if docs:
        write_document(results, _DOCUMENT, _README)
    if check and not all(bar.held(run) for bar in bars for run in results.runs):
        raise SystemExit(1)


def _command(
    works: Sequence[str], servers: Sequence[str], quick: bool, rounds: int, runs: int
) -> str:
    """What was asked for, without what is done with the results."""
    words = ["python", "-m", "benchmarks"]
    words += [word for name in works for word in ("--work", name)]
    words += [word for name in servers for word in ("--server", name)]
    if quick:
        words.append("--quick")
    elif rounds != ROUNDS:
        words += ["--rounds", str(rounds)]
    if runs > 1:
        words += ["--runs", str(runs)]
    return shlex.join(words)


def _measure(
    names: Sequence[str],
    servers: Sequence[Server],
    scale: Scale,
    rounds: int,
    runs: int,
    cores: Cores,
) -> Iterator[list[Run]]:
    """All runs as far as they have come, each time that one more work is done."""
    pin(cores.load)
    raise_limit()
    works: list[Work] = [WORKS[name](scale, cores) for name in names]
    with progress(runs * steps(works, servers, rounds)) as advance:
        found: list[Run] = []
        for _ in range(runs):
            found.append(Run())
            for name, measured in measure(works, servers, rounds, advance):
                found[-1].works[name] = measured
                yield found
