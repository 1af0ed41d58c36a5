"""The ladder of a conversation over TLS in which each half ends by itself."""

from __future__ import annotations

from .drawing import WIDTH, Drawing
from .tls_trace import LATENCY, Passing, TLSTrace, tls_trace
from .trace import Happening

__all__ = ["tls_half_close"]

_CLIENT, _SERVER = 178.0, WIDTH - 178.0
_TOP, _SECOND = 112.0, 27.0
_BESIDE = 25.0
"""How far below each other stands what happens at one moment."""

_TITLE = "Half-close over TLS: close_notify ends one half"

_KINDS = {"close_notify": "thick", "end of stream": "dashed"}


class _Picture:
    def __init__(self, seen: TLSTrace) -> None:
        self.seen = seen
        self.last = max(each.when for each in seen.passings) + LATENCY
        self.bottom = _TOP + _SECOND * self.last + _BESIDE
        self.drawing = Drawing(self.bottom + 16, _TITLE, _told(seen))

    def y(self, when: float) -> float:
        return _TOP + _SECOND * when

    def crossing(self, passing: Passing) -> None:
        """What has crossed from one end to the other. An end of stream is sent by an end whose
        connection is over, which it was told after something else."""
        below = _BESIDE if passing.what == "end of stream" else 0
        start, stop = self.y(passing.when - LATENCY), self.y(passing.when + LATENCY)
        left, right = _CLIENT + 5, _SERVER - 5
        ends = ((left, start + below), (right, stop + below))
        if not passing.of_client:
            ends = ((right, start + below), (left, stop + below))
        of_end = "ours" if passing.of_client else "theirs"
        self.drawing.arrow(ends, f"{of_end} {_KINDS.get(passing.what, '')}".strip())
        weight = "" if passing.what in ("handshake", "data") else " bold"
        self.drawing.slanted(*ends, passing.what, f"middle {of_end}{weight}")

    def happening(self, happening: Happening, below: float) -> None:
        """What one end did or saw."""
        of_client = happening.end == "client"
        x, side, align = (_CLIENT, -10, " end") if of_client else (_SERVER, 10, "")
        y = self.y(happening.when) + below
        name = f"{happening.name}()" if happening.verb else happening.name
        kind = f"mono{' dim' if happening.verb else ''}{align}"
        self.drawing.text(x + side, y + 4, name, kind)
        self.drawing.dot(x, y, "ours" if of_client else "theirs")


def _told(seen: TLSTrace) -> str:
    """The ladder as a text, for people who do not see it."""
    steps = [
        (each.when, f"{each.end.title()}: {each.name}{'()' if each.verb else ''}.")
        for each in seen.happenings
    ] + [
        (each.when, f"From {'client' if each.of_client else 'server'}: {each.what}.")
        for each in seen.passings
    ]
    return " ".join(text for _, text in sorted(steps, key=lambda step: step[0]))


def tls_half_close() -> str:
    """The picture, of a conversation that is held now."""
    picture = _Picture(tls_trace())
    drawing = picture.drawing
    drawing.text(12, 26, _TITLE, "title")
    drawing.text(12, 46, "With (): what the protocol calls. Without: what it is told.", "dim")
    drawing.text(12, 64, "Between the two: what somebody there has seen go by.", "dim")
    for x, end, kind in ((_CLIENT, "client", "ours"), (_SERVER, "server", "theirs")):
        drawing.text(x, 92, end, f"bold middle {kind}")
        drawing.line([(x, 100), (x, picture.bottom)], f"line {kind}")
    for passing in picture.seen.passings:
        picture.crossing(passing)
    beside: dict[tuple[float, str], float] = {}
    for happening in picture.seen.happenings:
        at = (happening.when, happening.end)
        picture.happening(happening, beside.get(at, 0))
        beside[at] = beside.get(at, 0) + _BESIDE
    return str(drawing)
