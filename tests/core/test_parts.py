"""Outgoing, Deadline and the pollers, each alone."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import pytest
from halfclose import Backend, Channel
from halfclose.connection.outgoing import Outgoing
from halfclose.deadline import Deadline, Deadlines
from halfclose.io.poller import ERROR, READ, WRITE, EpollPoller, Poller, WatchPoller
from hypothesis import given, settings
from hypothesis import strategies as st

# -- Outgoing ----------------------------------------------------------------------------------


class Pipe:
    """The only method of a channel that Outgoing uses."""

    def __init__(self, *taken: int) -> None:
        self.taken = list(taken)
        self.calls: list[int] = []
        self.sent = bytearray()

    def write(self, data: bytes | memoryview) -> int:
        assert isinstance(data, (bytes, memoryview))
        assert len(data)
        assert memoryview(data).readonly
        taken = self.taken.pop(0) if self.taken else len(data)
        if taken < 0:
            raise OSError(-taken, os.strerror(-taken))
        taken = min(taken, len(data))
        self.calls.append(len(data))
        self.sent += data[:taken]
        return taken


def outgoing(pipe: Pipe) -> Outgoing:
    return Outgoing(cast(Channel, pipe))


def test_nothing_waits_at_first() -> None:
    pipe = Pipe()
    queue = outgoing(pipe)
    assert queue.size == 0
    assert queue.flush() == 0
    assert pipe.calls == []


def test_what_is_taken_at_once_is_not_queued() -> None:
    pipe = Pipe()
    queue = outgoing(pipe)
    assert queue.write(b"abc") == 3
    assert (queue.size, bytes(pipe.sent)) == (0, b"abc")


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_the_rest_waits_and_what_follows_waits_behind_it(taken: int) -> None:
    pipe = Pipe(taken)
    queue = outgoing(pipe)
    assert queue.write(b"abc") == taken
    assert queue.size == 3 - taken
    assert queue.write(b"def") == 0
    assert queue.size == 6 - taken
    assert pipe.calls == [3]
    assert queue.flush() == 6 - taken
    assert (queue.size, bytes(pipe.sent)) == (0, b"abcdef")


def test_small_pieces_are_joined() -> None:
    pipe = Pipe(0)
    queue = outgoing(pipe)
    for number in range(1000):
        queue.write(b"%03d" % number)
    queue.flush()
    assert pipe.calls == [3, 3000]
    assert pipe.sent == b"".join(b"%03d" % number for number in range(1000))


def test_a_join_has_a_limit_and_large_pieces_are_not_copied() -> None:
    pipe = Pipe(0)
    queue = outgoing(pipe)
    big = b"x" * (1 << 20)
    for piece in (b"a" * 40_000, b"b" * 40_000, big, b"c"):
        queue.write(piece)
    queue.flush()
    assert pipe.calls == [40_000, 40_000, 40_000, 1 << 20, 1]
    assert queue.size == 0


def test_a_partial_take_ends_the_flush() -> None:
    pipe = Pipe(0, 4, 0, 5)
    queue = outgoing(pipe)
    queue.write(b"0123456789")
    assert queue.flush() == 4
    assert queue.flush() == 0
    assert queue.flush() == 5
    assert queue.size == 1
    assert queue.flush() == 1
    assert pipe.sent == b"0123456789"


def test_clear() -> None:
    pipe = Pipe(1)
    queue = outgoing(pipe)
    queue.write(b"abc")
    queue.clear()
    assert (queue.size, queue.flush()) == (0, 0)
    assert queue.write(b"d") == 1
    assert pipe.sent == b"ad"


def test_an_error_comes_out() -> None:
    queue = outgoing(Pipe(-errno.EPIPE))
    with pytest.raises(BrokenPipeError):
        queue.write(b"abc")
    queue = outgoing(Pipe(0, -errno.ECONNRESET))
    queue.write(b"abc")
    with pytest.raises(ConnectionResetError):
        queue.flush()


@given(st.data())
def test_any_sequence_keeps_bytes_order_and_size(data: st.DataObject) -> None:
    taken = data.draw(st.lists(st.sampled_from([0, 1, 2, 100, 65_536, 1 << 20]), max_size=30))
    pipe = Pipe(*taken)
    queue = outgoing(pipe)
    expected = bytearray()
    counter = 0
    for step in data.draw(st.lists(st.sampled_from([0, 1, 3, 1000, 65_536, 70_000]), max_size=30)):
        if step:
            counter += 1
            piece = bytes([counter % 256]) * step
            expected += piece
            before = len(pipe.sent)
            assert queue.write(piece) == len(pipe.sent) - before
        else:
            before = len(pipe.sent)
            assert queue.flush() == len(pipe.sent) - before
        assert queue.size == len(expected) - len(pipe.sent)
        assert expected.startswith(pipe.sent)
    while queue.size:
        queue.flush()
    assert pipe.sent == expected


def cost(pieces: int, taken: int) -> float:
    """Seconds to push *pieces* of 64 bytes through a channel that takes *taken* a call."""
    best = 1e9
    for _ in range(3):
        pipe = Pipe(0)
        queue = outgoing(pipe)
        for _ in range(pieces):
            queue.write(b"x" * 64)
        pipe.taken = [taken] * (pieces * 64 // taken + 2)
        begin = time.process_time()
        while queue.size:
            queue.flush()
        best = min(best, time.process_time() - begin)
        assert len(pipe.sent) == pieces * 64
    return best


@pytest.mark.parametrize("taken", [1 << 30, 65_536, 4096, 1448])
def test_the_cost_is_linear(taken: int) -> None:
    """Sixteen times the bytes cost no hundred times the time, also by small sends."""
    small, large = cost(4_000, taken), cost(64_000, taken)
    assert large < max(small, 0.001) * 100
    assert large < 2.0


# -- Deadline ----------------------------------------------------------------------------------


class Clock:
    """The part of a backend that Deadline uses, with a clock of our own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, Callable[[], None], list[bool]]] = []
        self.made = 0
        self.failures: list[Exception] = []
        self.deadlines = Deadlines(cast(Backend, self))

    def guarded(self, function: Callable[..., None], *args: object) -> None:
        try:
            function(*args)
        except Exception as error:
            self.failures.append(error)

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, function: Callable[[], None]) -> Any:
        assert seconds >= 0
        self.made += 1
        cancelled: list[bool] = []
        self.timers.append((self.now + seconds, function, cancelled))

        class Handle:
            def cancel(self) -> None:
                cancelled.append(True)

        return Handle()

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            due = sorted((t for t in self.timers if t[0] <= end), key=lambda timer: timer[0])
            if not due:
                break
            self.timers.remove(due[0])
            self.now = max(self.now, due[0][0])
            if not due[0][2]:
                due[0][1]()
        self.now = end

    @property
    def alive(self) -> int:
        return sum(not cancelled for _, _, cancelled in self.timers)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def deadline(clock: Clock, seconds: float, expired: Callable[[], None]) -> Deadline:
    return Deadline(cast(Backend, clock), seconds, expired, lambda: 0)


