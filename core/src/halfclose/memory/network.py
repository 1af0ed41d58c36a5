"""A network inside this process: names, connections between them, and faults to inject."""

from __future__ import annotations

import errno
import os
import traceback
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
from .accept_queue import Listening, RawListener
from .conditions import BUFFER, Chunks, Conditions, any_sizes, sizes, whole_number
from .connecting import Dialing
from .scheduler import Scheduler, running
from .waiting import Event
from .wire import End, Wire

__all__ = ["Network", "Way", "running_network"]

Way: TypeAlias = Literal["up", "down"]
"""A direction: "up" is from the connecting end to the listening end, "down" is the way back."""


class Network:
    """A network of names, with its connections, its clock, and the faults that a test sets.

    A fault applies to a *name* (None: every name), to the connection with the number *index* to
    this name (counted from 0 for each name; None: every connection), and to one *way* (None: both).
    It applies to open connections and to later ones. If several faults of the same sort apply to a
    connection, the one that was set last counts.

    :param seed: draws the order in which connections are served that are ready at the same time,
        and how much each read gives. The same seed gives the same run. None: they are served in
        the order in which they became ready, and each read gives all that has arrived.
    :param chunks: how many bytes one read gives at most, in place of what the seed draws.
    :param buffer: bytes of each direction that may be sent and not read yet.
    :param latency: seconds that bytes, ends of stream, resets and connecting take on each way.
    :raises ValueError: *buffer* or a chunk's size is less than 1, or *latency* is negative.
    :raises TypeError: *buffer* or a chunk's size is no whole number, or *latency* is no number.
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
        self.scheduler: Scheduler = Scheduler(random)
        """What serves the network: the backend's, and not for tests."""
        _networks[self.scheduler] = self
        self._listening: dict[str, Listening] = {}
        self._wires: dict[Wire, None] = {}
        self._numbers: dict[str, int] = {}
        self._faults: list[tuple[str | None, int | None, Way | None, Callable[[], Any]]] = []
        self._refused: dict[str, int] = {}
        self._holes: dict[str, None] = {}
        self._failures: dict[str, deque[OSError]] = {}
        self.failures: list[BaseException] = []
        """The exceptions that events, factories, tasks, timers and plugins have raised and that
        were logged, in order; see `flush_failures`."""
        self._raised_by: list[tuple[BaseException, str]] = []
        if chunks is None and random is not None:
            chunks = any_sizes(random)
        self.set_chunks(chunks)
        self.set_buffer(buffer)
        self.set_latency(latency)

    # -- time ----------------------------------------------------------------------------------

    @property
    def clock(self) -> float:
        """Seconds of the virtual clock since the network was made. It moves only while a task
        waits."""
        return self.scheduler.now

    async def advance(self, seconds: float) -> None:
        """Wait for *seconds* of the virtual clock, and for everything that is due by then.

        With 0, everything happens that needs no time to pass.

        :param seconds: of the virtual clock, 0 or more.
        :raises ValueError: *seconds* is negative.
        :raises TypeError: *seconds* is no number.
        """
        event = Event(self.scheduler)
        timer = self.scheduler.call_later(checked_seconds("seconds", seconds), event.set)
        try:
            await event.wait()
        finally:
            timer.cancel()
        await self.scheduler.idle()

    def hold_clock(self) -> AbstractContextManager[None]:
        """A context in which the clock stands still, and waiting includes waiting for threads.

        Other threads take real time, which the virtual clock does not count. Without this, all
        timers would run out before a thread makes its first call.
        """
        return self.scheduler.hold_clock()

    # -- by hand -------------------------------------------------------------------------------

    async def raw(self, name: str) -> End:
        """Connect to *name*, and give our end of the connection, to be driven by hand.

        If it is cancelled, no connection stays open.

        :param name: the name, without ``memory:``.
        :raises OSError: ECONNREFUSED: nobody listens on *name*. ETIMEDOUT: nobody answered; see
            `black_hole`. Another: see `refuse`.
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
        """Listen on *name*, and give a listener whose connections are accepted by hand.

        :param name: the name, without ``memory:``.
        :raises EndpointError: *name* is no valid name.
        :raises OSError: EADDRINUSE: somebody listens on *name* already.
        """
        return RawListener(self.scheduler, self.listen(name))

    def ends(self) -> list[End]:
        """The ends of connections that are still open."""
        return [end for wire in self._wires for end in wire.ends()]

    def open_ends(self) -> list[str]:
        """The listeners and the ends of connections that are still open, described in words.

        The list is empty at the end of a test that leaks nothing.
        """
        listeners = [f"the listener on memory:{name}" for name in self._listening]
        return listeners + [f"{end.name}, connected to {end.peer}" for end in self.ends()]

    def add_failure(self, error: BaseException, raised_by: str) -> None:
        """Add to `failures`. The backends call it.

        :param error: what was raised.
        :param raised_by: by what, as the log says it.
        """
        self.failures.append(error)
        self._raised_by.append((error, raised_by))

    def describe_failures(self) -> list[str]:
        """What each of `failures` is and what has raised it, in words and in order.

        An exception that was noted twice, by an event and by a task that awaited it, counts once.
        """
        told: dict[int, str] = {}
        for error, raised_by in self._raised_by:
            if any(error is failure for failure in self.failures):
                words = "".join(traceback.format_exception_only(error)).strip()
                told.setdefault(id(error), f"{raised_by}: {words}")
        return list(told.values())

    def flush_failures(self, *kinds: type[BaseException]) -> list[BaseException]:
        """Remove the exceptions that a test has expected from `failures`, and give them.

        :param kinds: the classes of the exceptions to remove; without any, all are removed.
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
        """Limit how many bytes each read gives.

        :param chunks: one size; several sizes, which are used in turn; a function that is called
            before each read; or None: a read gives all that has arrived.
        :param name: the name that the fault is for, without ``memory:``; None: every name.
        :param index: the number of the connection to that name, counted from 0; None: every
            connection.
        :param way: the direction; None: both.
        :raises ValueError: a size is less than 1, no size is given, *index* is negative, or *way*
            is unknown.
        :raises TypeError: a size is no whole number.
        """
        sizes(chunks)
        self._set(name, index, way, lambda: {"chunks": sizes(chunks)})

    def set_buffer(
        self, size: int, name: str | None = None, index: int | None = None, way: Way | None = None
    ) -> None:
        """Let up to *size* bytes be sent and not read yet. Beyond that, a send takes nothing.

        :param size: bytes, 1 or more.
        :param name: the name that the fault is for, without ``memory:``; None: every name.
        :param index: the number of the connection to that name, counted from 0; None: every
            connection.
        :param way: the direction; None: both.
        :raises ValueError: *size* is less than 1, *index* is negative, or *way* is unknown.
        :raises TypeError: *size* is no whole number.
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
        """Have bytes, ends of stream, resets and connecting take *seconds* on their way.

        :param seconds: of the virtual clock, 0 or more.
        :param name: the name that the fault is for, without ``memory:``; None: every name.
        :param index: the number of the connection to that name, counted from 0; None: every
            connection.
        :param way: the direction; None: both.
        :raises ValueError: *seconds* is negative, *index* is negative, or *way* is unknown.
        :raises TypeError: *seconds* is no number.
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
        """Have each end of stream (FIN) take *seconds* longer than the bytes before it.

        :param seconds: of the virtual clock, 0 or more.
        :param name: the name that the fault is for, without ``memory:``; None: every name.
        :param index: the number of the connection to that name, counted from 0; None: every
            connection.
        :param way: the direction; None: both.
        :raises ValueError: *seconds* is negative, *index* is negative, or *way* is unknown.
        :raises TypeError: *seconds* is no number.
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
        """Break a connection for both ends once *size* bytes have arrived.

        No further byte arrives. With 0, a connection breaks as soon as it is made, or now if it is
        open.

        :param size: bytes, 0 or more.
        :param name: the name that the fault is for, without ``memory:``; None: every name.
        :param index: the number of the connection to that name, counted from 0; None: every
            connection.
        :param way: the direction whose bytes are counted; None: both, each counted by itself.
        :param code: the errno that both ends are told, such as ECONNRESET or ETIMEDOUT.
        :raises ValueError: *size* is negative, *index* is negative, or *way* is unknown.
        :raises TypeError: *size* is no whole number.
        """
        whole_number("reset_after's number of bytes", size, least=0)
        self._set(name, index, way, lambda: {"reset_after": size, "reset_error": code})

    def stall(
        self, name: str | None = None, index: int | None = None, way: Way | None = None
    ) -> None:
        """Let nothing be read, as if the reader had stalled, so that the buffer fills.

        `release` ends this. It also ends when the connection breaks: what has arrived can be read
        before the failure is told.

        :param name: the name that the fault is for, without ``memory:``; None: every name.
        :param index: the number of the connection to that name, counted from 0; None: every
            connection.
        :param way: the direction; None: both.
        :raises ValueError: *index* is negative, or *way* is unknown.
        """
        self._set(name, index, way, lambda: {"stalled": True})

    def release(
        self, name: str | None = None, index: int | None = None, way: Way | None = None
    ) -> None:
        """End what `stall` began, so that what has arrived can be read.

        :param name: the name that the fault is for, without ``memory:``; None: every name.
        :param index: the number of the connection to that name, counted from 0; None: every
            connection.
        :param way: the direction; None: both.
        :raises ValueError: *index* is negative, or *way* is unknown.
        """
        self._set(name, index, way, lambda: {"stalled": False})

    def _set(
        self,
        name: str | None,
        index: int | None,
        way: Way | None,
        change: Callable[[], dict[str, Any]],
    ) -> None:
        """Add a fault, and apply it to open connections.

        :param change: gives the fields of `Conditions` to change. It is called for each pipe, so
            that each has an iterator of chunks of its own.
        """
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
        """The conditions of one direction of a connection that is to be made."""
        conditions = Conditions()
        for of_name, of_index, of_way, change in self._faults:
            if of_name in (None, name) and of_index in (None, index) and of_way in (None, way):
                conditions = replace(conditions, **change())
        return conditions

    # -- faults of connecting and accepting ----------------------------------------------------

    def refuse(self, name: str, code: int = errno.ECONNREFUSED) -> None:
        """Have each attempt to connect to *name* fail, even if somebody listens there.

        `mend` ends this.

        :param name: the name, without ``memory:``.
        :param code: the errno of the failure.
        """
        self._refused[name] = code

    def black_hole(self, name: str) -> None:
        """Have nobody answer attempts to connect to *name*.

        `mend` ends this. As in a kernel, an attempt fails with ETIMEDOUT after about two minutes.

        :param name: the name, without ``memory:``.
        """
        self._holes[name] = None

    def fail_accept(self, name: str, error: OSError, times: int = 1) -> None:
        """Have the next *times* calls of ``accept`` on *name* raise *error*.

        As with accept(2), after an error such as EMFILE the connection can still be accepted. Any
        other error costs the connection that would have been accepted.

        :param name: the name, without ``memory:``.
        :param error: what accepting raises.
        :param times: how many times.
        """
        self._failures.setdefault(name, deque()).extend([error] * times)

    def mend(self, name: str) -> None:
        """End what `refuse`, `black_hole` and `fail_accept` began for *name*. Idempotent.

        :param name: the name, without ``memory:``.
        """
        self._refused.pop(name, None)
        self._holes.pop(name, None)
        self._failures.setdefault(name, deque()).clear()

    # -- what the backend uses -----------------------------------------------------------------

    def listen(self, name: str) -> Listening:
        """Begin to listen on *name*.

        :param name: the name, without ``memory:``.
        :raises EndpointError: *name* is no valid name.
        :raises OSError: EADDRINUSE: somebody listens on *name* already.
        """
        Memory(name)
        if name in self._listening:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        failures = self._failures.setdefault(name, deque())
        self._listening[name] = Listening(name, failures, lambda: self._listening.pop(name))
        return self._listening[name]

    def dial(self, name: str) -> Dialing:
        """Begin to connect to *name*.

        :param name: the name, without ``memory:``.
        """
        trip = None if name in self._holes else self._trip(name)
        return Dialing(self.scheduler, trip, partial(self.connect, name))

    def _trip(self, name: str) -> float:
        """Seconds that it takes to connect to *name*: the latencies of both ways."""
        index = self._numbers.get(name, 0)
        up, down = self._conditions(name, index, "up"), self._conditions(name, index, "down")
        return up.latency + down.latency

    def connect(self, name: str) -> End:
        """Make a connection to *name*, whose other end then waits to be accepted.

        :param name: the name, without ``memory:``.
        :returns: our end.
        :raises OSError: ECONNREFUSED: nobody listens on *name*; or the errno that `refuse` was
            called with.
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
"""The network of each scheduler, which does not know its network itself."""


def running_network() -> Network | None:
    """The network whose scheduler runs in this thread; None if no scheduler runs here."""
    scheduler = running()
    return None if scheduler is None else _networks.get(scheduler)
