"""The layers of core, from the table in docs/architecture.md: a layer imports only downwards."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from .drawing import LETTER, MONO, WIDTH, Drawing

__all__ = ["Layer", "draw", "layers_picture"]

ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"

_TITLE = "The layers of core"
_LEFT, _EDGE = 34.0, 12.0


class Layer(NamedTuple):
    """A line of the table.

    :param files: what is in it, each only importing what is to its left.
    """

    name: str
    files: list[str]
    what: str


def declared() -> list[Layer]:
    """The layers, as docs/architecture.md has them, the lowest first."""
    section = ARCHITECTURE.read_text().partition("\n## Layers\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|`]+) \| (`[^|]+`) \| ([^|]+) \|$", section, re.MULTILINE)
    return [Layer(name, re.findall(r"`([\w/]+)`", files), what) for name, files, what in rows]


def _lines(words: list[str], room: float) -> list[str]:
    """*words*, as many on a line as have room."""
    lines: list[str] = []
    for word in words:
        if lines and (len(lines[-1]) + 2 + len(word)) * MONO <= room:
            lines[-1] += f"  {word}"
        else:
            lines.append(word)
    return lines


def _beside(layer: Layer, room: float) -> bool:
    """Whether a layer's name and what it is have room on one line."""
    return (len(layer.name) * 1.1 + 2 + len(layer.what)) * LETTER <= room


def draw(layers: list[Layer]) -> str:
    """The picture of *layers*, the lowest first."""
    room = WIDTH - _LEFT - _EDGE - 20
    rows = [(layer, _lines(layer.files, room)) for layer in reversed(layers)]
    heights = [15 + 17 * (1 + len(files) + (not _beside(layer, room))) for layer, files in rows]
    bottom = 60 + sum(heights) + 6 * len(heights)
    told = " ".join(f"{each.name}: {', '.join(each.files)}; {each.what}." for each in layers)
    drawing = Drawing(bottom + 6, _TITLE, f"From the lowest to the highest. {told}")
    drawing.text(12, 26, _TITLE, "title")
    drawing.text(12, 46, "A file imports from below, and in its own layer from its left.", "dim")
    y = 60.0
    for (layer, files), height in zip(rows, heights, strict=True):
        drawing.box(_LEFT, y, WIDTH - _LEFT - _EDGE, height, round=6)
        drawing.text(_LEFT + 10, y + 20, layer.name, "bold")
        baseline = y + 20
        if _beside(layer, room):
            drawing.text(WIDTH - _EDGE - 10, baseline, layer.what, "dim end")
        else:
            baseline += 17
            drawing.text(_LEFT + 10, baseline, layer.what, "dim")
        for row, line in enumerate(files, 1):
            drawing.text(_LEFT + 10, baseline + 18 * row, line, "mono ours")
        y += height + 6
    drawing.arrow([(20, 64), (20, bottom - 8)])
    return str(drawing)


def layers_picture() -> str:
    """The picture of the table as it is now."""
    return draw(declared())
