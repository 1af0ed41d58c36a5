"""One connection of the network: each fault at each byte, and TCP's rules about ends."""

from __future__ import annotations

import errno
from functools import partial

import pytest
from halfclose.memory import BUFFER, Chunks, End, Network
from memory.support import drive, joined

MESSAGE = b"hello, world"
PLACES = range(len(MESSAGE) + 1)


def read_on(end: End) -> tuple[bytes, str]:
    """All that *end* has to give now, and what comes after it."""
    data = b""
    while True:
        try:
            piece = end.recv()
        except OSError as error:
            return data, errno.errorcode[error.errno or 0]
        if piece is None:
            return data, "nothing yet"
        if not piece:
            return data, "end"
        data += piece


def pour(end: End, data: bytes) -> tuple[int, str]:
    """Send *data* byte by byte; how much was taken, and what came instead of the rest."""
    for place in range(len(data)):
        try:
            if not end.send(data[place : place + 1]):
                return place, "full"
        except OSError as error:
            return place, errno.errorcode[error.errno or 0]
    return len(data), "taken"


def both_ways(net: Network, way: str) -> tuple[End, End]:
    """Who sends and who reads, if *way* is "up" from who connected, else the other way round."""
    client, server = joined(net)
    return (client, server) if way == "up" else (server, client)


# -- faults, at each byte --------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [True, False], ids=["in one piece", "byte by byte"])
@pytest.mark.parametrize("code", [errno.ECONNRESET, errno.ETIMEDOUT], ids=errno.errorcode.get)
@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("place", PLACES)
def test_reset_at_each_byte(place: int, way: str, code: int, whole: bool) -> None:
    net = Network()
    net.reset_after(place, "name", 0, way, code)  # type: ignore[arg-type]
    sender, reader = both_ways(net, way)
    name = errno.errorcode[code]
    if whole and place:
        assert sender.send(MESSAGE) == len(MESSAGE)
    else:
        expected = (place, name) if place < len(MESSAGE) else (place, "taken")
        assert pour(sender, MESSAGE) == expected
    # What has arrived comes first, and to each end the same failure, again and again.
    assert read_on(reader) == (MESSAGE[:place], name)
    assert read_on(reader) == (b"", name)
    assert read_on(sender) == (b"", name)
    assert pour(sender, b"x") == (0, name)
    assert pour(reader, b"x") == (0, name)
    assert sender.unsent == 0
    for end in (sender, reader):
        end.close()
    assert net.open_ends() == []


@pytest.mark.parametrize("place", PLACES)
def test_reset_of_an_open_connection_at_each_byte(place: int) -> None:
    net = Network()
    client, server = joined(net)
    client.send(MESSAGE[:5])
    net.reset_after(place, way="up")
    if place <= 5:
        assert read_on(server) == (MESSAGE[:5], "ECONNRESET")
    else:
        client.send(MESSAGE[5:])
        assert read_on(server) == (MESSAGE[:place], "ECONNRESET")


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("place", PLACES)
def test_a_reader_that_stalls_at_each_byte(place: int, way: str) -> None:
    net = Network()
    net.set_buffer(20)
    sender, reader = both_ways(net, way)
    sender.send(MESSAGE[:place])
    assert read_on(reader) == (MESSAGE[:place], "nothing yet")
    net.stall("name", 0, way)  # type: ignore[arg-type]
    sender.send(MESSAGE[place:])
    sender.shutdown()
    assert read_on(reader) == (b"", "nothing yet")
    assert not reader.readable
    assert sender.unsent == len(MESSAGE) - place
    net.release()
    assert reader.readable
    assert read_on(reader) == (MESSAGE[place:], "end")
    assert sender.unsent == 0


def test_a_stalled_reader_fills_the_buffer() -> None:
    net = Network()
    net.set_buffer(5)
    net.stall(way="up")
    client, server = joined(net)
    assert pour(client, MESSAGE) == (5, "full")
    assert not client.writable
    assert pour(server, b"abc") == (3, "taken")
    net.release()
    assert read_on(server) == (b"hello", "nothing yet")
    assert client.writable


def test_a_reset_reaches_a_stalled_reader() -> None:
    net = Network()
    client, server = joined(net)
    client.send(MESSAGE)
    net.stall()
    client.reset()
    assert read_on(server) == (MESSAGE, "ECONNRESET")


@pytest.mark.parametrize("size", [*range(1, len(MESSAGE) + 2), BUFFER])
def test_a_buffer_of_each_size(size: int) -> None:
    net = Network()
    net.set_buffer(size)
    client, server = joined(net)
    for start in range(0, len(MESSAGE), size):
        piece = MESSAGE[start : start + size]
        assert client.send(MESSAGE[start:]) == len(piece)
        assert client.unsent == len(piece)
        assert client.writable == (len(piece) < size)
        assert read_on(server) == (piece, "nothing yet")
        assert client.unsent == 0
        assert client.writable


