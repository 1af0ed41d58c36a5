"""The tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .bars import BARS, Bar
from .catalogue import CATALOGUE
from .metric import BUSY, LOAD_BUSY
from .results import Measured, Results
from .words import bound_by_generator, curve_points, number
from .works.everything import WORKS
from .works.work import Work

__all__ = ["measured_bars", "print_bars", "print_work"]


def print_work(out: Console, name: str, measured: Measured) -> None:
    """One work: a line for each server, and why there is none."""
    work = WORKS[name]
    table = Table(title=work.title, title_justify="left", title_style="bold", box=None)
    table.add_column("")
    columns = _columns(work, measured)
    for heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for server in CATALOGUE:
        if server.name in measured.figures:
            cells = [_cell(measured, server.name, metric) for _, metric in columns]
            style = "bold" if server.ours else ""
            note = " *" if bound_by_generator(measured, server.name) else ""
            table.add_row(Text(server.name + note, style), *cells)
    out.print(table if measured.figures else Text(work.title, "bold"))
    for server_name, why in measured.without.items():
        out.print(Text(f"  {server_name}: {why}", "yellow"), soft_wrap=True)
    if any(bound_by_generator(measured, name) for name in measured.figures):
        out.print(Text("  * the generator was the bottleneck", "dim"))
    out.print()


def _columns(work: type[Work], measured: Measured) -> list[tuple[str, str]]:
    if work.points:
        metric = work.metrics[0]
        return [
            (f"{point} {work.points}\n{metric.unit}", point) for point in curve_points(measured)
        ]
    return [(f"{metric.title}\n{metric.unit}", metric.name) for metric in work.metrics]


def _cell(measured: Measured, server: str, metric: str) -> Text:
    found = measured.figure(server, metric)
    if found is None:
        return Text("-", "dim")
    text = Text(number(found.median))
    if found.low < found.high and found.median and metric not in (BUSY.name, LOAD_BUSY.name):
        spread = 50 * (found.high - found.low) / abs(found.median)
        text.append(f" ±{spread:.0f}%".rjust(6), "dim")
    return text


def measured_bars(results: Results) -> Sequence[Bar]:
    """The bars of the works and servers that were asked for."""

    def asked(bar: Bar) -> bool:
        works = [run.works[bar.work] for run in results.runs if bar.work in run.works]
        return any(bar.servers <= {*work.figures, *work.without} for work in works)

    return [bar for bar in BARS if asked(bar)]


def print_bars(out: Console, results: Results, bars: Iterable[Bar]) -> None:
    """Each bar, its ratio in each run with the spread of single rounds, and whether it held."""
    table = Table(title="Bars", title_justify="left", title_style="bold", box=None)
    for heading in ("work", "", "bar"):
        table.add_column(heading)
    for place in range(1, len(results.runs) + 1):
        table.add_column(f"run {place}", justify="right")
    table.add_column("")
    for bar in bars:
        cells = []
        for run in results.runs:
            found = bar.measured(run)
            if found is None:
                cells.append(Text("not measured", "red"))
                continue
            cell = Text(f"{found.median:.2f}", "green" if bar.held(run) else "bold red")
            cell.append(f" {found.low:.2f}-{found.high:.2f}", "dim")
            cells.append(cell)
        held = all(bar.held(run) for run in results.runs)
        verdict = Text("held", "green") if held else Text("MISSED", "bold red")
        table.add_row(bar.work, bar.ours, bar.claim, *cells, verdict)
    out.print(table)
