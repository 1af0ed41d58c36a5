"""The parts of a connection, each alone: the feeds, the end of our half, the inbox, the flags."""

from __future__ import annotations

import ast
import inspect
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import halfclose
import pytest
from halfclose import (
    Backend,
    Connection,
    ConnectionOptions,
    HalfCloseableProtocol,
    Protocol,
    State,
)
from halfclose.connection.inbox import END_OF_STREAM, Failure, Inbox
from halfclose.connection.producers import (
    Consumer,
    Feed,
    PullFeed,
    PullSourceFeed,
    PushFeed,
    PushSourceFeed,
    Source,
    make_feed,
)
from halfclose.connection.write_eof import WriteEOF
from halfclose.interfaces import Producer, PushProducer

OPTIONS = ConnectionOptions(high_water=100, low_water=10)


class Told:
    """A producer of either style, and a list of what it, or its consumer, was told."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def pauseProducing(self) -> None:
        self._told.append("pause")

    def resumeProducing(self) -> None:
        self._told.append("resume")

    def stopProducing(self) -> None:
        self._told.append("stop")


class ToldSource(Told, Source):
    """The same, as another connection."""

    is_reading = True

    def add_consumer(self, consumer: Consumer) -> None:
        self._told.append("add")

    def remove_consumer(self, consumer: Consumer) -> None:
        self._told.append("remove")

    def cut_off(self) -> None:
        self._told.append("cut off")


class Writer(Consumer):
    """A connection, as a feed sees it, whose turns are taken by hand."""

    failure: BaseException | None = None

    def __init__(self) -> None:
        self.feed: Feed | None = None
        self.due: list[Callable[[], object]] = []
        self.pumps = 0

    def pause_producer(self, producer: PushProducer) -> None:
        producer.pauseProducing()

    def resume_producer(self, producer: Producer) -> None:
        producer.resumeProducing()

    def stop_producer(self, producer: Producer) -> None:
        producer.stopProducing()

    def ask_producer(self, feed: Feed) -> None:
        feed.producer.resumeProducing()

    def call_soon(self, function: Callable[[], object]) -> None:
        self.due.append(function)

    def deliver_soon(self) -> None:
        self.pumps += 1

    def stop_registered(self, feed: Feed) -> None:
        feed.stop()

    def source_ended(self, source: Source, *, broken: bool) -> None:
        raise AssertionError("a feed does not call it")

    def turn(self) -> None:
        due, self.due = self.due, []
        for function in due:
            function()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def writer() -> Writer:
    return Writer()


# -- feeds -------------------------------------------------------------------------------------


def push(told: list[str], writer: Writer) -> Feed:
    return make_feed(Told(told), True, writer, OPTIONS)


def pull(told: list[str], writer: Writer) -> Feed:
    return make_feed(Told(told), False, writer, OPTIONS)


def source(told: list[str], writer: Writer, streaming: bool = True) -> Feed:
    return make_feed(cast(Any, ToldSource(told)), streaming, writer, OPTIONS)


def test_the_style_is_the_producers(told: list[str], writer: Writer) -> None:
    assert type(push(told, writer)) is PushFeed
    assert type(pull(told, writer)) is PullFeed
    assert type(source(told, writer)) is PushSourceFeed
    assert type(source(told, writer, streaming=False)) is PullSourceFeed
    assert push(told, writer).source is None
    assert source(told, writer).source is not None
    assert told == []


def test_a_push_producer_is_paused_above_the_one_mark_and_resumed_at_the_other(
    told: list[str], writer: Writer
) -> None:
    feed = push(told, writer)
    feed.begin(0)
    for pending in (1, 100, 101, 200):
        feed.written(pending)
    assert told == ["pause"]
    feed.sent(11)
    assert not feed.resume_if_due()
    feed.sent(10)
    assert told == ["pause"], "it is resumed by the pump only"
    assert feed.resume_if_due()
    assert not feed.resume_if_due()
    assert told == ["pause", "resume"]


def test_a_push_producer_that_comes_late_is_paused_at_once(told: list[str], writer: Writer) -> None:
    push(told, writer).begin(101)
    assert told == ["pause"]


def test_a_pull_producer_is_asked_once_a_turn(told: list[str], writer: Writer) -> None:
    feed = pull(told, writer)
    feed.begin(0)
    for pending in (0, 0, 5):
        feed.written(pending)
    assert told == []
    writer.turn()
    assert told == ["resume"]
    writer.turn()
    feed.sent(1)
    writer.turn()
    assert told == ["resume"]
    feed.sent(0)
    writer.turn()
    assert told == ["resume"] * 2
    feed.dropped()
    feed.dismiss_if_idle()
    assert not feed.resume_if_due()
    writer.turn()
    assert told == ["resume"] * 2


def test_a_turn_that_was_refused_is_asked_for_again(
    told: list[str], writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(function: Callable[[], object]) -> None:
        raise OSError("no turn")

    feed = pull(told, writer)
    with monkeypatch.context() as patch:
        patch.setattr(writer, "call_soon", refuse)
        with pytest.raises(OSError, match="no turn"):
            feed.begin(0)
    feed.written(0)
    writer.turn()
    assert told == ["resume"]


def test_another_connection_knows_of_whom_it_produces_for(told: list[str], writer: Writer) -> None:
    feed = source(told, writer)
    feed.begin(101)
    feed.unregistered()
    assert told == ["add", "pause", "remove"]


def test_another_connection_is_asked_like_any_pull_producer(
    told: list[str], writer: Writer
) -> None:
    feed = source(told, writer, streaming=False)
    feed.begin(0)
    assert told == ["add"]
    writer.turn()
    assert told == ["add", "resume"]
    feed.written(101)
    feed.sent(1)
    writer.turn()
    assert told == ["add", "resume"], "a pull producer is never paused"
    feed.sent(0)
    feed.written(0)
    writer.turn()
    assert told == ["add", "resume", "resume"]
    feed.unregistered()
    assert told[3:] == ["remove"]


def test_a_protocol_that_pauses_after_each_piece_is_asked_for_the_next_one() -> None:
    pieces: list[bytes] = []

    class Kept(Protocol):
        def dataReceived(self, data: bytes) -> None:
            pieces.append(data)

    class OneByOne(Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.pauseProducing()
            onward.transport.write(data)

    async def main(backend: Backend) -> None:
        source = OneByOne()
        await backend.listen("memory:in", lambda: source)
        await backend.listen("memory:out", Kept)
        await backend.connect("memory:out", lambda: onward)
        client = await backend.connect("memory:in", Protocol)
        await backend.sleep(1)
        onward.transport.registerProducer(source.transport, False)
        for number in range(5):
            client.transport.write(b"%d" % number)
            await backend.sleep(1)
        assert pieces == [b"0", b"1", b"2", b"3", b"4"]

    onward = Protocol()
    halfclose.run(main, backend="memory")


@pytest.mark.parametrize(
    ("make", "expected"), [(push, ["pause"]), (pull, []), (source, [])], ids=["push", "pull", "src"]
)
def test_only_who_may_be_writing_in_a_loop_is_paused_by_a_drop(
    make: Callable[[list[str], Writer], Feed],
    expected: list[str],
    told: list[str],
    writer: Writer,
) -> None:
    feed = make(told, writer)
    feed.dropped()
    feed.dropped()
    assert told == expected


def test_where_nothing_can_be_sent_a_producer_is_stopped_and_a_connection_goes_on(
    told: list[str], writer: Writer
) -> None:
    for make in (push, pull):
        make(told, writer).dismiss()
        assert told == [], "not inside the verb that has found out"
        writer.turn()
        assert told == ["stop"]
        told.clear()
    feed = source(told, writer)
    feed.dismiss()
    writer.turn()
    assert feed.resume_if_due()
    assert told == ["resume"]
    source(told, writer, streaming=False).dismiss()
    writer.turn()
    assert told == ["resume"] * 2


def test_who_could_write_and_does_not_is_stopped_when_the_backend_is_left(
    told: list[str], writer: Writer
) -> None:
    feed = push(told, writer)
    feed.written(101)
    feed.dismiss_if_idle()
    writer.turn()
    assert told == ["pause"], "it has more to give"
    feed.sent(0)
    feed.resume_if_due()
    feed.dismiss_if_idle()
    feed.written(101)
    writer.turn()
    assert told == ["pause", "resume", "pause"], "it has been paused in the same turn"
    feed.sent(0)
    feed.resume_if_due()
    feed.dismiss_if_idle()
    writer.turn()
    assert told == ["pause", "resume", "pause", "resume", "stop"]
    told.clear()
    source(told, writer).dismiss_if_idle()
    writer.turn()
    assert told == []


def test_the_end_waits_for_every_producer_but_a_plain_protocols_other_side(
    told: list[str], writer: Writer
) -> None:
    for make in (push, pull):
        assert make(told, writer).delays_end(True)
        assert make(told, writer).delays_end(False)
    assert source(told, writer).delays_end(True)
    assert not source(told, writer).delays_end(False)


def test_another_connection_is_closed_after_a_clean_end_and_cut_off_after_a_failure(
    told: list[str], writer: Writer
) -> None:
    feed = source(told, writer)
    feed.stop()
    writer.failure = ConnectionResetError()
    feed.stop()
    assert told == ["stop", "cut off"]


# -- the end of our half -----------------------------------------------------------------------


@pytest.mark.parametrize("end", WriteEOF)
def test_an_end_that_was_sent_or_has_failed_stays_so(end: WriteEOF) -> None:
    assert end.after_sending().sent
    assert end.after_sending().failed == end.failed
    assert end.after_failing().failed
    assert end.after_failing().sent == end.sent
    assert end.after_sending().after_sending() is end.after_sending()
    assert end.after_failing().after_failing() is end.after_failing()


def test_what_has_only_been_asked_for_is_neither_sent_nor_failed() -> None:
    for end in (WriteEOF.OPEN, WriteEOF.SENDING):
        assert not end.sent
        assert not end.failed


# -- the inbox ---------------------------------------------------------------------------------


def test_the_inbox_says_what_it_ends_with() -> None:
    inbox = Inbox()
    assert not inbox
    assert inbox.failure is None
    assert not inbox.has_end_of_stream
    inbox.append(b"data")
    assert inbox.failure is None
    assert not inbox.has_end_of_stream
    inbox.append(END_OF_STREAM)
    assert inbox.has_end_of_stream
    reason = ConnectionResetError()
    inbox.append(Failure(reason))
    assert inbox.failure is reason
    assert not inbox.has_end_of_stream
    assert len(inbox) == 3


# -- states and flags --------------------------------------------------------------------------


def test_which_states_accept_writes() -> None:
    assert {state for state in State if state.accepts_writes} == {State.OPEN, State.READ_CLOSED}


FLAGS = ("_accepting", "_deliver_at_once", "_write_through")


def test_one_method_writes_the_flags_of_the_fast_path() -> None:
    found = set()
    for base in Connection.__mro__:
        if not base.__module__.startswith("halfclose."):
            continue
        tree = ast.parse(Path(inspect.getfile(base)).read_text())
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                found |= {
                    (function.name, node.attr)
                    for node in ast.walk(function)
                    if isinstance(node, ast.Attribute)
                    and isinstance(node.ctx, ast.Store)
                    and node.attr in FLAGS
                }
    writers = ("__init__", "_update_fast_path")
    assert found == {(writer, flag) for writer in writers for flag in FLAGS}


class Both(HalfCloseableProtocol):
    """Hears of everything, and does nothing; but the channel may report more meanwhile."""

    more = False
    found_stale = False

    def dataReceived(self, data: bytes) -> None:
        if self.more:
            self.more = False
            connection = cast(Connection, self.transport)
            connection.received(b"more")
            # An assertion that fails in here would only be logged.
            self.found_stale = self.found_stale or is_stale(connection)

    def readConnectionLost(self) -> None:
        pass

    def writeConnectionLost(self) -> None:
        pass


class Server(Both):
    made: list[Server]

    def connectionMade(self) -> None:
        self.made.append(self)


@pytest.mark.parametrize("seed", range(40))
def test_the_flags_are_never_out_of_date(seed: int) -> None:
    """Whatever is called, in whatever order: to compute them anew changes nothing."""
    chance = random.Random(seed)
    options = ConnectionOptions(
        high_water=1000,
        low_water=10,
        half_close_timeout=chance.choice([None, 5.0]),
        close_timeout=chance.choice([None, 5.0]),
    )

    async def main(backend: Backend) -> None:
        made: list[Server] = []
        factory = type("Made", (Server,), {"made": made})
        async with await backend.listen("memory:flags", factory, options=options) as listener:
            client = await backend.connect(listener.endpoint, Both, options=options)
            await backend.sleep(0)
            ends = [cast(Connection, each.transport) for each in (client, made[0])]
            for _ in range(chance.randrange(2, 25)):
                step(chance, *chance.sample(ends, 2))
                assert not any(map(is_stale, ends))
                if chance.random() < 0.5:
                    await backend.sleep(chance.choice([0, 0, 1]))
                assert not any(map(is_stale, ends))
            for end in ends:
                end.abortConnection()
            assert not any(map(is_stale, ends))
            assert not client.found_stale
            assert not made[0].found_stale

    halfclose.run(main, backend="memory")


def step(chance: random.Random, one: Connection, other: Connection) -> None:
    """Call one verb of *one*."""
    calls: list[Callable[[], object]] = [
        lambda: one.write(b"x" * chance.choice([1, 1 << 20])),
        one.pauseProducing,
        one.resumeProducing,
        lambda: register(one, other if chance.random() < 0.5 else Told([]), chance.random() < 0.5),
        one.unregisterProducer,
        one.loseWriteConnection,
        lambda: report_more(one),
    ]
    rare: list[Callable[[], object]] = [one.loseConnection, one.abortConnection, one.cut_off]
    chance.choice(calls if chance.random() < 0.9 else rare)()


def report_more(one: Connection) -> None:
    """Have the channel report some data, and more of it while the first is being delivered."""
    if one.state is not State.CLOSED:
        cast(Both, one.protocol).more = True
    one.received(b"data")


def register(one: Connection, producer: Any, streaming: bool) -> None:
    try:
        one.registerProducer(producer, streaming)
    except RuntimeError:
        one.unregisterProducer()


def is_stale(connection: Connection) -> bool:
    """Whether the flags are not what they would be if they were computed now."""
    before = [getattr(connection, flag) for flag in FLAGS]
    connection._update_fast_path()
    return before != [getattr(connection, flag) for flag in FLAGS]
