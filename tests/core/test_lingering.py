"""Lingering: an honest peer gets everything, and no other costs much."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from core.support import TWISTED, VARIANTS, Recorder, run, until
from halfclose import TCP, Backend, ConnectionDone, ConnectionOptions
from halfclose.channel import Channel, ChannelHandler
from halfclose.deadline import Deadlines
from halfclose.endpoints import Endpoint
from halfclose.io import lingering
from halfclose.io.lingering import Lingering
from halfclose.testing.tools.shortage import no_more_descriptors

SOCKETS = ("poller", "native")


class Reply(Recorder):
    """Says so and closes."""

    size = 5

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(b"reply"[:1] * self.size)
        self.transport.loseConnection()


@contextmanager
def dialed(endpoint: Endpoint) -> Iterator[socket.socket]:
    assert isinstance(endpoint, TCP)
    with socket.create_connection((endpoint.host, endpoint.port)) as sock:
        sock.settimeout(20)
        yield sock


@pytest.mark.parametrize("sockets", SOCKETS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_upload_that_comes_before_the_reply_is_read(variant: str, sockets: str) -> None:
    """64 MiB, to one whose reply is with the peer's kernel at once."""
    got: list[bytes] = []

    def upload(endpoint: Endpoint) -> None:
        block = b"u" * (1 << 20)
        with dialed(endpoint) as sock:
            for _ in range(64):
                sock.sendall(block)
            while data := sock.recv(100):
                got.append(data)

    async def main(backend: Backend) -> None:
        made: list[Reply] = []

        def factory() -> Reply:
            made.append(Reply())
            return made[-1]

        async with await backend.listen("tcp:127.0.0.1:0", factory) as listener:
            thread = threading.Thread(target=upload, args=(listener.endpoint,))
            thread.start()
            await until(backend, lambda: not thread.is_alive())
            assert isinstance(made[0].reason, ConnectionDone)
        assert b"".join(got) == b"rrrrr"

    run(main, variant=variant, options={"sockets": sockets})


SERVER = """
    import resource, sys
    import halfclose
    from halfclose import ConnectionOptions, Protocol

    variant, sockets, size = sys.argv[1:]

    class Reply(Protocol):
        def connectionMade(self):
            self.transport.write(b"r" * int(size))
            self.transport.loseConnection()

        def dataReceived(self, data):
            pass

    async def main(backend):
        options = ConnectionOptions(linger_timeout=1000)
        if sockets == "as_factory":
            from halfclose_twisted import as_factory
            from twisted.internet.endpoints import TCP4ServerEndpoint

            where = TCP4ServerEndpoint(backend.reactor, 0, interface="127.0.0.1")
            number = (await where.listen(as_factory(Reply, options))).getHost().port
        else:
            listener = await backend.listen("tcp:127.0.0.1:0", Reply, options)
            number = listener.endpoint.port
        resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
        print(number, flush=True)
        end = backend.create_event()
        backend.watch(0, end.set)
        await end.wait()

    chosen = {"grace": 0} if sockets == "as_factory" else {"grace": 0, "sockets": sockets}
    halfclose.run(main, backend=variant, options=chosen)
"""


@pytest.mark.parametrize(
    ("variant", "sockets"),
    [
        *((variant, sockets) for variant in VARIANTS for sockets in SOCKETS),
        *((variant, "as_factory") for variant in TWISTED),
    ],
)
def test_peers_that_never_end_keep_no_honest_one_out(variant: str, sockets: str) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SERVER), variant, sockets, str(1 << 18)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    rude: list[socket.socket] = []
    try:
        assert server.stdout is not None
        endpoint = TCP("127.0.0.1", int(server.stdout.readline()))
        # Twice as many as there are descriptors; they read nothing.
        for _ in range(96):
            sock = socket.socket()
            rude.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.settimeout(20)
            sock.connect((endpoint.host, endpoint.port))
            with suppress(OSError):
                sock.send(b"u")
        served = refused = 0
        while served < 3:
            with dialed(endpoint) as honest:
                got = 0
                with suppress(ConnectionResetError):
                    while data := honest.recv(1 << 16):
                        got += len(data)
            if sockets == "as_factory" and not got:
                # Twisted's own listener turns away what comes while no descriptor is left, and one
                # is free again only when it has done so.
                refused += 1
                assert refused < 200
                continue
            assert got == 1 << 18
            served += 1
    finally:
        for sock in rude:
            sock.close()
        _, errors = server.communicate()
    assert server.returncode == 0, errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("variant", VARIANTS)
