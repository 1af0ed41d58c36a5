"""A chart for each work: bars, or curves."""

from __future__ import annotations

import statistics

from .bars import BARS, Growth
from .catalogue import CATALOGUE
from .figures import Summary, summary
from .results import Measured
from .svg import COLOURS, Drawing
from .words import curve_points, number
from .works.work import Work

__all__ = ["chart"]

_WIDTH = 760
_NAMES = 150
_VALUES = 70
_TOP = 58
_ROW = 24

_OUTLIER = 4.0
"""So many times longer than all others, a bar is cut: beside it they would all look alike."""


def chart(work: type[Work], measured: Measured) -> str:
    """An SVG document of the first run's medians.

    :raises ValueError: nothing was measured.
    """
    if not measured.rounds:
        raise ValueError(f"nothing was measured of {work.name}")
    return str(_curves(work, measured) if work.points else _bars(work, measured))


def _bars(work: type[Work], measured: Measured) -> Drawing:
    metric = work.metrics[0]
    rows = [server for server in CATALOGUE if server.name in measured.rounds]
    found = {server.name: summary(measured.values(server.name, metric.name)) for server in rows}
    longest = _longest(list(found.values()))
    scale = (_WIDTH - _NAMES - _VALUES) / longest
    drawing = Drawing(_WIDTH, _TOP + _ROW * len(rows) + 12, work.title)
    drawing.text(12, 24, work.title, "title")
    better = "more is better" if metric.more_is_better else "less is better"
    drawing.text(12, 43, f"{metric.title}, {metric.unit or 'number'}; {better}", "dim")
    for place, server in enumerate(rows):
        top = _TOP + place * _ROW
        each = found[server.name]
        drawing.text(_NAMES - 8, top + 15, server.name, "end")
        kind = "ours" if server.ours else "peer"
        end = _NAMES + min(each.median, longest) * scale
        drawing.box(_NAMES, top + 3, end - _NAMES, _ROW - 7, kind)
        if each.high > longest:
            drawing.line([(end - 18, top + _ROW - 2), (end - 10, top + 1)], "break")
        else:
            middle = top + _ROW / 2 - 0.5
            end = _NAMES + each.high * scale
            drawing.line([(_NAMES + each.low * scale, middle), (end, middle)], "spread")
        drawing.text(end + 6, top + 15, number(each.median))
    return drawing


def _longest(found: list[Summary]) -> float:
    """What the longest bar stands for."""
    *others, highest = sorted(each.high for each in found)
    if others and highest > _OUTLIER * others[-1] > 0:
        return others[-1] * 1.1
    return highest


_PLOT_HEIGHT = 260
_LEFT = 60
_LEGEND = 150


def _curves(work: type[Work], measured: Measured) -> Drawing:
    metric = work.metrics[0]
    points = curve_points(measured)
    names = [server.name for server in CATALOGUE if server.name in measured.rounds]
    medians = {
        name: [statistics.median(measured.values(name, point)) for point in points]
        for name in names
    }
    across = (_WIDTH - _LEFT - _LEGEND) / max(float(point) for point in points)
    limit = _limit(work)
    highest = max(limit or 0.0, *(max(values) for values in medians.values()))
    up = _PLOT_HEIGHT / (highest * 1.1 if highest > 0 else 1.0)
    bottom = _TOP + _PLOT_HEIGHT
    drawing = Drawing(_WIDTH, bottom + 48, work.title)
    drawing.text(12, 24, work.title, "title")
    drawing.text(12, 43, f"{metric.title}, {metric.unit}; flat is what it is to be", "dim")
    drawing.line([(_LEFT, _TOP), (_LEFT, bottom), (_WIDTH - _LEGEND, bottom)], "axis curve")
    for value in (0.0, highest / 2, highest):
        drawing.text(_LEFT - 6, bottom - value * up + 4, number(value), "dim end")
    for point in points:
        drawing.text(_LEFT + float(point) * across, bottom + 18, f"{int(point):,}", "dim middle")
    middle = (_LEFT + _WIDTH - _LEGEND) / 2
    drawing.text(middle, bottom + 38, work.points, "dim middle")
    if limit is not None:
        height = bottom - limit * up
        drawing.line([(_LEFT, height), (_WIDTH - _LEGEND, height)], "limit")
        drawing.text(_WIDTH - _LEGEND, height - 6, f"at most {limit:g}", "dim end")
    for place, name in enumerate(names):
        colour = place % COLOURS
        line = [
            (_LEFT + float(point) * across, bottom - value * up)
            for point, value in zip(points, medians[name], strict=True)
        ]
        drawing.line(line, f"curve line{colour}")
        top = _TOP + place * 20
        drawing.box(_WIDTH - _LEGEND + 16, top, 12, 12, f"mark{colour}")
        drawing.text(_WIDTH - _LEGEND + 34, top + 11, name)
    return drawing


def _limit(work: type[Work]) -> float | None:
    """The most that a bar allows at the last point of a curve, if one does."""
    for bar in BARS:
        if isinstance(bar, Growth) and bar.absolute and bar.work == work.name:
            return bar.limit
    return None
