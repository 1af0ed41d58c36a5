"""A chart for each work: bars, or curves. What is ours has one colour, and what is not another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from .bars import BARS, Growth
from .catalogue import CATALOGUE, Server
from .figures import Summary
from .results import Measured
from .svg import Drawing
from .words import curve_points, number
from .works.work import Work

__all__ = ["chart"]

_WIDTH = 760
_NAMES = 150
_VALUES = 70
_TOP = 78
_ROW = 24

_OUTLIER = 4.0
"""So many times longer than all others, a bar is cut: beside it they would all look alike."""


def chart(work: type[Work], measured: Measured) -> str:
    """An SVG document of the first run's medians.

    :raises ValueError: nothing was measured.
    """
    if not measured.figures:
        raise ValueError(f"nothing was measured of {work.name}")
    servers = [server for server in CATALOGUE if server.name in measured.figures]
    draw = _curves if work.points else _bars
    return str(draw(work, measured, servers))


def _kind(server: Server) -> str:
    """The class of what is drawn of *server*."""
    return "ours" if server.ours else "others"


def _head(drawing: Drawing, title: str, what: str, servers: Sequence[Server]) -> float:
    """The title, what is drawn, and the legend of the colours.

    :returns: where the legend ends.
    """
    drawing.text(12, 24, title, "title")
    drawing.text(12, 43, what, "dim")
    left = 12.0
    words = {"ours": "halfclose", "others": "without halfclose"}
    for kind in dict.fromkeys(map(_kind, servers)):
        drawing.box(left, 52, 12, 12, kind)
        drawing.text(left + 18, 63, words[kind])
        left += 40 + 7 * len(words[kind])
    return left


def _bars(work: type[Work], measured: Measured, servers: Sequence[Server]) -> Drawing:
    metric = work.metrics[0]
    found = {
        server: figure
        for server in servers
        if (figure := measured.figure(server.name, metric.name)) is not None
    }
    longest = _longest(list(found.values()))
    scale = (_WIDTH - _NAMES - _VALUES) / longest
    drawing = Drawing(_WIDTH, _TOP + _ROW * len(found) + 12, work.title)
    better = "more is better" if metric.more_is_better else "less is better"
    what = f"{metric.title}, {metric.unit or 'number'}: {better}"
    legend = _head(drawing, work.title, what, list(found))
    if any(each.low < each.high for each in found.values()):
        drawing.line([(legend, 58), (legend + 18, 58)], "spread")
        drawing.text(legend + 24, 63, "the middle half of the rounds")
    for place, (server, each) in enumerate(found.items()):
        top = _TOP + place * _ROW
        drawing.text(_NAMES - 8, top + 15, server.name, "end")
        end = _NAMES + min(each.median, longest) * scale
        drawing.box(_NAMES, top + 3, end - _NAMES, _ROW - 7, _kind(server))
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
_ENDS = 160
"""Room for the names at the ends of the curves."""

_LINE = 16
"""How far two of the names are apart at least."""


def _curves(work: type[Work], measured: Measured, servers: Sequence[Server]) -> Drawing:
    metric = work.metrics[0]
    points = curve_points(measured)
    medians = {server: _medians(measured, server, points) for server in servers}
    right = _WIDTH - _ENDS
    across = (right - _LEFT) / max(float(point) for point in points)
    limit = _limit(work)
    highest = max(limit or 0.0, *(max(values) for values in medians.values()))
    up = _PLOT_HEIGHT / (highest * 1.1 if highest > 0 else 1.0)
    bottom = _TOP + _PLOT_HEIGHT
    drawing = Drawing(_WIDTH, bottom + 48, work.title)
    what = f"{metric.title}, {metric.unit}: less is better, and a line should not rise"
    legend = _head(drawing, work.title, what, servers)
    drawing.line([(_LEFT, _TOP), (_LEFT, bottom), (right, bottom)], "axis")
    for value in (0.0, highest / 2, highest):
        drawing.text(_LEFT - 6, bottom - value * up + 4, number(value), "dim end")
    for point in points:
        drawing.text(_LEFT + float(point) * across, bottom + 18, f"{int(point):,}", "dim middle")
    drawing.text((_LEFT + right) / 2, bottom + 38, work.points, "dim middle")
    if limit is not None:
        height = bottom - limit * up
        drawing.line([(_LEFT, height), (right, height)], "limit")
        drawing.line([(legend, 58), (legend + 18, 58)], "limit")
        drawing.text(legend + 24, 63, f"at most {limit:g}")
    for server, values in medians.items():
        line = [
            (_LEFT + float(point) * across, bottom - value * up)
            for point, value in zip(points, values, strict=True)
        ]
        drawing.line(line, f"line {_kind(server)}")
    ends = {server: bottom - values[-1] * up for server, values in medians.items()}
    _name_ends(drawing, ends, bottom)
    return drawing


def _medians(measured: Measured, server: Server, points: Sequence[str]) -> list[float]:
    return [measured.figures[server.name][point].median for point in points]


def _name_ends(drawing: Drawing, ends: Mapping[Server, float], bottom: float) -> None:
    """Write the name of each curve beside its end, or as near as there is room.

    :param ends: the height at which each ends, from above.
    :param bottom: the lowest that a name may be.
    """
    right = _WIDTH - _ENDS
    servers = sorted(ends, key=lambda server: ends[server])
    heights = _apart([ends[server] for server in servers], bottom)
    for server, height in zip(servers, heights, strict=True):
        drawing.line([(right + 2, ends[server]), (right + 18, height)], "leader")
        drawing.text(right + 22, height + 4, server.name)


def _apart(heights: Sequence[float], bottom: float) -> list[float]:
    """*heights*, which ascend, moved as little as makes each `_LINE` from the next."""
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while (
            len(groups) > 1
            and _places(groups[-2], bottom)[-1] + _LINE > (_places(groups[-1], bottom)[0])
        ):
            last = groups.pop()
            groups[-1] += last
    return [place for group in groups for place in _places(group, bottom)]


def _places(group: Sequence[float], bottom: float) -> list[float]:
    """The middle of what is as near to each other as can be stays where it was."""
    size = _LINE * (len(group) - 1)
    first = min(fmean(group) - size / 2, bottom - size)
    return [first + _LINE * place for place in range(len(group))]


def _limit(work: type[Work]) -> float | None:
    """The most that a bar allows at the last point of a curve, if one does."""
    for bar in BARS:
        if isinstance(bar, Growth) and bar.absolute and bar.work == work.name:
            return bar.limit
    return None