def test_a_deadline_runs_out_once(clock: Clock) -> None:
    rung: list[float] = []
    deadline(clock, 5, lambda: rung.append(clock.now))
    clock.advance(4.99)
    assert rung == []
    clock.advance(0.01)
    assert rung == [1005]
    clock.advance(1000)
    assert rung == [1005]
    assert clock.alive == 0


def test_a_touch_begins_anew(clock: Clock) -> None:
    rung: list[float] = []
    line = deadline(clock, 5, lambda: rung.append(clock.now))
    for _ in range(10):
        clock.advance(3)
        line.touch()
    assert rung == []
    clock.advance(4.9)
    assert rung == []
    clock.advance(0.2)
    assert rung == [pytest.approx(1035)]


def test_touches_make_no_timers(clock: Clock) -> None:
    line = deadline(clock, 5, lambda: None)
    for _ in range(1000):
        line.touch()
    assert len(clock.timers) == 1


@pytest.mark.parametrize("waited", [0, 3, 7])
def test_a_cancelled_deadline_never_rings(clock: Clock, waited: float) -> None:
    rung: list[int] = []
    line = deadline(clock, 5, lambda: rung.append(1))
    clock.advance(1)
    line.touch()
    clock.advance(waited)
    before = len(rung)
    line.cancel()
    line.cancel()
    line.touch()
    clock.advance(100)
    assert len(rung) == before
    assert clock.alive == 0


def test_a_deadline_of_no_seconds(clock: Clock) -> None:
    rung: list[int] = []
    deadline(clock, 0, lambda: rung.append(1))
    assert rung == []
    clock.advance(0)
    assert rung == [1]