@pytest.mark.parametrize(
    ("chunks", "pieces"),
    [
        (1, [1] * 12),
        (5, [5, 5, 2]),
        (100, [12]),
        ([1, 2, 3], [1, 2, 3, 1, 2, 3]),
        (iter([4, 6, 1, 1]).__next__, [4, 6, 1, 1]),
        (None, [12]),
    ],
    ids=["1", "5", "100", "several", "function", "None"],
)
def test_chunks(chunks: Chunks | None, pieces: list[int]) -> None:
    net = Network(chunks=chunks)
    client, server = joined(net)
    client.send(MESSAGE)
    seen = []
    while server.unread:
        seen.append(server.recv() or b"")
    assert [len(piece) for piece in seen] == pieces
    assert b"".join(seen) == MESSAGE


def test_a_read_gives_no_more_than_was_asked_for() -> None:
    client, server = joined(Network())
    client.send(MESSAGE)
    assert server.recv(5) == b"hello"
    assert server.recv(0x10000) == b", world"


@pytest.mark.parametrize("wrong", [0, -1, [], [1, 0]])
def test_wrong_chunks(wrong: Chunks) -> None:
    with pytest.raises(ValueError, match="size"):
        Network(chunks=wrong)


@pytest.mark.parametrize("wrong", [1.5, "12", True])
def test_chunks_that_are_none(wrong: Chunks) -> None:
    with pytest.raises(TypeError, match="whole number"):
        Network(chunks=wrong)


@pytest.mark.parametrize("place", PLACES)
def test_an_end_of_stream_that_is_late_at_each_byte(place: int) -> None:
    net = Network()
    net.delay_end(30)
    client, server = joined(net)
    client.send(MESSAGE[:place])
    client.shutdown()
    assert read_on(server) == (MESSAGE[:place], "nothing yet")
    drive(net.advance(29))
    assert read_on(server) == (b"", "nothing yet")
    drive(net.advance(1))
    assert read_on(server) == (b"", "end")


def test_a_late_end_of_stream_of_an_end_that_was_closed() -> None:
    net = Network()
    net.delay_end(30)
    client, server = joined(net)
    client.close()
    assert read_on(server) == (b"", "nothing yet")
    drive(net.advance(30))
    assert read_on(server) == (b"", "end")


@pytest.mark.parametrize("place", PLACES)
def test_latency_at_each_byte(place: int) -> None:
    net = Network()
    net.set_latency(2)
    client, server = joined(net)
    client.send(MESSAGE[:place])
    drive(net.advance(1))
    client.send(MESSAGE[place:])
    client.shutdown()
    assert read_on(server) == (b"", "nothing yet")
    assert client.unsent == len(MESSAGE)
    drive(net.advance(1))
    assert read_on(server) == (MESSAGE[:place], "nothing yet")
    drive(net.advance(1))
    assert read_on(server) == (MESSAGE[place:], "end")


def test_nothing_overtakes_where_the_latency_falls() -> None:
    net = Network(latency=5)
    client, server = joined(net)
    client.send(b"first")
    net.set_latency(0)
    client.send(b"second")
    client.reset()
    assert read_on(server) == (b"", "nothing yet")
    drive(net.advance(5))
    assert read_on(server) == (b"firstsecond", "ECONNRESET")


# -- TCP's rules -----------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_reset_by_the_peer_after_each_byte(place: int) -> None:
    client, server = joined(Network())
    client.send(MESSAGE[:place])
    server.send(b"never read")
    client.reset()
    assert server.error is not None
    assert server.unread == place
    assert read_on(server) == (MESSAGE[:place], "ECONNRESET")
    assert pour(server, b"x") == (0, "ECONNRESET")
    with pytest.raises(OSError, match="not connected") as caught:
        server.shutdown()
    assert caught.value.errno == errno.ENOTCONN


def test_reset_after_the_end_of_stream_is_a_broken_pipe() -> None:
    client, server = joined(Network())
    client.send(MESSAGE)
    client.shutdown()
    client.reset()
    assert read_on(server) == (MESSAGE, "end")
    assert pour(server, b"x") == (0, "EPIPE")


