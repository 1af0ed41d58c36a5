"""The colours of every picture and chart, for a light and for a dark page."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DARK", "LIGHT", "Palette", "contrast"]


class Palette(NamedTuple):
    """Colours, each as six hexadecimal digits.

    :param page: behind everything.
    :param box: the inside of a box.
    :param line: the edge of a box, and other lines that need not be told from each other.
    :param ours: the client and what comes from it; in a chart, what is ours.
    :param theirs: the server and what comes from it.
    :param others: in a chart, what is not ours.
    """

    page: str
    text: str
    dim: str
    box: str
    line: str
    ours: str
    theirs: str
    good: str
    others: str


LIGHT = Palette(
    page="ffffff",
    text="1f2328",
    dim="656d76",
    box="f6f8fa",
    line="8c959f",
    ours="0969da",
    theirs="bc4c00",
    good="1a7f37",
    others="afb8c1",
)

DARK = Palette(
    page="0d1117",
    text="e6edf3",
    dim="8d96a0",
    box="161b22",
    line="6e7681",
    ours="58a6ff",
    theirs="f0883e",
    good="3fb950",
    others="484f58",
)


def contrast(one: str, other: str) -> float:
    """How well two colours are told apart, from 1 to 21 (WCAG 2.2)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4))
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