def test_many_share_a_timer_and_each_rings_in_its_own_time(clock: Clock) -> None:
    waited: list[float] = []

    def begin() -> None:
        begun = clock.now
        deadline(clock, 4, lambda: waited.append(clock.now - begun))

    for _ in range(5_000):
        begin()
        clock.now += 0.0001
    assert clock.made == 1
    clock.advance(5)
    assert len(waited) == 5_000
    assert min(waited) == pytest.approx(4)
    assert max(waited) == pytest.approx(4)
    assert clock.alive == 0


def test_those_that_wait_do_so_whoever_leaves(clock: Clock) -> None:
    rung: list[int] = []
    lines = [deadline(clock, 5, partial(rung.append, place)) for place in range(5)]
    for place in (0, 4, 2):
        lines[place].cancel()
    clock.advance(5)
    assert rung == [1, 3]
    lines = [deadline(clock, 5, lambda: rung.append(9)) for _ in range(3)]
    for line in lines:
        line.cancel()
    assert clock.alive == 0
    clock.advance(10)
    assert rung == [1, 3]


def test_one_that_fails_keeps_no_other_waiting(clock: Clock) -> None:
    rung: list[float] = []

    def fail() -> None:
        raise OSError("nobody is interested")

    deadline(clock, 5, fail)
    deadline(clock, 5, lambda: rung.append(clock.now))
    clock.advance(5)
    assert rung == [1005]
    assert [str(error) for error in clock.failures] == ["nobody is interested"]
    assert clock.alive == 0


def test_one_that_rings_may_cancel_others_and_begin_anew(clock: Clock) -> None:
    rung: list[float] = []

    def replace() -> None:
        other.cancel()
        deadline(clock, 0.001, lambda: rung.append(clock.now))
        deadline(clock, 5, lambda: rung.append(clock.now))

    deadline(clock, 5, replace)
    other = deadline(clock, 5, lambda: rung.append(0))
    clock.advance(20)
    assert rung == [pytest.approx(1005.001), pytest.approx(1010)]
    assert clock.alive == 0


# -- pollers -----------------------------------------------------------------------------------


class Loop:
    """The part of a backend that pollers use: one poll(2) loop, driven by hand."""

    def __init__(self) -> None:
        self.watches: dict[object, tuple[int, int, Callable[[], object]]] = {}
        self.fatals: list[BaseException] = []
        self.escaped: list[BaseException] = []

    def watch(self, fd: int, ready: Callable[[], object], *, write: bool = False) -> Any:
        key = object()
        self.watches[key] = (fd, select.POLLOUT if write else select.POLLIN, ready)
        watches = self.watches

        class Watch:
            def stop(self) -> None:
                watches.pop(key, None)

        return Watch()

    def fatal(self, error: BaseException) -> None:
        self.fatals.append(error)

    def report(self, error: BaseException, message: str, *args: object) -> None:
        logging.getLogger("halfclose").error(message, *args, exc_info=error)

    def guarded(self, function: Callable[..., object], *args: object) -> None:
        try:
            function(*args)
        except BaseException as error:
            self.escaped.append(error)

    def turn(self) -> int:
        """Call what is ready, once; how many that were."""
        poll = select.poll()
        wanted: dict[int, int] = {}
        for fd, mask, _ in self.watches.values():
            wanted[fd] = wanted.get(fd, 0) | mask
        for fd, mask in wanted.items():
            poll.register(fd, mask)
        found = dict(poll.poll(0))
        called = 0
        for key, (fd, mask, ready) in list(self.watches.items()):
            hit = found.get(fd, 0) & (mask | select.POLLERR | select.POLLHUP)
            if hit and key in self.watches:
                called += 1
                self.guarded(ready)
        return called


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture(params=[EpollPoller, WatchPoller])
def poller(request: pytest.FixtureRequest, loop: Loop) -> Iterator[Poller]:
    poller: Poller = request.param(cast(Backend, loop))
    yield poller
    poller.close()


@pytest.fixture
def epoll_poller(loop: Loop) -> Iterator[EpollPoller]:
    poller = EpollPoller(cast(Backend, loop))
    yield poller
    poller.close()


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    made = [socket.socketpair() for _ in range(5)]
    for ours, theirs in made:
        ours.setblocking(False)
        theirs.setblocking(False)
    yield made
    for ours, theirs in made:
        ours.close()
        theirs.close()


Pairs = list[tuple[socket.socket, socket.socket]]


def no_break(error: Exception) -> None:
    raise AssertionError("broken was called") from error


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    ours.setblocking(False)
    return ours, theirs


