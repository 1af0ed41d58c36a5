"""The life of a connection, from the table in `halfclose.lifecycle`: as a picture, and as a text.

The places of the states are chosen here. Which arrows there are, and what stands on them, is the
table's. What leads from nearly everywhere to one state is drawn once, from a frame.
"""

from __future__ import annotations

from halfclose.lifecycle import TABLE, Move, State

from .drawing import WIDTH, Drawing, Point

__all__ = ["life_cycle", "table"]

_WIDE, _HIGH = 112.0, 40.0
_LEFT, _MIDDLE, _RIGHT = 78.0, WIDTH / 2, WIDTH - 78.0
_INNER, _OUTER = 392.0, 402.0
"""Where the frames end."""

_PLACES: dict[State, Point] = {
    State.CONNECTING: (_MIDDLE, 74),
    State.OPEN: (_MIDDLE, 160),
    State.READ_CLOSED: (_LEFT, 256),
    State.WRITE_CLOSING: (_MIDDLE, 256),
    State.WRITE_CLOSED: (_RIGHT, 256),
    State.READ_CLOSED_WRITE_CLOSING: ((_LEFT + _MIDDLE) / 2, 352),
    State.CLOSED: (_LEFT, 488),
    State.ENDED: (_MIDDLE, 488),
    State.CLOSING: (_RIGHT, 488),
}
"""The middle of each state's box."""

_TITLE = "The life of a connection"


class _Arrows:
    """The moves that are drawn each by itself, and the two that are drawn from a frame."""

    def __init__(self) -> None:
        self.closable = _from(Move.CLOSE)
        self.finishable = _from(Move.FINISH)
        assert {TABLE[state][Move.CLOSE] for state in self.closable} == {State.CLOSING}
        assert {TABLE[state][Move.FINISH] for state in self.finishable} == {State.ENDED}
        self.left = {
            (state, target): move
            for state, moves in TABLE.items()
            for move, target in moves.items()
            if move is not Move.CLOSE and (move is not Move.FINISH or state is State.CLOSING)
        }

    def take(self, state: State, target: State) -> str:
        """What stands on the arrow between these; it counts as drawn."""
        word: str = self.left.pop((state, target)).value
        return word


def _from(move: Move) -> set[State]:
    return {state for state, moves in TABLE.items() if move in moves}


def life_cycle() -> str:
    """The picture.

    :raises AssertionError: the table has a move or a state that the picture has no place for.
    """
    drawing = Drawing(546, _TITLE, _told())
    arrows = _Arrows()
    assert set(_PLACES) == set(State)
    drawing.text(12, 26, _TITLE, "title")
    _frames(drawing, arrows)
    for state, (x, y) in _PLACES.items():
        drawing.box(x - _WIDE / 2, y - _HIGH / 2, _WIDE, _HIGH, round=8)
        lines = _broken(state.value)
        for row, line in enumerate(lines):
            drawing.text(x, y + 4.5 + 15 * (row - (len(lines) - 1) / 2), line, "bold middle")
    _inside(drawing, arrows)
    _out(drawing, arrows)
    drawing.text(12, 532, "An arrow from a frame leads from every state in it.", "dim")
    assert not arrows.left, f"the picture lacks {arrows.left}"
    return str(drawing)


def _broken(name: str) -> list[str]:
    """The name of a state in lines that fit its box."""
    if len(name) <= 16:
        return [name]
    first, second = name.split("-closed-", 1)
    return [f"{first}-closed-", second]


def _frames(drawing: Drawing, arrows: _Arrows) -> None:
    """A frame around what has `Move.FINISH`, and in it one around what has `Move.CLOSE`."""
    inner = {state for state in _PLACES if state in arrows.closable}
    outer = arrows.finishable - {State.CLOSING}
    top = min(_PLACES[state][1] for state in inner) - 34
    assert outer == inner | {State.CONNECTING}
    assert all((state in inner) == (top < y < 420) for state, (_, y) in _PLACES.items())
    drawing.box(6, 44, WIDTH - 12, _OUTER - 44, "frame", 10)
    drawing.box(13, top, WIDTH - 26, _INNER - top, "frame", 8)


