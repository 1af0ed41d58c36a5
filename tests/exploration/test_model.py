"""The model by itself: what it allows, what it forbids, and what it says is due."""

from __future__ import annotations

from contextlib import suppress

import pytest
from halfclose import (
    Capabilities,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    State,
)
from halfclose.testing.exploration.contents import contents
from halfclose.testing.exploration.model import Model
from halfclose.testing.exploration.obligations import due
from halfclose.testing.exploration.sides import Produced, Side


class Told:
    """A model with both ends made, told of what happens by short names.

    No transport is compared with it: the states are the model's own.
    """

    def __init__(self, a: str = "half", b: str = "half", can: Capabilities | None = None) -> None:
        self.model = Model(a, b)
        for side in self.model.sides:
            with self.model.made(side, None, can or Capabilities()):  # type: ignore[arg-type]
                pass
        self.a, self.b = self.model.sides

    def verb(self, side: Side, name: str) -> None:
        with self.model.verb(side, name):
            pass
        getattr(self.model, {"lwc": "lose_write"}.get(name, name))(side)

    def write(self, side: Side, size: int, dropped: int = 0) -> None:
        with self.model.verb(side, f"write {size}"):
            self.model.wrote(side, size, dropped)

    def data(self, side: Side, size: int) -> None:
        with self.model.data(side, contents(side.peer.name, side.received, size)):
            pass

    def read(self, side: Side) -> None:
        with self.model.read_lost(side):
            pass

    def wrote(self, side: Side) -> None:
        with self.model.write_lost(side):
            pass

    def lost(self, side: Side, reason: BaseException) -> None:
        with self.model.connection_lost(side, reason):
            pass

    @property
    def rules(self) -> list[str]:
        """The rules that were broken."""
        return [line.partition(":")[0] for line in self.model.broken]

    @property
    def due(self) -> list[str]:
        """The rules by which something is due, and to whom."""
        return [":".join(line.split(":")[:2]) for line in due(self.model)]


def broken() -> ConnectionLost:
    reason = ConnectionLost("reset")
    reason.__cause__ = ConnectionResetError()
    return reason


def test_a_whole_life() -> None:
    told = Told()
    told.write(told.a, 100)
    assert told.due == ["FLU-01: b"]
    told.verb(told.a, "lwc")
    assert told.due == ["EVT-04: a", "FLU-01: b"]
    told.wrote(told.a)
    told.data(told.b, 60)
    assert told.due == ["FLU-01: b"]
    told.data(told.b, 40)
    assert told.due == ["EVT-02: b"]
    told.read(told.b)
    assert told.due == []
    told.write(told.b, 5)
    told.data(told.a, 5)
    told.verb(told.b, "lose")
    assert told.due == ["EVT-02: a", "FLU-02: b"]
    told.lost(told.b, ConnectionDone())
    told.read(told.a)
    assert told.a.life is State.ENDED
    assert told.due == ["EVT-05: a"]
    told.lost(told.a, ConnectionDone())
    assert told.due == []
    assert told.model.broken == []


def test_a_plain_protocol_closes_by_itself() -> None:
    told = Told(b="plain")
    told.write(told.b, 7)
    told.verb(told.a, "lwc")
    assert told.due == ["FLU-01: a", "EVT-04: a", "EVT-12: b"]
    told.wrote(told.a)
    told.data(told.a, 7)
    told.lost(told.b, ConnectionDone())
    assert told.due == ["EVT-02: a"]
    told.read(told.a)
    told.lost(told.a, ConnectionDone())
    assert told.model.broken == []


def test_nothing_is_due_to_who_is_paused_but_what_fits() -> None:
    told = Told()
    told.verb(told.b, "pause")
    told.write(told.a, 100)
    told.verb(told.a, "lwc")
    assert told.due == ["EVT-04: a"], "it fits into any buffer"
    told = Told()
    told.verb(told.b, "pause")
    told.write(told.a, 100_000)
    told.verb(told.a, "lwc")
    assert told.due == []
    told.verb(told.b, "resume")
    assert told.due == ["EVT-04: a", "FLU-01: b"]


def test_a_reset_is_due_to_who_reads() -> None:
    told = Told()
    told.write(told.a, 5)
    told.verb(told.a, "abort")
    assert told.due == ["EVT-06: a"]
    told.lost(told.a, ConnectionAborted())
    assert told.due == ["ERR-01: b"]
    told.data(told.b, 3)
    told.lost(told.b, broken())
    assert told.model.broken == []


def test_where_there_is_no_reset_an_abort_is_an_end() -> None:
    told = Told(can=Capabilities(can_reset=False))
    told.write(told.a, 5)
    told.verb(told.a, "abort")
    told.lost(told.a, ConnectionAborted())
    assert told.due == ["EVT-06: b"]
    told.data(told.b, 3)
    told.read(told.b)
    assert told.model.broken == []
    told.verb(told.b, "lwc")
    assert told.due == ["EVT-06: b"]
    told.wrote(told.b)
    told.lost(told.b, ConnectionDone())
    assert told.model.broken == []