def reset(sock: socket.socket, other: socket.socket) -> None:
    """Close *sock* so that *other* sees a reset, and wait until its kernel has it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
    poll = select.poll()
    poll.register(other, 0)
    assert poll.poll(20_000)


def test_nothing_is_wanted_at_first(loop: Loop, poller: Poller, pairs: Pairs) -> None:
    ours, theirs = pairs[0]
    heard: list[int] = []
    poller.register(ours.fileno(), heard.append, no_break)
    theirs.send(b"x")
    loop.turn()
    assert [ready for ready in heard if ready & (READ | WRITE)] == []


def test_read_and_write(loop: Loop, poller: Poller, pairs: Pairs) -> None:
    ours, theirs = pairs[0]
    heard: list[int] = []
    registration = poller.register(ours.fileno(), heard.append, no_break)
    registration.want(READ)
    loop.turn()
    assert heard == []
    theirs.send(b"x")
    loop.turn()
    loop.turn()
    assert heard == [READ, READ]  # level-triggered
    heard.clear()
    registration.want(WRITE)
    loop.turn()
    assert heard == [WRITE]
    registration.want(READ | WRITE)
    heard.clear()
    loop.turn()
    assert sum(set(heard)) == READ | WRITE
    registration.want(0)
    heard.clear()
    for _ in range(5):
        loop.turn()
    assert heard == []


def test_a_hang_up_calls_who_wants_to_read(loop: Loop, poller: Poller, pairs: Pairs) -> None:
    ours, theirs = pairs[0]
    heard: list[int] = []
    poller.register(ours.fileno(), heard.append, no_break).want(READ)
    theirs.close()
    loop.turn()
    assert heard
    assert heard[0] & ~WRITE


class Odd(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError, OSError, asyncio.CancelledError, Odd, GeneratorExit])
@pytest.mark.parametrize("bad", [0, 2, 4])
def test_a_handler_that_raises_does_not_stop_the_others(
    loop: Loop, poller: Poller, pairs: Pairs, error: type[BaseException], bad: int
) -> None:
    heard: list[int] = []
    broken: list[BaseException] = []

    def handler(number: int) -> Callable[[int], None]:
        def handle(ready: int) -> None:
            if number == bad:
                raise error("handler")
            heard.append(number)

        return handle

    for number, (ours, theirs) in enumerate(pairs):
        poller.register(ours.fileno(), handler(number), broken.append).want(READ)
        theirs.send(b"x")
    loop.turn()
    assert sorted(heard) == [n for n in range(5) if n != bad]
    assert len(broken) == 1
    assert isinstance(broken[0], error) or isinstance(broken[0].__cause__, error)
    assert loop.escaped == []
    loop.turn()
    assert sorted(heard) == sorted(2 * [n for n in range(5) if n != bad])
    assert len(broken) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_fatal_handler_does_not_stop_the_others(
    loop: Loop, poller: Poller, pairs: Pairs, error: type[BaseException]
) -> None:
    heard: list[int] = []

    def fatal(ready: int) -> None:
        raise error

    for number, (ours, theirs) in enumerate(pairs):
        poller.register(ours.fileno(), heard.append if number else fatal, no_break).want(READ)
        theirs.send(b"x")
    loop.turn()
    assert heard == [READ] * 4
    assert [type(e) for e in loop.fatals] == [error]
    assert loop.escaped == []


def test_a_broken_that_raises_does_not_stop_the_others(
    loop: Loop, poller: Poller, pairs: Pairs
) -> None:
    heard: list[int] = []

    def bad(ready: int) -> None:
        raise ValueError

    for number, (ours, theirs) in enumerate(pairs):
        poller.register(ours.fileno(), heard.append if number else bad, no_break).want(READ)
        theirs.send(b"x")
    loop.turn()
    assert heard == [READ] * 4
    assert [type(e) for e in loop.escaped] == [AssertionError]


def test_an_error_is_reported_once_where_nothing_is_wanted(
    loop: Loop, epoll_poller: EpollPoller
) -> None:
    """EPOLLERR cannot be masked: level-triggered, it would keep the loop busy for ever."""
    ours, theirs = tcp_pair()
    with ours:
        heard: list[int] = []
        registration = epoll_poller.register(ours.fileno(), heard.append, no_break)
        registration.want(READ)
        registration.want(0)
        reset(theirs, ours)
        for _ in range(20):
            loop.turn()
        assert len(heard) == 1
        assert heard[0] & ERROR
        assert loop.turn() == 0  # the loop is not woken either
        registration.stop()


def test_a_hang_up_is_reported_at_most_once_where_nothing_is_wanted(
    loop: Loop, epoll_poller: EpollPoller, pairs: Pairs
) -> None:
    ours, theirs = pairs[0]
    heard: list[int] = []
    registration = epoll_poller.register(ours.fileno(), heard.append, no_break)
    theirs.close()
    for _ in range(20):
        loop.turn()
    assert len(heard) <= 1
    assert loop.turn() == 0
    registration.want(READ)
    loop.turn()
    assert heard[-1] & READ


def test_a_handler_may_stop_any_registration(loop: Loop, poller: Poller, pairs: Pairs) -> None:
    registrations: list[Any] = []
    heard: list[int] = []

    def stop_all(number: int) -> Callable[[int], None]:
        def handle(ready: int) -> None:
            heard.append(number)
            for registration, (ours, _) in zip(registrations, pairs, strict=True):
                registration.stop()
                ours.close()

        return handle

    for number, (ours, theirs) in enumerate(pairs):
        registrations.append(poller.register(ours.fileno(), stop_all(number), no_break))
        registrations[-1].want(READ)
        theirs.send(b"x")
    for _ in range(3):
        loop.turn()
    assert len(heard) == 1
    assert loop.escaped == []


def test_stop_and_want_after_stop(loop: Loop, poller: Poller, pairs: Pairs) -> None:
    ours, theirs = pairs[0]
    heard: list[int] = []
    registration = poller.register(ours.fileno(), heard.append, no_break)
    registration.want(READ)
    registration.stop()
    registration.stop()
    theirs.send(b"x")
    loop.turn()
    assert heard == []
    # The descriptor may be registered anew.
    again = poller.register(ours.fileno(), heard.append, no_break)
    again.want(READ)
    registration.stop()
    loop.turn()
    assert heard == [READ]


def test_want_after_stop_does_nothing(loop: Loop, poller: Poller, pairs: Pairs) -> None:
    ours, theirs = pairs[0]
    heard: list[int] = []
    registration = poller.register(ours.fileno(), heard.append, no_break)
    registration.stop()
    registration.want(READ)
    theirs.send(b"x")
    loop.turn()
    assert heard == []


def test_close_is_idempotent_and_ends_everything(loop: Loop, poller: Poller, pairs: Pairs) -> None:
    ours, theirs = pairs[0]
    heard: list[int] = []
    registration = poller.register(ours.fileno(), heard.append, no_break)
    registration.want(READ)
    theirs.send(b"x")
    poller.close()
    poller.close()
    assert loop.turn() == 0
    assert heard == []
    registration.want(WRITE)
    registration.stop()
    assert loop.watches == {}


def test_a_regular_file_is_refused(poller: Poller, tmp_path: Any) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(PermissionError):
        poller.register(file.fileno(), lambda ready: None, no_break)


def note(heard: list[int], fd: int, ready: int) -> None:
    heard.append(fd)


def test_one_turn_is_bounded(loop: Loop, epoll_poller: EpollPoller) -> None:
    """However many are ready, the loop's other work is not kept waiting for all of them."""
    count = 600
    pipes = [os.pipe() for _ in range(count)]
    try:
        heard: list[int] = []
        for read, write in pipes:
            os.write(write, b"x")
            epoll_poller.register(read, partial(note, heard, read), no_break).want(READ)
        loop.turn()
        assert 0 < len(heard) < count
        while len(set(heard)) < count:
            assert loop.turn() == 1
            assert len(heard) < 10 * count
    finally:
        epoll_poller.close()
        for pair in pipes:
            for fd in pair:
                os.close(fd)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0, READ, WRITE, READ | WRITE]))))
def test_any_order_of_wants(wants: list[tuple[int, int]]) -> None:
    loop = Loop()
    for kind in (EpollPoller, WatchPoller):
        poller = kind(cast(Backend, loop))
        pairs = [socket.socketpair() for _ in range(3)]
        try:
            heard: list[list[int]] = [[], [], []]
            registrations = [
                poller.register(ours.fileno(), heard[number].append, no_break)
                for number, (ours, _) in enumerate(pairs)
            ]
            state = [0, 0, 0]
            for number, events in wants:
                registrations[number].want(events)
                state[number] = events
            for _, theirs in pairs:
                theirs.send(b"x")
            loop.turn()
            for number in range(3):
                told = 0
                for ready in heard[number]:
                    told |= ready
                assert told & (READ | WRITE) == state[number]
        finally:
            poller.close()
            for ours, theirs in pairs:
                ours.close()
                theirs.close()
