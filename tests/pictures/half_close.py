"""What half-close is: two streams of one connection, and each ends by itself."""

from __future__ import annotations

from .drawing import WIDTH, Drawing
from .trace import Trace, trace

__all__ = ["half_close"]

_LEFT, _RIGHT = 66.0, WIDTH - 12.0
_LANE = 38.0
_ENDINGS = frozenset(
    {
        "loseWriteConnection",
        "loseConnection",
        "readConnectionLost",
        "writeConnectionLost",
        "connectionLost",
    }
)

_TITLE = "Half-close: two streams, and each ends by itself"

_DESCRIPTION = (
    "A connection over time. The upper stream goes from the client to the server and carries the "
    "question. The client ends it with loseWriteConnection, and is told by writeConnectionLost "
    "that it has ended; the server is told by readConnectionLost. The lower stream, from the "
    "server to the client, carries the answer and goes on. The server ends it later, with "
    "loseConnection; the client is told by readConnectionLost, and then the connection is over for "
    "both."
)


class _Picture:
    def __init__(self, seen: Trace) -> None:
        self.seen = seen
        self.drawing = Drawing(398, _TITLE, _DESCRIPTION)
        self.last = max(each.when for each in seen.happenings) + 1.5

    def x(self, when: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * when / self.last

    def endings(self, end: str) -> list[tuple[float, str]]:
        """What *end* did and saw of ends of streams: when, and its text."""
        return [
            (each.when, f"{end}: {each.name}{'()' if each.verb else ''}")
            for each in self.seen.happenings
            if each.end == end and each.name in _ENDINGS
        ]

    def labels(self, y: float, found: list[tuple[float, str]], edge: float, kind: str) -> None:
        """What happened at one moment, in lines below each other, joined to the lane's *edge*."""
        if not found:
            return
        x = self.x(found[0][0])
        assert all(when == found[0][0] for when, _ in found), found
        last = y + 17 * (len(found) - 1)
        self.drawing.line([(x, min(y - 11, edge)), (x, max(last + 3, edge))], f"line {kind}")
        side, align = (6, "") if x < WIDTH / 2 else (-6, " end")
        for row, (_, text) in enumerate(found):
            self.drawing.text(x + side, y + 17 * row, text, f"mono {kind}{align}")

    def lane(self, y: float, sender: str, receiver: str, kind: str, what: str) -> None:
        """A stream, slanting from when it was sent to when it came, and its end.

        Its first and its last moment are those of the sender's and the receiver's trace.
        """
        sent = self.seen.when(sender, "write")
        came = self.seen.when(receiver, "dataReceived")
        verb = "loseWriteConnection" if sender == "client" else "loseConnection"
        (ended,) = self.seen.when(sender, verb)
        (told,) = self.seen.when(receiver, "readConnectionLost")
        top, bottom = y, y + _LANE
        for edge in (top, bottom):
            self.drawing.line([(_LEFT, edge), (self.x(self.last), edge)])
        self.drawing.text(_LEFT - 6, top + 5, sender, f"bold end {_kind(sender)}")
        self.drawing.text(_LEFT - 6, bottom + 5, receiver, f"bold end {_kind(receiver)}")
        points = [(sent[0], top), (ended, top), (told, bottom), (came[0], bottom)]
        path = " ".join(f"{self.x(when):.1f},{at:.1f}" for when, at in points)
        self.drawing.raw(f'<polygon class="{kind}" points="{path}"/>')
        middle = (top + bottom) / 2 + 5
        self.drawing.text((self.x(sent[0]) + self.x(told)) / 2, middle, what, "middle bold on")
        self.drawing.line([(self.x(ended), top), (self.x(told), bottom)], "arrow thick")
        after = (self.x(ended) + self.x(told)) / 2 + 9
        self.drawing.text(after, middle, "FIN", "mono bold")
        if sender == "client":
            self.drawing.text(after + 34, middle, "ended; the client still reads", "dim")

    def states(self, y: float) -> None:
        """The state of each transport over time."""
        self.drawing.text(12, y, "transport.state of each:", "dim")
        for row, (end, found) in enumerate(self.seen.states.items()):
            top = y + 10 + 28 * row
            self.drawing.text(_LEFT - 6, top + 16, end, f"bold end {_kind(end)}")
            until = [*[when for when, _ in found[1:]], self.last]
            for (when, state), stop in zip(found, until, strict=True):
                left, right = self.x(when), self.x(stop)
                self.drawing.box(left + 1, top, right - left - 2, 23)
                self.drawing.text((left + right) / 2, top + 16, state, "middle")


def _kind(end: str) -> str:
    """The colour of *end*."""
    return "ours" if end == "client" else "theirs"


def half_close() -> str:
    """The picture, of a conversation that is held now."""
    picture = _Picture(trace())
    picture.drawing.text(12, 26, _TITLE, "title")
    picture.drawing.text(12, 46, "One connection. Time goes to the right.", "dim")
    of_client, of_server = picture.endings("client"), picture.endings("server")
    first, asked = of_client[0][0], 104.0
    picture.labels(asked - 25, [each for each in of_client if each[0] == first], asked, "ours")
    picture.lane(asked, "client", "server", "ours", "question")
    told = of_server[0][0]
    picture.labels(
        asked + _LANE + 18, [each for each in of_server if each[0] == told], asked + _LANE, "theirs"
    )
    answered = 214.0
    picture.labels(
        answered - 25, [each for each in of_server if each[0] > told], answered, "theirs"
    )
    picture.lane(answered, "server", "client", "theirs", "answer")
    picture.labels(
        answered + _LANE + 18,
        [each for each in of_client if each[0] > first],
        answered + _LANE,
        "ours",
    )
    picture.states(324)
    return str(picture.drawing)
