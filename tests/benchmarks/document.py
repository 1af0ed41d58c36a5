"""The measured parts of docs/benchmarks.md and of the README, and the charts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from .catalogue import CATALOGUE
from .charts import chart
from .headline import by_loop, headline
from .metric import Metric
from .results import Measured, Results, Run, save
from .table import measured_bars
from .words import bound_by_generator, number, with_quartiles
from .works.everything import WORKS

__all__ = ["BEGIN", "END", "write_document"]

BEGIN = "<!-- measured: begin -->"
END = "<!-- measured: end -->"

_FOLDER = "benchmarks"


def write_document(results: Results, document: Path, readme: Path) -> None:
    """Put what was measured between the two marks in *document*; charts and JSON go beside it.

    :param readme: has the same marks, for the headline.
    :raises ValueError: either has no such marks.
    """
    _fill(readme, headline(results.runs))
    _fill(document, _lines(results))
    folder = document.parent / _FOLDER
    folder.mkdir(exist_ok=True)
    save(results, folder / "results.json")
    run = results.runs[0]
    for name, measured in run.works.items():
        if measured.figures:
            (folder / f"{name}.svg").write_text(chart(WORKS[name], measured))


def _fill(document: Path, lines: Iterable[str]) -> None:
    before, begin, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document} has no {BEGIN} and {END}")
    text = "\n".join(lines)
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def _lines(results: Results) -> Iterator[str]:
    yield f"Made by `{results.command}`, the charts and the table of medians from its first run."
    yield ""
    yield ", ".join(f"{name} {value}" for name, value in results.machine.items()) + "."
    yield ""
    run = results.runs[0]
    yield "### By event loop"
    yield ""
    yield from by_loop(results.runs)
    yield ""
    yield "### Charts"
    yield ""
    for name, measured in run.works.items():
        yield from _chart(name, measured)
    yield "### Bars"
    yield ""
    yield from _bars(results)
    yield "### Medians"
    yield ""
    yield from _medians(run)


def _chart(name: str, measured: Measured) -> Iterator[str]:
    if measured.figures:
        yield f"![{WORKS[name].title}]({_FOLDER}/{name}.svg)"
        yield ""
    for server, why in measured.without.items():
        yield f"- {name}, {server}: {why}"
    if measured.without:
        yield ""


def _bars(results: Results) -> Iterator[str]:
    runs = range(1, len(results.runs) + 1)
    yield "| work | | bar | " + " | ".join(f"run {place}" for place in runs) + " | |"
    yield "| --- " * (len(runs) + 4) + "|"
    for bar in measured_bars(results):
        cells = []
        for run in results.runs:
            found = bar.measured(run)
            cells.append("not measured" if found is None else with_quartiles(found))
        verdict = "held" if all(bar.held(run) for run in results.runs) else "**missed**"
        yield f"| {bar.work} | {bar.ours} | {bar.claim} | " + " | ".join(cells) + f" | {verdict} |"
    yield ""


def _medians(run: Run) -> Iterator[str]:
    columns = [
        (name, metric)
        for name in run.works
        if not WORKS[name].points
        for place, metric in enumerate(WORKS[name].metrics)
        if place == 0 or metric.documented
    ]
    yield "| | " + " | ".join(_heading(name, metric) for name, metric in columns) + " |"
    yield "| --- " + "| ---: " * len(columns) + "|"
    for server in CATALOGUE:
        cells = []
        for name, metric in columns:
            measured = run.works[name]
            found = measured.figure(server.name, metric.name)
            note = "\\*" if bound_by_generator(measured, server.name) else ""
            cells.append("-" if found is None else number(found.median) + note)
        yield f"| {server.name} | " + " | ".join(cells) + " |"
    yield ""
    yield "\\*: the load generator was the bottleneck."
    yield ""


def _heading(name: str, metric: Metric) -> str:
    what = f"{name}: {metric.title}" if metric.documented else name
    return f"{what}, {metric.unit or 'number'}"