def test_input_is_read_slowly_in_the_end(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By all that linger together, and whatever the peers send."""
    rate = 4 << 20
    monkeypatch.setattr(lingering, "AT_SPEED", 1 << 20)
    monkeypatch.setattr(lingering, "RATE", rate)
    taken = [0]
    received = lingering._Lingerer.received

    def counted(self: Any, data: bytes) -> None:
        taken[0] += len(data)
        received(self, data)

    monkeypatch.setattr(lingering._Lingerer, "received", counted)

    def flood(endpoint: Endpoint) -> None:
        block = b"u" * (1 << 18)
        with dialed(endpoint) as sock, suppress(OSError):
            while True:
                sock.sendall(block)

    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:127.0.0.1:0", Reply) as listener:
            threads = [threading.Thread(target=flood, args=(listener.endpoint,)) for _ in range(3)]
            begun = backend.time()
            for thread in threads:
                thread.start()
            await until(backend, lambda: taken[0] > 5 << 20)
            since = backend.time()
            before = taken[0]
            await until(backend, lambda: taken[0] > before + rate // 2)
            # A piece may be read by each before it is slowed down.
            most = (since - begun) * rate + 3 * ((1 << 20) + lingering._AT_ONCE * (1 << 19))
            assert before <= most
            elapsed = backend.time() - since
            assert taken[0] - before <= elapsed * rate + lingering._AT_ONCE * (1 << 19)
            backend.lingering.abort()
            for thread in threads:
                await until(backend, lambda one=thread: not one.is_alive())  # type: ignore[misc]

    run(main, variant=variant)


# -- its parts, with a clock that is moved by hand ----------------------------------------------


class Clock:
    """As much of a backend as lingering uses."""

    class capabilities:
        descriptors = True

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Any, tuple[object, ...]]] = []
        self.deadlines = Deadlines(self)  # type: ignore[arg-type]

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, function: Any, *args: object) -> Any:
        timer = (self.now + seconds, function, args)
        self.timers.append(timer)
        clock = self

        class Handle:
            def cancel(self) -> None:
                if timer in clock.timers:
                    clock.timers.remove(timer)

        return Handle()

    def call_soon(self, function: Any, *args: object) -> None:
        self.call_later(0, function, *args)

    def guarded(self, function: Any, *args: object) -> object:
        return function(*args)

    def check_quiet(self) -> None:
        pass

    def holds_channel(self, channel: Channel) -> bool:
        return False

    def go(self, until: float) -> None:
        """Let the time pass."""
        while self.timers:
            due = min(self.timers, key=lambda timer: timer[0])
            if due[0] > until:
                break
            self.timers.remove(due)
            self.now = max(self.now, due[0])
            due[1](*due[2])
        self.now = until


class Fed(Channel):
    """A channel that says what it is told to."""

    def __init__(self, unsent: int = 0) -> None:
        self.left = unsent
        self.reading = False
        self.closed = False
        self.handler: ChannelHandler

    def start(self, handler: ChannelHandler) -> None:
        self.handler = handler

    def resume_reading(self) -> None:
        self.reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def unsent(self) -> int:
        return self.left

    def close(self) -> None:
        self.closed = True

    def write(self, data: bytes | memoryview) -> int:
        raise NotImplementedError

    def end_write(self) -> bool:
        raise NotImplementedError

    def abort(self) -> None:
        raise NotImplementedError

    def get_peer(self) -> Endpoint:
        return TCP("127.0.0.1", 1)

    def get_host(self) -> Endpoint:
        return TCP("127.0.0.1", 2)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def linger(clock: Clock, channel: Fed, **options: Any) -> Lingering:
    all_of_them = Lingering(clock)  # type: ignore[arg-type]
    all_of_them.add(channel, ConnectionOptions(**options))
    return all_of_them


def test_an_end_from_the_close_on(clock: Clock) -> None:
    """Ours is unread, and input comes all the time."""
    channel = Fed(unsent=1)
    linger(clock, channel)
    for second in range(1, 301):
        assert not channel.closed
        channel.handler.received(b"u")
        clock.go(second)
    clock.go(302)
    assert channel.closed
    assert not clock.timers


def test_a_shrinking_queue_is_waited_for_no_longer_either(clock: Clock) -> None:
    channel = Fed(unsent=1000)
    linger(clock, channel)
    for second in range(1, 302):
        channel.left -= 1
        clock.go(second)
    assert channel.closed


def test_drops_are_no_progress_once_all_is_acknowledged(clock: Clock) -> None:
    channel = Fed()
    linger(clock, channel)
    for second in range(1, 8):
        if not channel.closed:
            channel.handler.received(b"u")
        clock.go(second)
    assert channel.closed


def test_an_upload_is_progress_for_half_a_minute(clock: Clock) -> None:
    channel = Fed()
    linger(clock, channel)
    for second in range(1, 30):
        channel.handler.received(b"u" * (8 << 10))
        clock.go(second)
        assert not channel.closed, second
    clock.go(32)
    assert channel.closed


@pytest.mark.parametrize("most", [0, 1, 1000])
def test_bytes_are_counted_once_all_is_acknowledged(clock: Clock, most: int) -> None:
    channel = Fed(unsent=1)
    linger(clock, channel, linger_bytes=most)
    channel.handler.received(b"u" * 5000)
    assert not channel.closed
    channel.left = 0
    if most:
        channel.handler.received(b"u" * most)
    assert not channel.closed
    channel.handler.received(b"u")
    assert channel.closed


def test_all_that_are_slow_share_one_rate(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "AT_SPEED", 0)
    piece = b"u" * (1 << 18)
    channels = [Fed() for _ in range(20)]
    every = Lingering(clock)  # type: ignore[arg-type]
    for channel in channels:
        every.add(channel, ConnectionOptions())
    taken = 0
    while clock.now < 4:
        for channel in channels:
            if channel.reading:
                channel.handler.received(piece)
                taken += len(piece)
        clock.go(clock.now + 1 / 256)
    assert taken <= 4 * lingering.RATE + 20 * len(piece) + lingering._AT_ONCE * len(piece)
    assert taken >= 2 * lingering.RATE
    every.abort()
    assert all(channel.closed for channel in channels)
    assert not clock.timers


def test_no_descriptor_is_left(clock: Clock) -> None:
    """Met by nobody that we know: it is looked for, and the oldest goes."""
    old, young = Fed(unsent=1), Fed(unsent=1)
    every = linger(clock, old)
    every.add(young, ConnectionOptions())
    clock.go(0.5)
    assert not old.closed
    with no_more_descriptors():
        clock.go(1.5)
    assert old.closed
    every.abort()
    assert not clock.timers


def test_what_cannot_be_watched_is_closed(clock: Clock) -> None:
    class Full(Fed):
        def resume_reading(self) -> None:
            raise OSError(28, "no room")

    channel = Full(unsent=1)
    linger(clock, channel)
    assert channel.closed
    assert not clock.timers


def test_the_option_of_bytes() -> None:
    assert ConnectionOptions().linger_bytes == 256 << 20
    for wrong in (1.5, True, "1", None):
        with pytest.raises(TypeError, match="linger_bytes"):
            ConnectionOptions(linger_bytes=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="linger_bytes"):
        ConnectionOptions(linger_bytes=-1)