def test_a_producer_holds_the_end_back() -> None:
    told = Told()
    producer = Produced(streaming=False, left=2)
    with told.model.verb(told.a, "pull 2 5"):
        assert told.model.register(told.a, producer, None)
    told.verb(told.a, "lwc")
    assert told.due == ["PRD-02: a"]
    with told.model.producer_resumed(told.a, producer):
        told.write(told.a, 5)
    producer.left = None
    assert told.due == ["FLU-01: b"]
    told.verb(told.a, "unregister")
    assert told.due == ["EVT-04: a", "FLU-01: b"]
    assert told.model.broken == []


def test_a_producer_that_comes_too_late_is_stopped() -> None:
    told = Told()
    told.verb(told.a, "lwc")
    producer = Produced(streaming=True, left=None)
    with told.model.verb(told.a, "push 0 0"):
        assert not told.model.register(told.a, producer, None)
    assert told.due == ["PRD-05: a", "EVT-04: a", "EVT-02: b"]
    told.model.producer_stopped(told.a, producer)
    assert told.due == ["EVT-04: a", "EVT-02: b"]
    assert told.model.broken == []


def test_a_network_that_breaks_may_be_told_sooner_or_later() -> None:
    told = Told()
    told.model.breakable()
    told.write(told.a, 5)
    told.lost(told.b, broken())
    told.lost(told.a, broken())
    assert told.model.broken == []


FORBIDDEN = {
    "an event inside a verb": "EVT-07",
    "an event inside an event": "EVT-07",
    "an event after the last": "EVT-06",
    "made twice": "EVT-01",
    "no bytes": "EVT-09",
    "a bytearray": "EVT-09",
    "more bytes than were written": "FLU-01",
    "other bytes than were written": "FLU-01",
    "data while paused": "FLU-06",
    "data after the end": "EVT-09",
    "data after loseConnection": "EVT-14",
    "an end that nobody sent": "EVT-02",
    "an end before the bytes": "FLU-01",
    "an end over truncated data": "FLU-05",
    "an end while paused": "FLU-06",
    "a second end": "EVT-02",
    "our end that nobody asked for": "PIP-04",
    "a second end of ours": "VRB-01",
    "our end after loseConnection": "EVT-14",
    "our end with a producer": "PRD-03",
    "done with a producer": "PRD-06",
    "done without closing": "ERR-01",
    "done after an abort": "ERR-01",
    "done after a reset": "FLU-11",
    "lost without a reset": "ERR-01",
    "lost without a cause": "ERR-01",
    "lost after both halves": "EVT-05",
    "lost before what had arrived": "FLU-09",
    "another exception than was raised": "ERR-02",
    "a late write that is taken": "VRB-05",
    "an early write that is dropped": "VRB-05",
    "half a write": "VRB-05",
    "a producer paused outside of a write": "PRD-01",
    "a producer resumed twice": "PRD-01",
    "a producer stopped twice": "PRD-06",
    "a second producer": "PRD-07",
    "a refused producer that need not be": "PRD-07",
}


