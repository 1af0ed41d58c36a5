"""Just enough SVG for charts that can be read on a light and on a dark page."""

from __future__ import annotations

from html import escape

from pictures.palette import DARK, LIGHT, Palette

__all__ = ["Drawing"]


def _colours(of: Palette) -> str:
    return (
        f".page{{fill:#{of.page}}}text{{fill:#{of.text}}}.dim{{fill:#{of.dim}}}"
        f".axis,.spread,.limit,.leader{{stroke:#{of.dim}}}.break{{stroke:#{of.page}}}"
        f".ours{{fill:#{of.ours}}}.others{{fill:#{of.others}}}"
        f".line.ours{{fill:none;stroke:#{of.ours}}}.line.others{{fill:none;stroke:#{of.others}}}"
    )


_STYLE = (
    "text{font:13px system-ui,sans-serif}.title{font-weight:600;font-size:15px}"
    ".end{text-anchor:end}.middle{text-anchor:middle}"
    "polyline{fill:none}.line,.axis{stroke-width:2}.spread,.limit,.leader{stroke-width:1}"
    ".limit{stroke-dasharray:5 4}.leader{opacity:.5}.break{stroke-width:4}"
    + _colours(LIGHT)
    + "@media(prefers-color-scheme:dark){"
    + _colours(DARK)
    + "}"
)


class Drawing:
    """A picture that shapes are added to. Lengths are in pixels, from the upper left corner.

    Classes: ``ours``, ``others``, ``dim``, ``title``, ``end``, ``middle``; of lines ``line``,
    ``axis``, ``spread``, ``limit``, ``leader`` and ``break``.
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