def test_the_end_of_stream_comes_after_all_bytes_and_each_way_by_itself() -> None:
    client, server = joined(Network())
    client.send(MESSAGE)
    client.shutdown()
    client.shutdown()
    assert read_on(server) == (MESSAGE, "end")
    assert server.at_end
    assert pour(client, b"x") == (0, "EPIPE")
    assert pour(server, MESSAGE) == (12, "taken")
    assert read_on(client) == (MESSAGE, "nothing yet")
    server.shutdown()
    assert read_on(client) == (b"", "end")


def test_closing_with_all_read_is_an_end_of_stream() -> None:
    net = Network()
    client, server = joined(net)
    server.send(MESSAGE)
    server.close()
    server.close()
    assert read_on(client) == (MESSAGE, "end")
    assert net.open_ends() == ["memory:name~0, connected to memory:name"]


@pytest.mark.parametrize("stalled", [False, True])
def test_closing_with_something_unread_is_a_reset(stalled: bool) -> None:
    net = Network()
    if stalled:
        net.stall(way="up")
    client, server = joined(net)
    client.send(b"x")
    server.send(MESSAGE)
    server.close()
    assert read_on(client) == (MESSAGE, "ECONNRESET")


def test_what_comes_after_the_close_is_answered_with_a_reset() -> None:
    client, server = joined(Network())
    server.send(b"bye")
    server.close()
    assert client.send(b"x") == 1
    assert client.error is not None
    assert pour(client, b"y") == (0, "EPIPE")
    assert read_on(client) == (b"bye", "end")


def test_what_is_under_way_at_the_close_is_answered_with_a_reset() -> None:
    net = Network(latency=1)
    client, server = joined(net)
    client.send(b"x")
    server.close()
    drive(net.advance(1))
    assert read_on(client) == (b"", "end")
    drive(net.advance(1))
    assert pour(client, b"y") == (0, "EPIPE")


def test_a_closed_end_is_a_bad_descriptor() -> None:
    client, server = joined(Network())
    server.reset()
    client.close()
    for end in (client, server):
        for call in (partial(end.send, b"x"), end.recv, end.shutdown):
            with pytest.raises(OSError, match="Bad file descriptor") as caught:
                call()
            assert caught.value.errno == errno.EBADF
        end.reset()
        end.close()


def test_each_failure_is_raised_as_an_exception_of_its_own() -> None:
    client, server = joined(Network())
    client.reset()
    raised = []
    for _ in range(2):
        with pytest.raises(ConnectionResetError) as caught:
            server.recv()
        raised.append(caught.value)
    assert raised[0] is not raised[1]


def test_changes_are_told_once_something_can_be_done() -> None:
    net = Network()
    net.set_buffer(4)
    client, server = joined(net)
    told: list[str] = []
    client.on_change = lambda: told.append("client")
    server.on_change = lambda: told.append("server")
    client.send(b"1234")
    assert told == ["server"]
    server.recv()
    assert told == ["server", "client"]
    client.shutdown()
    assert told == ["server", "client", "server"]
    server.reset()
    assert told.count("client") >= 2
    assert not client.closed
    assert client.error is not None


# -- by hand ---------------------------------------------------------------------------------------


def test_the_waiting_calls() -> None:
    async def body() -> None:
        net = Network(latency=1, buffer=3, chunks=2)
        client, server = joined(net)
        net.scheduler.call_later(10, client.send, b"abc")
        assert await server.receive() == b"ab"
        assert net.clock == 11
        assert await server.receive_exactly(1) == b"c"
        net.scheduler.call_later(10, client.shutdown)
        with pytest.raises(EOFError, match="after 0 of 5"):
            await server.receive_exactly(5)
        assert await server.receive_all() == b""
        server.send(b"xyz")
        net.scheduler.call_later(10, client.recv)
        await server.until_writable()
        assert server.send(b"12345") == 2
        net.scheduler.call_later(5, server.close)
        with pytest.raises(OSError, match="Bad file descriptor"):
            await server.until_writable()

    drive(body())


def test_sending_all_waits_for_the_reader() -> None:
    async def body() -> None:
        net = Network(buffer=3)
        client, server = joined(net)

        def read() -> None:
            got.append(server.recv() or b"")
            net.scheduler.call_later(1, read)

        got: list[bytes] = []
        read()
        await client.send_all(MESSAGE)
        assert net.clock == 3
        await net.advance(1)
        assert b"".join(got) == MESSAGE
        server.reset()
        with pytest.raises(ConnectionResetError):
            await client.send_all(MESSAGE)

    drive(body())


def test_an_end_is_a_context_manager_and_says_what_it_is() -> None:
    net = Network()
    client, server = joined(net)
    assert repr(client) == "<End memory:name~0 of a connection with memory:name>"
    with client, server:
        assert len(net.ends()) == 2
    assert net.ends() == []