def _inside(drawing: Drawing, arrows: _Arrows) -> None:
    """The arrows from one state to another near it."""
    half, high = _WIDE / 2, _HIGH / 2
    places = _PLACES

    def down(state: State, target: State, start: float, stop: float, at: Point, kind: str) -> None:
        (x0, y0), (x1, y1) = places[state], places[target]
        drawing.arrow([(x0 + start, y0 + high), (x1 + stop, y1 - high)])
        drawing.text(*at, arrows.take(state, target), f"dim {kind}")

    opened = places[State.OPEN][1]
    assert next(iter(TABLE)) is State.CONNECTING
    down(State.CONNECTING, State.OPEN, 0, 0, (_MIDDLE + 8, 113), "")
    down(State.OPEN, State.READ_CLOSED, -30, 0, (_LEFT + 38, opened + 44), "end")
    down(State.OPEN, State.WRITE_CLOSING, 0, 0, (_MIDDLE + 8, opened + 53), "")
    down(State.OPEN, State.WRITE_CLOSED, 30, 0, (_RIGHT - 38, opened + 44), "")
    y = places[State.WRITE_CLOSING][1]
    rcwc = State.READ_CLOSED_WRITE_CLOSING
    down(State.READ_CLOSED, rcwc, 10, -30, (_LEFT + 42, y + 48), "")
    down(State.WRITE_CLOSING, rcwc, -10, 30, (_MIDDLE - 15, y + 48), "")
    start, stop = _MIDDLE + half, _RIGHT - half
    drawing.arrow([(start, y), (stop, y)])
    above, below = arrows.take(State.WRITE_CLOSING, State.WRITE_CLOSED).split()
    drawing.text((start + stop) / 2 - 2, y - 6, above, "dim middle")
    drawing.text((start + stop) / 2 - 2, y + 16, below, "dim middle")


def _out(drawing: Drawing, arrows: _Arrows) -> None:
    """The arrows to the states in which the connection is over."""
    half, high = _WIDE / 2, _HIGH / 2
    y = _PLACES[State.ENDED][1]
    above, turn = y - high, 422.0
    # Both moves have the same name, so they share the last part of the way.
    left, joined = _LEFT - 40, _MIDDLE - 44
    words = {
        arrows.take(state, State.ENDED)
        for state in (State.READ_CLOSED, State.READ_CLOSED_WRITE_CLOSING)
    }
    (written,) = words
    x, below = _PLACES[State.READ_CLOSED_WRITE_CLOSING]
    drawing.line([(x, below + high), (x, turn)], "arrow")
    drawing.arrow(
        [
            (left, _PLACES[State.READ_CLOSED][1] + high),
            (left, turn),
            (joined, turn),
            (joined, above),
        ]
    )
    drawing.text(left + 8, turn + 18, written, "dim")
    right, joined = _RIGHT - 20, _MIDDLE + 44
    drawing.arrow(
        [
            (right, _PLACES[State.WRITE_CLOSED][1] + high),
            (right, turn),
            (joined, turn),
            (joined, above),
        ]
    )
    drawing.text(joined + 8, turn + 18, arrows.take(State.WRITE_CLOSED, State.ENDED), "dim")
    drawing.arrow([(_MIDDLE, _OUTER), (_MIDDLE, above)])
    drawing.text(_MIDDLE + 5, turn + 18, Move.FINISH.value, "dim")
    edge = _RIGHT + 36
    drawing.arrow([(edge, _INNER), (edge, above)])
    drawing.text(edge - 8, turn + 18, Move.CLOSE.value, "dim end")
    drawing.arrow([(_RIGHT - half, y), (_MIDDLE + half, y)])
    drawing.text(
        (_MIDDLE + _RIGHT) / 2, y - 8, arrows.take(State.CLOSING, State.ENDED), "dim middle"
    )
    drawing.arrow([(_MIDDLE - half, y), (_LEFT + half, y)])
    drawing.text((_MIDDLE + _LEFT) / 2, y - 8, arrows.take(State.ENDED, State.CLOSED), "dim middle")


def _rows() -> list[tuple[State, dict[State, list[Move]]]]:
    """For each state where it leads, and by which moves."""
    rows = []
    for state, moves in TABLE.items():
        targets: dict[State, list[Move]] = {}
        for move, target in moves.items():
            targets.setdefault(target, []).append(move)
        rows.append((state, targets))
    return rows


def _told() -> str:
    """The table in sentences, for people who do not see the picture."""
    sentences = []
    for state, targets in _rows():
        ways = [
            f"by {' or '.join(move.value for move in moves)} to {target.value}"
            for target, moves in targets.items()
        ]
        sentences.append(f"From {state.value}: {', '.join(ways) or 'nowhere'}.")
    return " ".join(sentences)


def table() -> str:
    """The table in Markdown: a line for each state, a column for each move."""
    moves = list(Move)
    lines = [
        "| from | " + " | ".join(move.value for move in moves) + " |",
        "| --- |" + " --- |" * len(moves),
    ]
    for state, targets in TABLE.items():
        cells = [targets[move].value if move in targets else "" for move in moves]
        lines.append(f"| {state.value} | " + " | ".join(cells) + " |")
    return "\n".join(" ".join(line.split(" ")) for line in lines)