class Forbidden:
    """Each does one thing that the contract forbids."""

    def __init__(self) -> None:
        self.told = Told()
        self.a, self.b = self.told.a, self.told.b
        self.model = self.told.model

    def _register(self, streaming: bool = True) -> Produced:
        producer = Produced(streaming, 3)
        with self.model.verb(self.a, "push 3 3"):
            self.model.register(self.a, producer, None)
        return producer

    def an_event_inside_a_verb(self) -> None:
        self.told.write(self.b, 1)
        with self.model.verb(self.a, "pause"):
            self.told.data(self.a, 1)

    def an_event_inside_an_event(self) -> None:
        self.told.write(self.b, 2)
        with self.model.data(self.a, contents("b", 0, 1)):
            self.told.data(self.a, 1)

    def an_event_after_the_last(self) -> None:
        self.told.verb(self.a, "abort")
        self.told.lost(self.a, ConnectionAborted())
        self.told.lost(self.a, ConnectionAborted())

    def made_twice(self) -> None:
        with self.model.made(self.a, None, Capabilities()):  # type: ignore[arg-type]
            pass

    def no_bytes(self) -> None:
        self.told.data(self.a, 0)

    def a_bytearray(self) -> None:
        self.told.write(self.b, 1)
        with self.model.data(self.a, bytearray(contents("b", 0, 1))):  # type: ignore[arg-type]
            pass

    def more_bytes_than_were_written(self) -> None:
        self.told.data(self.a, 1)

    def other_bytes_than_were_written(self) -> None:
        self.told.write(self.b, 4)
        with self.model.data(self.a, contents("b", 1, 2)):
            pass

    def data_while_paused(self) -> None:
        self.told.write(self.b, 1)
        self.told.verb(self.a, "pause")
        self.told.data(self.a, 1)

    def data_after_the_end(self) -> None:
        self.told.verb(self.b, "lwc")
        self.told.read(self.a)
        self.b.accepted = 1
        self.told.data(self.a, 1)

    def data_after_loseConnection(self) -> None:
        self.told.write(self.b, 1)
        self.told.verb(self.a, "lose")
        self.told.data(self.a, 1)

    def an_end_that_nobody_sent(self) -> None:
        self.told.read(self.a)

    def an_end_before_the_bytes(self) -> None:
        self.told.write(self.b, 1)
        self.told.verb(self.b, "lwc")
        self.told.read(self.a)

    def an_end_over_truncated_data(self) -> None:
        self.told.write(self.b, 1)
        self.told.verb(self.b, "lwc")
        self.told.verb(self.b, "abort")
        self.told.read(self.a)

    def an_end_while_paused(self) -> None:
        self.told.verb(self.b, "lwc")
        self.told.verb(self.a, "pause")
        self.told.read(self.a)

    def a_second_end(self) -> None:
        self.told.verb(self.b, "lwc")
        self.told.read(self.a)
        self.told.read(self.a)

    def our_end_that_nobody_asked_for(self) -> None:
        self.told.wrote(self.a)

    def a_second_end_of_ours(self) -> None:
        self.told.verb(self.a, "lwc")
        self.told.wrote(self.a)
        self.told.wrote(self.a)

    def our_end_after_loseConnection(self) -> None:
        self.told.verb(self.a, "lose")
        self.told.wrote(self.a)

    def our_end_with_a_producer(self) -> None:
        self._register()
        self.told.verb(self.a, "lwc")
        self.told.wrote(self.a)

    def done_with_a_producer(self) -> None:
        self._register()
        self.told.verb(self.a, "abort")
        self.told.lost(self.a, ConnectionAborted())

    def done_without_closing(self) -> None:
        self.told.lost(self.a, ConnectionDone())

    def done_after_an_abort(self) -> None:
        self.told.verb(self.a, "abort")
        self.told.lost(self.a, ConnectionDone())

    def done_after_a_reset(self) -> None:
        self.told.verb(self.b, "abort")
        self.told.lost(self.b, ConnectionAborted())
        self.model.settled()
        self.told.verb(self.a, "lose")
        self.told.lost(self.a, ConnectionDone())

    def lost_without_a_reset(self) -> None:
        self.told.lost(self.a, broken())

    def lost_without_a_cause(self) -> None:
        self.told.verb(self.b, "abort")
        self.told.lost(self.a, ConnectionLost())

    def lost_after_both_halves(self) -> None:
        for side in self.model.sides:
            self.told.verb(side, "lwc")
        self.told.wrote(self.a)
        self.told.read(self.a)
        self.told.lost(self.a, broken())

    def lost_before_what_had_arrived(self) -> None:
        self.told.verb(self.a, "pause")
        self.told.write(self.b, 5)
        self.model.settled()
        self.told.verb(self.b, "abort")
        self.told.verb(self.a, "resume")
        self.told.lost(self.a, broken())

    def another_exception_than_was_raised(self) -> None:
        self.told.write(self.b, 1)
        with suppress(LookupError), self.model.data(self.a, contents("b", 0, 1)):
            raise LookupError
        self.told.lost(self.a, LookupError())

    def a_late_write_that_is_taken(self) -> None:
        self.told.verb(self.a, "lwc")
        self.told.write(self.a, 5)

    def an_early_write_that_is_dropped(self) -> None:
        self.told.write(self.a, 5, dropped=5)

    def half_a_write(self) -> None:
        self.told.write(self.a, 5, dropped=3)

    def a_producer_paused_outside_of_a_write(self) -> None:
        self.model.producer_paused(self.a, self._register())

    def a_producer_resumed_twice(self) -> None:
        producer = self._register()
        with self.model.producer_resumed(self.a, producer):
            pass

    def a_producer_stopped_twice(self) -> None:
        producer = self._register()
        self.told.verb(self.a, "abort")
        self.model.producer_stopped(self.a, producer)
        self.model.producer_stopped(self.a, producer)

    def a_second_producer(self) -> None:
        self._register()
        self._register()

    def a_refused_producer_that_need_not_be(self) -> None:
        self.model.register(self.a, Produced(True, 1), RuntimeError())


@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_is_forbidden(what: str) -> None:
    forbidden = Forbidden()
    getattr(forbidden, what.replace(" ", "_"))()
    assert forbidden.told.rules[:1] == [FORBIDDEN[what]], forbidden.model.broken


def test_all_that_is_forbidden_is_tried() -> None:
    tried = {name for name in vars(Forbidden) if not name.startswith("_")}
    assert tried == {what.replace(" ", "_") for what in FORBIDDEN}


def test_the_trace_tells_how_much_came_and_not_how_it_was_cut() -> None:
    told = Told()
    told.write(told.a, 10)
    for size in (1, 2, 3, 4):
        told.data(told.b, size)
    assert told.model.trace[-1] == "b hears dataReceived of 10"
    assert told.model.noted == 7
