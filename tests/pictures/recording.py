"""A recording of ``halfclose demo`` in a terminal, which plays in a picture without any script.

What is on the screen is what the command wrote to a terminal of that width. The pace is ours, and
the same each time: in truth most of the time goes by before the first line. The picture without
its motion, which is its end too, is the whole screen.
"""

from __future__ import annotations

from html import escape

from cli.support import start
from cli.terminal import Terminal
from rich.console import Console
from rich.text import Text

from .drawing import MONO, Drawing

__all__ = ["draw", "narrow_recording", "recording", "screen"]

_COMMAND = "halfclose demo"
_ROW = 18.0
_LEFT, _TOP = 14.0, 30.0

_KEY, _PAUSE, _LINE = 0.06, 0.5, 0.08
"""Seconds between two keys, before the first line, and between two lines."""

_MOTION = (
    "@keyframes come{from{visibility:hidden}to{visibility:visible}}"
    ".c{animation:come .01s step-end backwards}"
    "@media(prefers-reduced-motion:reduce){.c{animation:none}}"
)

_COLOURS: dict[int | None, str] = {2: "good"}
"""The colours of a terminal that the command uses when all is well, by number."""


def screen(columns: int) -> list[Text]:
    """What the command writes to a terminal that is *columns* wide, as lines with their colours."""
    colours = {"TERM": "xterm-256color"}
    with (
        Terminal(columns) as terminal,
        start(*_COMMAND.split()[1:], stdout=terminal.program, env=colours) as command,
    ):
        terminal.rest()
        result = command.finish()
    assert result.status == 0, result
    return [Text.from_ansi(line) for line in terminal.raw.decode().splitlines()]


def draw(lines: list[Text], columns: int) -> str:
    """The picture of a terminal in which the command has written *lines*."""
    assert max(line.cell_len for line in lines) <= columns
    width = 2 * _LEFT + columns * MONO
    told = f"$ {_COMMAND}\n" + "\n".join(line.plain.rstrip() for line in lines)
    drawing = Drawing(
        _TOP + _ROW * (len(lines) + 1), f"{_COMMAND} in a terminal", told, _MOTION, width
    )
    drawing.box(1, 1, width - 2, _TOP + _ROW * (len(lines) + 1) - 2, round=6)
    drawing.raw(_typed())
    begun = _KEY * len(_COMMAND) + _PAUSE
    for number, line in enumerate(lines, 1):
        pieces = _pieces(line, _TOP + _ROW * number)
        if pieces:
            drawing.raw(f"<g{_coming(begun + _LINE * number)}>{pieces}</g>")
    return str(drawing)


def _coming(when: float) -> str:
    """The attributes of what is not there until *when*, in seconds."""
    return f' class="c" style="animation-delay:{when:.2f}s"'


def _typed() -> str:
    """The command's line, a key after another."""
    keys = [_text("$", 0, _TOP, "dim")]
    for place, key in enumerate(_COMMAND):
        if key != " ":
            keys.append(f"<g{_coming(_KEY * (place + 1))}>{_text(key, 2 + place, _TOP, '')}</g>")
    return "".join(keys)


def _pieces(line: Text, y: float) -> str:
    """*line*, in pieces of one colour."""
    pieces, column = [], 0
    for text, style, _ in line.render(Console(color_system="standard")):
        if text.strip():
            kinds = [
                name
                for name, on in (("bold", style and style.bold), ("dim", style and style.dim))
                if on
            ]
            if style and style.color:
                kinds.append(_COLOURS[style.color.number])
            spaces = len(text) - len(text.lstrip())
            pieces.append(_text(text.strip(), column + spaces, y, " ".join(kinds)))
        column += len(text)
    return "".join(pieces)


def _text(text: str, column: int, y: float, kinds: str) -> str:
    """*text* in its columns, however wide the letters of the reader's font are."""
    of_kind = f"mono {kinds}".strip()
    return (
        f'<text class="{of_kind}" x="{_LEFT + column * MONO:.1f}" y="{y:.0f}" '
        f'textLength="{len(text) * MONO:.1f}" lengthAdjust="spacingAndGlyphs">'
        f"{escape(text, quote=False)}</text>"
    )


def recording() -> str:
    """The picture of a terminal of 80 columns."""
    return draw(screen(80), 80)


def narrow_recording() -> str:
    """The picture of a terminal of 58 columns, which can be read on a phone."""
    return draw(screen(58), 58)
