"""A network of names, and everything that can go wrong on it."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, Literal, TypeAlias
from weakref import WeakValueDictionary

from ..endpoints import Memory
from ..options import seconds as checked_seconds
from .conditions import BUFFER, Chunks, Conditions, any_sizes, sizes, whole_number
from .dialing import Dialing
from .listening import Listening, RawListener
from .scheduler import Scheduler, running
from .waiting import Event
from .wire import End, Wire

__all__ = ["Network", "Way", "running_network"]

Way: TypeAlias = Literal["up", "down"]
"""A direction: "up" is from who connected to who listens, "down" is back."""


class Network:
    """Names, connections between them, one clock, and faults.

    A fault is for a *name* (None: every name), for the connection of that *index* to it (counted
    from 0 for each name; None: every one), and for one *way* (None: both). It holds for the
    connections that are open and for those that are still to come; of several for the same, the
    last one counts.

    :param seed: draws the order in which connections that are ready together are served, and how
        much each read gives; the same seed gives the same run. None: first come, first served,
        and each read gives all there is.
    :param chunks: sizes of what one read gives at most, in place of the seed's.
    :param buffer: bytes of each direction that may be sent and not read.
    :param latency: seconds that everything takes on its way.
    :raises ValueError: *buffer* or a chunk's size is less than 1, or *latency* is negative.
    """

    def __init__(
        self,
        seed: int | None = None,
        *,
        chunks: Chunks | None = None,
        buffer: int = BUFFER,
        latency: float = 0.0,
    ) -> None:
        random = Random(seed) if seed is not None else None
        self.scheduler = Scheduler(random)
        _networks[self.scheduler] = self
        self._listening: dict[str, Listening] = {}
        self._wires: dict[Wire, None] = {}
        self._numbers: dict[str, int] = {}
        self._faults: list[tuple[str | None, int | None, Way | None, Callable[[], Any]]] = []
        self._refused: dict[str, int] = {}
        self._holes: dict[str, None] = {}
        self._failures: dict[str, deque[OSError]] = {}
        self.failures: list[BaseException] = []
        """What events, factories, tasks, timers and plugins have raised and nobody caught, in
        order; see `flush_failures`."""
        if chunks is None and random is not None:
            chunks = any_sizes(random)
        self.set_chunks(chunks)
        self.set_buffer(buffer)
        self.set_latency(latency)

    # -- time ----------------------------------------------------------------------------------

    @property
    def clock(self) -> float:
        """Seconds since the network was made. It moves only while somebody waits."""
        return self.scheduler.now

    async def advance(self, seconds: float) -> None:
        """Wait for *seconds* of the virtual clock, and for all that is due at its end.

        With 0, everything happens that needs no time.

        :raises ValueError: *seconds* is negative.
        """
        event = Event(self.scheduler)
        timer = self.scheduler.call_later(checked_seconds("seconds", seconds), event.set)
        try:
            await event.wait()
        finally:
            timer.cancel()
        await self.scheduler.idle()

    def hold_clock(self) -> AbstractContextManager[None]:
        """While this lasts, the clock stands still, and who waits, waits for other threads too.

        Threads take real time, of which the virtual clock knows nothing: timers would all run out
        before a thread has made its first call.
        """
        return self.scheduler.hold_clock()

    # -- by hand -------------------------------------------------------------------------------

    async def raw(self, name: str) -> End:
        """Connect to *name* and give the end, to be driven by hand.

        :raises OSError: ECONNREFUSED: nobody listens there; what `refuse` was called with;
            ETIMEDOUT: nobody answered (`black_hole`).
        """
        dialing = self.dial(name)
        try:
            await dialing.over.wait()
        except BaseException:
            dialing.give_up()
            raise
        end = dialing.take()
        assert end is not None
        return end

    def raw_listen(self, name: str) -> RawListener:
        """Listen on *name* by hand: each connection is an end to be accepted.

        :raises EndpointError: *name* cannot be a name.
        :raises OSError: EADDRINUSE: somebody listens there.
        """
        return RawListener(self.scheduler, self.listen(name))

    def ends(self) -> list[End]:
        """The ends of connections that nobody has closed."""
        return [end for wire in self._wires for end in wire.ends()]

    def open_ends(self) -> list[str]:
        """The listeners and the ends of connections that nobody has closed, described.

        Empty at the end of a test that leaks nothing.
        """
        listeners = [f"the listener on memory:{name}" for name in self._listening]
        return listeners + [f"{end.name}, connected to {end.peer}" for end in self.ends()]

    def flush_failures(self, *kinds: type[BaseException]) -> list[BaseException]:
        """Take what is in `failures` out of it, and give it: it was expected.

        :param kinds: only those of these classes; none: all.
        """
        wanted = kinds or (BaseException,)
        taken = [error for error in self.failures if isinstance(error, wanted)]
        self.failures = [error for error in self.failures if not isinstance(error, wanted)]
        return taken

    # -- faults of connections -----------------------------------------------------------------

    def set_chunks(
        self,
        chunks: Chunks | None,
        name: str | None = None,
        index: int | None = None,
        way: Way | None = None,
    ) -> None:
        """Have each read give so many bytes at most.

        :param chunks: one size; several, which are repeated; a function that is asked for each
            read; or None: all there is.
        :raises ValueError: a size is less than 1.
        """
        sizes(chunks)
        self._set(name, index, way, lambda: {"chunks": sizes(chunks)})

    def set_buffer(
        self, size: int, name: str | None = None, index: int | None = None, way: Way | None = None
    ) -> None:
        """Let *size* bytes be sent and not read; a send that finds them full takes nothing.

        :raises ValueError: *size* is less than 1.
        """
        whole_number("a buffer's size", size, least=1)
        self._set(name, index, way, lambda: {"buffer": size})

    def set_latency(
        self,
        seconds: float,
        name: str | None = None,
        index: int | None = None,
        way: Way | None = None,
    ) -> None:
        """Have everything take *seconds* on its way: bytes, ends of stream, resets, connecting.

        :raises ValueError: *seconds* is negative.
        """
        checked_seconds("latency", seconds)
        self._set(name, index, way, lambda: {"latency": seconds})

    def delay_end(
        self,
        seconds: float,
        name: str | None = None,
        index: int | None = None,
        way: Way | None = None,
    ) -> None:
        """Have each end of stream (FIN) take *seconds* more than the bytes before it.

        :raises ValueError: *seconds* is negative.
        """
        checked_seconds("delay", seconds)
        self._set(name, index, way, lambda: {"end_delay": seconds})

    def reset_after(
        self,
        size: int,
        name: str | None = None,
        index: int | None = None,
        way: Way | None = None,
        code: int = errno.ECONNRESET,
    ) -> None:
        """Break a connection for both ends once *size* bytes have arrived; no further one does.

        With 0, it breaks as soon as it is made, or now if it is open.

        :param way: which bytes are counted; None: of either way, each by itself.
        :param code: the errno that both ends are told, such as ECONNRESET or ETIMEDOUT.
        :raises ValueError: *size* is negative.
        """
        whole_number("reset_after's number of bytes", size, least=0)
        self._set(name, index, way, lambda: {"reset_after": size, "reset_error": code})

    def stall(
        self, name: str | None = None, index: int | None = None, way: Way | None = None
    ) -> None:
        """Let nothing be read: the reader has stalled, and the buffer fills. See `release`.

        A connection that breaks ends it too: what has arrived comes before the failure.
        """
        self._set(name, index, way, lambda: {"stalled": True})

    def release(
        self, name: str | None = None, index: int | None = None, way: Way | None = None
    ) -> None:
        """End what `stall` began: what has arrived can be read."""
        self._set(name, index, way, lambda: {"stalled": False})

    def _set(
        self,
        name: str | None,
        index: int | None,
        way: Way | None,
        change: Callable[[], dict[str, Any]],
    ) -> None:
        if way not in (None, "up", "down"):
            raise ValueError(f"a way is 'up', 'down' or None, not {way!r}")
        if index is not None:
            whole_number("a connection's index", index, least=0)
        self._faults.append((name, index, way, change))
        for wire in list(self._wires):
            if name in (None, wire.name) and index in (None, wire.number):
                for of_way, pipe in (("up", wire.up), ("down", wire.down)):
                    if way in (None, of_way):
                        pipe.change(replace(pipe.conditions, **change()))

    def _conditions(self, name: str, index: int, way: Way) -> Conditions:
        conditions = Conditions()
        for of_name, of_index, of_way, change in self._faults:
            if of_name in (None, name) and of_index in (None, index) and of_way in (None, way):
                conditions = replace(conditions, **change())
        return conditions

    # -- faults of connecting and accepting ----------------------------------------------------

    def refuse(self, name: str, code: int = errno.ECONNREFUSED) -> None:
        """Have connecting to *name* fail, though somebody may listen there. See `mend`.

        :param code: the errno.
        """
        self._refused[name] = code

    def black_hole(self, name: str) -> None:
        """Have nobody answer who connects to *name*. See `mend`.

        As a kernel does, connecting gives up by itself after about two minutes.
        """
        self._holes[name] = None

    def fail_accept(self, name: str, error: OSError, times: int = 1) -> None:
        """Have the next *times* that somebody accepts on *name* raise *error*.

        As with accept(2), EMFILE and its like leave the connection where it is, for another try;
        any other error is the connection's own, which is lost.
        """
        self._failures.setdefault(name, deque()).extend([error] * times)

    def mend(self, name: str) -> None:
        """Take back `refuse`, `black_hole` and `fail_accept` for *name*."""
        self._refused.pop(name, None)
        self._holes.pop(name, None)
        self._failures.setdefault(name, deque()).clear()

    # -- what the backend uses -----------------------------------------------------------------

    def listen(self, name: str) -> Listening:
        """Begin to listen on *name*.

        :raises EndpointError: *name* cannot be a name.
        :raises OSError: EADDRINUSE: somebody listens there.
        """
        Memory(name)
        if name in self._listening:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        failures = self._failures.setdefault(name, deque())
        self._listening[name] = Listening(name, failures, lambda: self._listening.pop(name))
        return self._listening[name]

    def dial(self, name: str) -> Dialing:
        """Begin to connect to *name*."""
        trip = None if name in self._holes else self._trip(name)
        return Dialing(self.scheduler, trip, partial(self.connect, name))

    def _trip(self, name: str) -> float:
        """Seconds that it takes to connect to *name*: there and back."""
        index = self._numbers.get(name, 0)
        up, down = self._conditions(name, index, "up"), self._conditions(name, index, "down")
        return up.latency + down.latency

    def connect(self, name: str) -> End:
        """The end of a new connection to *name*, whose other end waits to be accepted.

        :raises OSError: ECONNREFUSED: nobody listens there; or what `refuse` was called with.
        """
        listening = self._listening.get(name)
        if listening is None or name in self._refused:
            code = self._refused.get(name, errno.ECONNREFUSED)
            raise OSError(code, os.strerror(code))
        number = self._numbers.get(name, 0)
        self._numbers[name] = number + 1
        up, down = self._conditions(name, number, "up"), self._conditions(name, number, "down")
        wire = Wire(self.scheduler, name, number, up, down, self._released)
        self._wires[wire] = None
        listening.arrived(wire.server)
        return wire.client

    def _released(self, wire: Wire) -> None:
        if not wire.ends():
            self._wires.pop(wire, None)


_networks: WeakValueDictionary[Scheduler, Network] = WeakValueDictionary()
"""The network of each scheduler. A scheduler knows none: what is due is all that it is about."""


def running_network() -> Network | None:
    """The network whose scheduler is at work in this thread, if one is."""
    scheduler = running()
    return None if scheduler is None else _networks.get(scheduler)
