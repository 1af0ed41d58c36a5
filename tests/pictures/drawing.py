"""Just enough SVG for pictures that can be read on a light and on a dark page, and on a phone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from math import atan2, degrees, hypot

from .palette import DARK, LIGHT, Palette

__all__ = ["LETTER", "MONO", "WIDTH", "Drawing", "Point"]

Point = tuple[float, float]

WIDTH = 480
"""The width of every picture, in units. A page on a phone has 328 pixels or so for it."""

MONO = 7.83
"""The width of a letter of a text of the class ``mono``."""

LETTER = 6.9
"""About the width of a letter of any other text."""

_LARGER = 1.25
"""How many pixels a unit has where there is room."""


def _colours(of: Palette) -> str:
    return (
        f".page{{fill:#{of.page}}}text{{fill:#{of.text}}}.dim{{fill:#{of.dim}}}"
        f".box{{fill:#{of.box};stroke:#{of.line}}}.line,.frame{{stroke:#{of.line}}}"
        f".arrow{{stroke:#{of.text}}}.head{{fill:#{of.text}}}"
        f".ours{{fill:#{of.ours}}}.theirs{{fill:#{of.theirs}}}.good{{fill:#{of.good}}}"
        f".line.ours{{stroke:#{of.ours}}}.line.theirs{{stroke:#{of.theirs}}}"
        f".on{{fill:#{of.page}}}"
    )


_STYLE = (
    "text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;white-space:pre}"
    ".mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace}"
    ".bold{font-weight:600}.title{font-weight:600;font-size:15px}"
    ".end{text-anchor:end}.middle{text-anchor:middle}"
    ".line,.arrow,.frame{fill:none;stroke-width:1.5}.frame,.dashed{stroke-dasharray:5 4}"
    ".thick{stroke-width:4}"
    f"{_colours(LIGHT)}@media(prefers-color-scheme:dark){{{_colours(DARK)}}}"
)


class Drawing:
    """A picture that shapes are added to. Lengths are in units, from the upper left corner.

    The kind of a shape is one class or several: ``ours``, ``theirs``, ``good`` and ``dim`` are
    colours; ``mono``, ``bold``, ``title``, ``end`` and ``middle`` are of texts; ``box`` is of
    rectangles; ``line``, ``frame``, ``dashed`` and ``thick`` are of lines.

    :param height: how high it is.
    :param title: its name, for people who do not see it.
    :param description: what is to be seen on it, for them.
    :param style: what it needs of CSS beside the common.
    :param width: how wide it is.
    """

    def __init__(
        self, height: float, title: str, description: str, style: str = "", width: float = WIDTH
    ) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_number(width)} '
            f'{_number(height)}" width="{width * _LARGER:.0f}" height="{height * _LARGER:.0f}" '
            'role="img" aria-labelledby="title desc">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="desc">{escape(description)}</desc>',
            f"<style>{_STYLE}{style}</style>",
            f'<rect class="page" width="{_number(width)}" height="{_number(height)}" rx="6"/>',
        ]

    def text(self, x: float, y: float, text: str, kind: str = "") -> None:
        """*text*, its baseline at *y*."""
        of_kind = f' class="{kind}"' if kind else ""
        self._parts.append(
            f'<text{of_kind} x="{_number(x)}" y="{_number(y)}">{escape(text, quote=False)}</text>'
        )

    def box(
        self, x: float, y: float, width: float, height: float, kind: str = "box", round: float = 4
    ) -> None:
        """A rectangle."""
        self._parts.append(
            f'<rect class="{kind}" x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" '
            f'height="{_number(height)}" rx="{_number(round)}"/>'
        )

    def line(self, points: Iterable[Point], kind: str = "line") -> None:
        """Straight from point to point."""
        path = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
        self._parts.append(f'<polyline class="{kind}" points="{path}"/>')

    def arrow(self, points: Sequence[Point], kind: str = "") -> None:
        """Straight from point to point, with a head at the last.

        :param kind: its colour; by default that of the text.
        """
        (x0, y0), (x, y) = points[-2:]
        length = hypot(x - x0, y - y0)
        along, across = (
            ((x - x0) / length, (y - y0) / length),
            ((y0 - y) / length, (x - x0) / length),
        )
        # The line ends inside of the head, so that it does not stick out at the tip.
        stem = (x - 6 * along[0], y - 6 * along[1])
        self.line([*points[:-1], stem], f"line {kind}" if kind else "arrow")
        corners = [(x, y)] + [
            (x - 9 * along[0] + side * across[0], y - 9 * along[1] + side * across[1])
            for side in (4, -4)
        ]
        path = " ".join(f"{_number(x)},{_number(y)}" for x, y in corners)
        self._parts.append(f'<polygon class="{kind or "head"}" points="{path}"/>')

    def slanted(self, start: Point, stop: Point, text: str, kind: str) -> None:
        """*text* above the middle of the line from *start* to *stop*, and along it."""
        (x0, y0), (x1, y1) = sorted((start, stop))
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        angle = degrees(atan2(y1 - y0, x1 - x0))
        self._parts.append(
            f'<text class="{kind}" transform="translate({_number(x)} {_number(y)}) '
            f'rotate({_number(angle)})" y="-5">{escape(text, quote=False)}</text>'
        )

    def dot(self, x: float, y: float, kind: str) -> None:
        """A dot with its centre at *x* and *y*."""
        self._parts.append(f'<circle class="{kind}" cx="{_number(x)}" cy="{_number(y)}" r="3.5"/>')

    def raw(self, svg: str) -> None:
        """*svg* as it is."""
        self._parts.append(svg)

    def __str__(self) -> str:
        return "\n".join([*self._parts, "</svg>", ""])


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
