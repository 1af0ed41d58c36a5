"""The model of what the two ends of a connection may see: the lifecycle's table, for both ends.

The model is told of each call of a verb and of each event, in the order in which they happen, and
records what broke the contract. Some outcomes depend on timing: how much went out before an abort,
or whether a reset was noticed before a write. There the model allows every outcome that the
contract allows; everywhere else it allows one.

The model only judges what happens. The module `obligations` says what must still happen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...channel import Capabilities
from ...interfaces import Transport
from ...lifecycle import ACCEPTING, ENDED, READING, TABLE, Move, State
from ...reasons import ConnectionAborted, ConnectionDone, ConnectionLost
from .contents import contents
from .sides import CLOSING, WRITE_CLOSING, Produced, Side

__all__ = ["Model"]


class Model:
    """Follows both ends, and records what broke the contract.

    :param a: the protocol of the end that connects.
    :param b: the protocol of the end that listens.
    """

    def __init__(self, a: str, b: str) -> None:
        self.a: Side = Side("a", a)
        self.b: Side = Side("b", b)
        self.sides: tuple[Side, Side] = (self.a, self.b)
        self.a.peer, self.b.peer = self.b, self.a
        self.broken: list[str] = []
        """Violations of the contract. Each names the rule, the end, and what was seen."""
        self.trace: list[str] = []
        """The calls and the events, in order."""
        self.noted: int = 0
        """How many lines were added to the trace."""
        self.free: bool = False
        """Whether timing has decided anything, so that another run may rightly see other things."""
        self._stack: list[tuple[str, Side, str]] = []

    def side(self, name: str) -> Side:
        """The end of that name."""
        return self.a if name == "a" else self.b

    def breaks(self, rule: str, side: Side, what: str) -> None:
        """Record that *side* saw *what*, which *rule* forbids."""
        self.broken.append(f"{rule}: {side.name}: {what}")
        self.note(f"!! {self.broken[-1]}")

    def note(self, line: str) -> None:
        """Add *line* to the trace, indented by the verbs and events that are under way."""
        self._append("  " * len(self._stack) + line)

    def note_amount(self, line: str, size: int) -> None:
        """Add *line* with a number of bytes to the trace.

        If the line before says the same, their numbers are added up: how a stream is cut into
        pieces does not matter.
        """
        line = "  " * len(self._stack) + line
        before, _, number = self.trace[-1].rpartition(" ") if self.trace else ("", "", "")
        if before == line:
            size += int(number)
            del self.trace[-1]
        self._append(f"{line} {size}")

    def _append(self, line: str) -> None:
        self.trace.append(line)
        self.noted += 1

    # -- what is seen of the state -------------------------------------------------------------

    def observe(self, side: Side) -> None:
        """Compare the transport's state with ours. Take over its state if timing allows it."""
        if side.transport is None or side.transport.state is side.life:
            return
        actual = side.transport.state
        if self._is_free(side, actual):
            side.life = actual
        else:
            self.breaks("VRB-09", side, f"state is {actual.value!r}, not {side.life.value!r}")

    def _is_free(self, side: Side, actual: State) -> bool:
        itself = side.plain and side.life in READING and side.end_can_come
        if itself and actual in (State.CLOSING, State.ENDED):
            # EVT-12: the peer's end of stream acts as loseConnection on a plain protocol.
            side.closing = side.lose_called = True
            return True
        if actual is State.WRITE_CLOSED:
            # EVT-12: no event tells a plain protocol that its own half has ended.
            return side.plain and side.life in WRITE_CLOSING and side.fin
        if actual is State.ENDED and side.made and not side.lost:
            return side.peer.violent or (side.life is State.CLOSING and side.fin)
        return False

    def _move(self, side: Side, move: Move) -> bool:
        after = TABLE[side.life].get(move)
        if after is None:
            return False
        side.life = after
        return True

    # -- verbs ---------------------------------------------------------------------------------

    @contextmanager
    def verb(self, side: Side, text: str) -> Iterator[None]:
        """A context manager for the time in which *side* calls a verb, shown as *text*."""
        self.observe(side)
        self.note(f"{side.name} calls {text}")
        self._stack.append(("verb", side, text))
        try:
            yield
        finally:
            self._stack.pop()

    def wrote(self, side: Side, size: int, dropped: int) -> None:
        """Take note that ``write`` of *size* bytes has returned, and *dropped* of them were
        dropped."""
        producing = side.producer is not None
        taken = side.life in ACCEPTING or (producing and side.life in CLOSING)
        doubtful = side.peer.violent and (taken or side.life in CLOSING)
        if dropped not in (0, size):
            self.breaks("VRB-05", side, f"a write of {size} bytes dropped {dropped}")
        elif size and not doubtful and taken is bool(dropped):
            what = "dropped" if dropped else "taken"
            self.breaks("VRB-05", side, f"a write in state {side.life.value} was {what}")
        if dropped:
            side.dropped += dropped
        elif size:
            side.accepted += size
            side.writes += 1
        if size and side.peer.hard_seen:
            side.told = True
        self.observe(side)

    def lose_write(self, side: Side) -> None:
        """Take note that ``loseWriteConnection`` has returned."""
        if self._move(side, Move.END_WRITE):
            side.closing = True
            self._closed(side)
        self.observe(side)

    def lose(self, side: Side) -> None:
        """Take note that ``loseConnection`` or ``stopProducing`` has returned."""
        own_end_sent = side.life is State.WRITE_CLOSED
        if self._move(side, Move.CLOSE):
            side.closing = side.lose_called = True
            self._closed(side)
            if own_end_sent and not side.can.bounds_input:
                # A transport that reads ahead may already have read the reset, and then tells it
                # only when reading is resumed.
                side.closed_late = False
        self.observe(side)

    def _closed(self, side: Side) -> None:
        if side.peer.hard_seen:
            side.told = side.closed_late = True

    def abort(self, side: Side) -> None:
        """Take note that ``abortConnection`` has returned."""
        if self._move(side, Move.FINISH):
            side.aborted = True
            self.violent(side)
        self.observe(side)

    def violent(self, side: Side) -> None:
        """Take note that *side* has ended in a way that may lose bytes."""
        side.hard = True
        peer = side.peer
        # A reset may overtake all that is still under way, an end of stream too.
        nothing_is = peer.reading and peer.received == side.accepted and not side.fin
        if not (peer.lost or nothing_is):
            self.free = True

    def pause(self, side: Side) -> None:
        """Take note that ``pauseProducing`` has returned."""
        if side.life in READING:
            side.paused = True
        self.observe(side)

    def resume(self, side: Side) -> None:
        """Take note that ``resumeProducing`` has returned."""
        if side.life in READING:
            side.paused = False
        if side.peer.hard_seen:
            side.told = True
        self.observe(side)

    def register(self, side: Side, producer: Produced, refusal: Exception | None) -> bool:
        """Take note that ``registerProducer`` has returned, or raised *refusal*.

        :returns: whether *producer* is registered and may write.
        """
        other = side.producer
        if refusal is not None:
            if not isinstance(refusal, RuntimeError) or other is None:
                self.breaks("PRD-07", side, f"registerProducer raised {refusal!r}")
            # Whether the other producer is done by now depends on how much fits into the kernel.
            self.free = True
            return False
        if other is not None and not other.uncertain:
            self.breaks("PRD-07", side, "a second registerProducer did not raise")
            return False
        if side.life not in ACCEPTING:
            if not producer.stopped:
                side.refused.append(producer)
            return False
        producer.uncertain = side.peer.violent
        side.producer = producer
        return True

    def unregister(self, side: Side) -> None:
        """Take note that ``unregisterProducer`` has returned."""
        self._cut_short(side)
        side.producer = None
        self.observe(side)

    # -- producers -----------------------------------------------------------------------------

    def producer_paused(self, side: Side, producer: Produced) -> None:
        """Take note that the transport has called ``pauseProducing`` of *producer*."""
        self.note(f"{side.name}'s {producer} is paused")
        what, whose, text = self._stack[-1] if self._stack else ("", None, "")
        if what != "verb" or whose is not side or text.split()[0] not in _PAUSING:
            self.breaks("PRD-01", side, "a producer is paused, and not inside a write")
        if producer.paused:
            self.breaks("PRD-01", side, "a producer is paused twice in a row")
        if not text.startswith("push"):
            self._check_registered(side, producer, "paused")
        producer.paused = True

    @contextmanager
    def producer_resumed(self, side: Side, producer: Produced) -> Iterator[None]:
        """A context manager for the time in which the transport calls ``resumeProducing`` of
        *producer*."""
        self.note(f"{side.name}'s {producer} is asked to go on")
        self._check_outside(side, "a producer's resumeProducing")
        if producer.streaming and not producer.paused:
            self.breaks("PRD-01", side, "a producer that was not paused is resumed")
        self._check_registered(side, producer, "resumed")
        producer.paused = False
        with self._inside(side, "resumeProducing"):
            yield

    def producer_stopped(self, side: Side, producer: Produced) -> None:
        """Take note that the transport has called ``stopProducing`` of *producer*."""
        self.note(f"{side.name}'s {producer} is stopped")
        if side.left and self._stack[-1:] and self._stack[-1][2].split()[0] in _REGISTERING:
            # VRB-12: it is refused while it is being registered. It cannot be stopped in the next
            # turn, since a backend that was left has no more turns.
            producer.stopped = True
            return
        self._check_outside(side, "a producer's stopProducing")
        if producer.stopped:
            self.breaks("PRD-06", side, "a producer is stopped twice")
        producer.stopped = True
        if producer in side.refused:
            side.refused.remove(producer)
        elif producer is side.producer:
            self._cut_short(side)
            side.producer = None
            if side.life not in ENDED and not side.peer.violent and not side.plain:
                self.breaks("PRD-06", side, f"a producer is stopped in state {side.life.value}")
        elif not producer.uncertain:
            self.breaks("PRD-06", side, "a producer that is not registered is stopped")

    def _cut_short(self, side: Side) -> None:
        if side.producer is not None and side.producer.left:
            # How much the producer has written by now depends on how much fits into the kernel.
            self.free = True

    def _check_registered(self, side: Side, producer: Produced, what: str) -> None:
        if producer is not side.producer or producer.stopped:
            self.breaks("PRD-06", side, f"a producer that is not registered is {what}")

    # -- events --------------------------------------------------------------------------------

    def _check_outside(self, side: Side, name: str) -> None:
        """Check that event *name* comes inside no verb, and inside no event of *side* (EVT-07)."""
        for what, whose, inside in self._stack:
            if what == "verb":
                self.breaks("EVT-07", side, f"{name} inside {whose.name}'s verb {inside}")
            elif whose is side:
                self.breaks("EVT-07", side, f"{name} inside {inside}")

    @contextmanager
    def _inside(self, side: Side, name: str) -> Iterator[None]:
        self._stack.append(("event", side, name))
        try:
            yield
        except BaseException as error:
            side.raised.append(error)
            self.note(f"{side.name} raises {error}")
            if self._move(side, Move.FINISH):
                self.violent(side)
            raise
        finally:
            self._stack.pop()

    def _begin(self, side: Side, name: str, text: str = "", *, noted: bool = False) -> None:
        if not noted:
            self.note(f"{side.name} hears {text or name}")
        self._check_outside(side, name)
        if side.lost:
            self.breaks("EVT-06", side, f"{name} after connectionLost")
        if (name == "connectionMade") is side.made:
            self.breaks("EVT-01", side, f"{name} as event number {len(side.events) + 1}")
        if side.events[-1:] != [name]:
            side.events.append(name)

    @contextmanager
    def made(self, side: Side, transport: Transport, can: Capabilities) -> Iterator[None]:
        """A context manager for the time in which *side* is in ``connectionMade``."""
        self._begin(side, "connectionMade")
        side.transport = transport
        side.can = can
        if side.peer.raw:
            side.peer.can = can
        self._move(side, Move.MADE)
        self.observe(side)
        with self._inside(side, "connectionMade"):
            yield

    @contextmanager
    def data(self, side: Side, data: bytes) -> Iterator[None]:
        """A context manager for the time in which *side* is in ``dataReceived``."""
        self.note_amount(f"{side.name} hears dataReceived of", len(data))
        self._begin(side, "dataReceived", noted=True)
        self.observe(side)
        if type(data) is not bytes or not data:
            self.breaks("EVT-09", side, f"dataReceived({data!r})")
        if side.life not in READING:
            rule = "EVT-09" if "readConnectionLost" in side.events else "EVT-14"
            self.breaks(rule, side, f"dataReceived in state {side.life.value}")
        if side.paused:
            self.breaks("FLU-06", side, "dataReceived while paused")
        self.check_bytes(side, data)
        with self._inside(side, "dataReceived"):
            yield

    def check_bytes(self, side: Side, data: bytes) -> None:
        """Check that *data*, which *side* has received, is the next that its peer wrote."""
        peer = side.peer
        if side.received + len(data) > peer.accepted:
            self.breaks("FLU-01", side, f"{len(data)} bytes came, and not all were written")
        elif data != contents(peer.name, side.received, len(data)):
            self.breaks("FLU-01", side, f"other bytes than were written, from {side.received} on")
        side.received += len(data)
        if side.received == peer.accepted:
            peer.writes = 0

    def check_end(self, side: Side) -> None:
        """Check that the peer may have ended its stream, which *side* has seen."""
        peer = side.peer
        if not side.end_can_come:
            if side.received < peer.accepted:
                what = f"an end of stream after {side.received} of {peer.accepted} bytes"
                self.breaks("FLU-05" if peer.violent else "FLU-01", side, what)
            else:
                self.breaks("EVT-02", side, "an end of stream that the peer did not send")

    @contextmanager
    def read_lost(self, side: Side) -> Iterator[None]:
        """A context manager for the time in which *side* is in ``readConnectionLost``."""
        again = "readConnectionLost" in side.events
        self._begin(side, "readConnectionLost")
        if side.life not in READING:
            self.breaks(
                "EVT-02" if again else "EVT-14",
                side,
                f"readConnectionLost in state {side.life.value}",
            )
        elif side.paused:
            self.breaks("FLU-06", side, "readConnectionLost while paused")
        else:
            self.check_end(side)
        self._move(side, Move.READ_ENDED)
        self.observe(side)
        with self._inside(side, "readConnectionLost"):
            yield

    @contextmanager
    def write_lost(self, side: Side) -> Iterator[None]:
        """A context manager for the time in which *side* is in ``writeConnectionLost``."""
        again = "writeConnectionLost" in side.events
        self._begin(side, "writeConnectionLost")
        if side.life not in WRITE_CLOSING:
            rule = "VRB-01" if again else "EVT-14" if side.closing or side.hard else "PIP-04"
            self.breaks(rule, side, f"writeConnectionLost in state {side.life.value}")
        elif side.producer is not None:
            self.breaks("PRD-03", side, "writeConnectionLost while a producer is registered")
        elif side.closed_late and side.peer.resets:
            self.breaks("VRB-03", side, "writeConnectionLost after the peer's reset")
        self._move(side, Move.WRITE_ENDED)
        self.observe(side)
        with self._inside(side, "writeConnectionLost"):
            yield

    @contextmanager
    def connection_lost(self, side: Side, reason: BaseException) -> Iterator[None]:
        """A context manager for the time in which *side* is in ``connectionLost``."""
        self._begin(side, "connectionLost", f"connectionLost({type(reason).__name__})")
        self._check_reason(side, reason)
        if side.producer is not None and not side.producer.uncertain:
            self.breaks("PRD-06", side, "connectionLost before the producer was stopped")
        side.producer = None
        side.reason = reason
        side.life = State.CLOSED
        self.observe(side)
        with self._inside(side, "connectionLost"):
            yield

    # -- reasons -------------------------------------------------------------------------------

    def _check_reason(self, side: Side, reason: BaseException) -> None:
        seen = f"the reason {reason!r}"
        ended = {"readConnectionLost", "writeConnectionLost"} <= set(side.events)
        if side.raised:
            if not any(reason is error for error in side.raised):
                self.breaks("ERR-02", side, f"{seen}, which is not what the event raised")
        elif side.aborted:
            if type(reason) is not ConnectionAborted:
                self.breaks("ERR-01", side, f"{seen}, after abortConnection")
        elif ended:
            if type(reason) is not ConnectionDone:
                self.breaks("EVT-05", side, f"{seen}, after both halves had ended")
        elif type(reason) is ConnectionDone:
            self._check_done(side, seen)
        elif type(reason) is ConnectionLost:
            self._check_broken(side, reason, seen)
        else:
            self.breaks("ERR-01", side, seen)

    def _check_done(self, side: Side, seen: str) -> None:
        if side.plain and side.life in READING and side.end_can_come:
            side.closing = side.lose_called = True
        if not side.lose_called:
            self.breaks("ERR-01", side, f"{seen}, in state {side.life.value}")
        if side.producer is not None:
            self.breaks("PRD-04", side, f"{seen}, while a producer is registered")
        if side.closed_late and side.peer.resets:
            self.breaks("FLU-11", side, f"{seen}, after the peer's reset")

    def _check_broken(self, side: Side, reason: ConnectionLost, seen: str) -> None:
        if not side.peer.violent:
            self.breaks("ERR-01", side, f"{seen}, and nothing was reset")
        elif side.can.tells_cause and not isinstance(reason.__cause__, OSError):
            self.breaks("ERR-01", side, f"{seen}, without the cause")
        elif not side.lose_called and side.received < side.floor:
            what = f"after {side.received} of {side.floor} bytes that had arrived"
            self.breaks("FLU-09", side, f"{seen}, {what}")

    # -- the network, and time -----------------------------------------------------------------

    def breakable(self) -> None:
        """Take note that the network may break the connection, from now on."""
        for side in self.sides:
            side.breakable = True
        self.free = True

    def settled(self) -> None:
        """Take note that all that was due has come, and that some turns have gone by since."""
        for side in self.sides:
            if side.hard and side.lost:
                side.hard_seen = True
            peer = side.peer
            if peer.lost or not peer.flows:
                if side.received < peer.accepted:
                    self.free = True
            elif not peer.violent and not side.stalled and side.can.keeps_input:
                side.floor = peer.accepted


_REGISTERING = ("push", "pull")
"""Verbs of a script that register a producer."""

_PAUSING = ("write", "sequence", "push")
"""Verbs of a script inside which a producer may be paused."""
