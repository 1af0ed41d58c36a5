"""Just enough SVG for charts that can be read on a light and on a dark page."""

from __future__ import annotations

from html import escape

__all__ = ["COLOURS", "Drawing"]

COLOURS = 8
"""How many colours the classes ``line0``, ``line1``, ... have."""

_LINES_LIGHT = ["0969da", "bc4c00", "1a7f37", "8250df", "bf3989", "9a6700", "cf222e", "57606a"]
_LINES_DARK = ["58a6ff", "f0883e", "3fb950", "bc8cff", "f778ba", "d29922", "ff7b72", "8b949e"]


def _palette(page: str, text: str, dim: str, ours: str, peer: str, lines: list[str]) -> str:
    strokes = "".join(
        f".line{place}{{stroke:#{colour}}}.mark{place}{{fill:#{colour}}}"
        for place, colour in enumerate(lines)
    )
    return (
        f".page{{fill:#{page}}}text{{fill:#{text}}}.dim{{fill:#{dim}}}"
        f".axis,.spread,.limit{{stroke:#{dim}}}.break{{stroke:#{page}}}"
        f".ours{{fill:#{ours}}}.peer{{fill:#{peer}}}" + strokes
    )


_STYLE = (
    "text{font:13px system-ui,sans-serif}.title{font-weight:600;font-size:15px}"
    ".end{text-anchor:end}.middle{text-anchor:middle}"
    ".curve{fill:none;stroke-width:2}.axis,.spread,.limit{stroke-width:1}"
    ".limit{stroke-dasharray:5 4}.break{stroke-width:4}"
    + _palette("ffffff", "1f2328", "656d76", "0969da", "afb8c1", _LINES_LIGHT)
    + "@media(prefers-color-scheme:dark){"
    + _palette("0d1117", "e6edf3", "8d96a0", "58a6ff", "484f58", _LINES_DARK)
    + "}"
)


class Drawing:
    """A picture that shapes are added to. Lengths are in pixels, from the upper left corner.

    Classes: ``ours``, ``peer``, ``dim``, ``axis``, ``spread``, ``limit``, ``break``, ``title``,
    ``end``, ``middle``, ``curve``, ``lineN`` and ``markN``.
    """

    def __init__(self, width: int, height: int, title: str) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="page" width="{width}" height="{height}"/>',
        ]

    def text(self, x: float, y: float, text: str, kind: str = "") -> None:
        """*text*, its baseline at *y*."""
        self._parts.append(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>')

    def box(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """A filled rectangle."""
        self._parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}" rx="2"/>'
        )

    def line(self, points: list[tuple[float, float]], kind: str) -> None:
        """Straight from point to point."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polyline class="{kind}" points="{path}"/>')

    def __str__(self) -> str:
        return "\n".join([*self._parts, "</svg>", ""])
