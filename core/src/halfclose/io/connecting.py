"""Connects a socket to one of several addresses.

The backend looks the name up. The addresses are then tried one after the other, each a little later
than the one before, and the first that answers is used (RFC 8305, "happy eyeballs").
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from ..channel import Channel
from ..endpoints import Endpoint
from ..loop import Address, TimerHandle
from ..reasons import ConnectError, ConnectionRefused, ConnectTimeout, DNSLookupFailed
from ..text import printable
from .addresses import describe, is_tcp, peer_of
from .host import SocketHost
from .poller import WRITE, Registration
from .syscalls import let_go, pending_error

__all__ = ["Where", "connect_channel"]

Where: TypeAlias = "list[Address] | Callable[[], Awaitable[list[Address]]]"
"""The addresses to try, the best first, or a function that looks them up."""

ATTEMPT_DELAY = 0.25
"""Seconds after which the next address is tried, if the one before has not answered yet."""

_FULL_QUEUE_DELAY = 0.01
"""Seconds between two attempts on a unix socket whose queue of connections is full."""


async def connect_channel(
    backend: SocketHost,
    endpoint: Endpoint,
    where: Where,
    timeout: float | None,
    peer: Endpoint | None = None,
    host: Endpoint | None = None,
) -> Channel:
    """Connect a socket to the first of the addresses that answers, and make a channel of it.

    If it is cancelled, every socket is closed.

    :param backend: the backend that is to serve the connection.
    :param endpoint: the endpoint that the errors name.
    :param where: the addresses, or a function that looks them up.
    :param timeout: seconds for everything; None: no limit.
    :param peer: the endpoint of the peer; None: the system is asked for it.
    :param host: the endpoint of our end; None: the system is asked for it.
    :raises ConnectError: no address could be connected to; see `Backend.connect`.
    :raises OSError: the socket is connected, but the backend can make no channel of it.
    :raises RuntimeError: the backend was left meanwhile.
    """
    sock, lost, address = await _connect_socket(backend, endpoint, where, timeout)
    try:
        if peer is None:
            peer = peer_of(sock, address)
        while True:
            backend.check_open()
            try:
                return backend.driver.channel(sock, peer=peer, host=host, lost=lost)
            except OSError as error:
                pause = backend.lingering.make_room(error)
                if pause is None:
                    raise
                await _keep(backend, sock, pause)
    except BaseException:
        sock.close()
        raise


async def _keep(backend: SocketHost, sock: socket.socket, pause: float) -> None:
    """Wait for *pause* seconds, during which a forked child has to close its copy of *sock*."""

    def descriptors() -> tuple[int, ...]:
        return (sock.fileno(),)

    backend.hold_descriptors(descriptors)
    try:
        await backend.sleep(pause)
    finally:
        backend.release_descriptors(descriptors)


async def _connect_socket(
    backend: SocketHost, endpoint: Endpoint, where: Where, timeout: float | None
) -> tuple[socket.socket, OSError | None, Address]:
    """Connect a non-blocking socket, and give it.

    If the connection is lost again already, there is no failure: the program gets its protocol, and
    the protocol is told (ERR-11).

    :returns: the socket; the error that ended its connection, or None; and its address.
    """
    race = _Race(backend, endpoint, where, timeout)
    backend.on_leaving(race.leave)
    backend.hold_descriptors(race.descriptors)
    try:
        race.guard(race.begin)
        await race.over.wait()
        return race.winner()
    except BaseException:
        race.stop()
        raise
    finally:
        backend.release_descriptors(race.descriptors)
        backend.forget_leaving(race.leave)


class _Race:
    """The attempts on all addresses of one endpoint, of which the first to connect wins."""

    def __init__(
        self, backend: SocketHost, endpoint: Endpoint, where: Where, timeout: float | None
    ) -> None:
        self.backend = backend
        self.over = backend.create_event()
        self._endpoint = endpoint
        self._where = where
        self._timeout = timeout
        self._addresses: deque[Address] = deque()
        self._attempts: list[_Attempt] = []
        self._failures: list[tuple[Address, Exception]] = []
        self._broken_by: BaseException | None = None
        self._lookup_failure: Exception | None = None
        self._sock: socket.socket | None = None
        self._lost: OSError | None = None
        self._address: Address | None = None
        self._timed_out = False
        self._left = False
        self._next_timer: TimerHandle | None = None
        self._timer = backend.call_later(timeout, self._expired) if timeout is not None else None

    def begin(self) -> None:
        """Look the addresses up if need be, and begin with the first."""
        if callable(self._where):
            self.backend.start_soon(self._look_up, self._where)
        else:
            self._start(self._where)

    async def _look_up(self, look_up: Callable[[], Awaitable[list[Address]]]) -> None:
        try:
            addresses = await look_up()
            if not addresses:
                raise socket.gaierror(socket.EAI_NONAME, "no address")
        except Exception as error:
            self._lookup_failure = error
            self.over.set()
        except BaseException as error:
            # Somebody else cancelled this task. Whoever waits for the race must learn of it.
            self._broke(error)
            raise
        else:
            self.guard(self._start, addresses)

    def guard(self, function: Callable[..., object], *args: object) -> None:
        """Call *function*, a part of the race. Whatever it raises ends the race.

        The loop calls this. It would only log a failure, and whoever waits for the race would wait
        for ever.
        """
        try:
            function(*args)
        except Exception as error:
            self._broke(error)
        except BaseException as error:
            self._broke(error)
            raise

    def _broke(self, error: BaseException) -> None:
        """End the race because of *error*, which is no failure of a single address."""
        if not self.over.is_set():
            self._broken_by = error
            self.over.set()
        self._stop_attempts()

    def _start(self, addresses: list[Address]) -> None:
        if not self.over.is_set():
            self._addresses.extend(addresses)
            self._next()

    def _next(self) -> None:
        """Try the next address, and set a timer for the one after it."""
        if self._next_timer is not None:
            self._next_timer.cancel()
        if self.over.is_set() or not self._addresses:
            return
        attempt = _Attempt(self, self._addresses.popleft())
        self._attempts.append(attempt)
        if self._addresses:
            self._next_timer = self.backend.call_later(ATTEMPT_DELAY, self.guard, self._next)
        attempt.start()

    def connected(self, sock: socket.socket, address: Address, lost: OSError | None) -> None:
        """End the race, which *sock* has won.

        :param address: where it is connected to.
        :param lost: the error that has ended the connection since, if one has.
        """
        self._sock = sock
        self._address = address
        self._lost = lost
        self.over.set()
        self._stop_attempts()

    def failed(self, attempt: _Attempt, error: Exception) -> None:
        """Note that *attempt* has failed, and try the next address at once."""
        self._attempts.remove(attempt)
        self._failures.append((attempt.address, error))
        if self._addresses:
            # In the next turn, since a thousand addresses may fail at once, and the loop has other
            # work to do between them.
            self.backend.call_soon(self.guard, self._next)
        elif not self._attempts:
            self.over.set()

    def _expired(self) -> None:
        # Nothing here can fail, so that a timeout always takes effect.
        self._timed_out = not self.over.is_set()
        self.over.set()

    def _stop_attempts(self) -> None:
        """Cancel the timers, and close the sockets of all attempts."""
        for timer in (self._timer, self._next_timer):
            if timer is not None:
                timer.cancel()
        self._addresses.clear()
        attempts, self._attempts = self._attempts, []
        for attempt in attempts:
            self.backend.guarded(attempt.stop)

    def leave(self) -> None:
        """Give up because the backend is being left. No timer of it would fire afterwards."""
        self._left = True
        self.stop()

    def descriptors(self) -> list[int]:
        """The descriptors of all attempts, which a forked child has to close (ERR-18)."""
        own = [] if self._sock is None else [self._sock.fileno()]
        return own + [fd for attempt in self._attempts for fd in attempt.descriptors()]

    def stop(self) -> None:
        """Give up, and close every socket. Idempotent."""
        self.over.set()
        self._stop_attempts()
        if self._sock is not None:
            let_go(self._sock)
            self._sock.close()
            self._sock = None

    def winner(self) -> tuple[socket.socket, OSError | None, Address]:
        """The connected socket, which belongs to the caller from now on.

        :returns: the socket; the error that ended its connection, if it is lost already; and where
            it is, or was, connected to.
        :raises ConnectError: no attempt has connected.
        :raises RuntimeError: the backend was left meanwhile.
        """
        sock, self._sock = self._sock, None
        if sock is not None:
            assert self._address is not None
            return sock, self._lost, self._address
        if self._left:
            raise RuntimeError(f"backend {self.backend.name!r} has been left")
        if self._broken_by is not None:
            what = _said(self._broken_by)
            raise ConnectError(f"cannot connect to {self._endpoint}: {what}") from self._broken_by
        raise self._error()

    def _error(self) -> ConnectError:
        """The error for the program, of the same class on every backend (ERR-10).

        Its message names the endpoint and each address that was tried.
        """
        cause: BaseException | None
        tried = "; ".join(
            # If the endpoint itself is this address, the message names it already.
            _said(error)
            if describe(address) == str(self._endpoint)
            else f"{describe(address)}: {_said(error)}"
            for address, error in self._failures
        )
        kind: type[ConnectError]
        if self._timed_out:
            kind, cause = ConnectTimeout, None
            pending = ", ".join(describe(attempt.address) for attempt in self._attempts)
            what = f"no answer within {self._timeout} s"
            what += f" from {pending}" if pending else ""
            what += f" ({tried})" if tried else ""
        elif self._lookup_failure is not None:
            kind, cause = DNSLookupFailed, self._lookup_failure
            what = f"the name has no address ({_said(cause)})"
        else:
            cause = self._failures[-1][1]
            codes = {getattr(error, "errno", None) for _, error in self._failures}
            if errno.ECONNREFUSED in codes:
                kind = ConnectionRefused
            elif codes == {errno.ETIMEDOUT}:
                kind = ConnectTimeout
            else:
                kind = ConnectError
            what = tried
        error = kind(f"cannot connect to {self._endpoint}: {what}")
        error.__cause__ = cause
        return error


class _Attempt:
    """One attempt: a socket that connects to one address."""

    def __init__(self, race: _Race, address: Address) -> None:
        self.address = address
        self._race = race
        self._sock: socket.socket | None = None
        self._poll: Registration | None = None
        self._retry: TimerHandle | None = None

    def start(self) -> None:
        """Begin, or begin anew if no descriptor or no place in a unix socket's queue was free."""
        pause: float | None = None
        try:
            self._begin()
        except Exception as error:
            # The system refused, the resolver gave something that is no address, or the framework
            # failed. Another address may still connect.
            if isinstance(error, OSError):
                pause = self._race.backend.lingering.make_room(error)
            if pause is None:
                self._fail(error)
            else:
                self.stop()
                self._begin_anew(pause)

    def _begin(self) -> None:
        """Begin to connect, with the socket that is there already after a pause for the queue."""
        family, address = self.address
        if self._sock is None:
            self._sock = socket.socket(family, socket.SOCK_STREAM)
            self._sock.setblocking(False)
            if is_tcp(self._sock):
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        code = self._sock.connect_ex(address)
        if code in (errno.EINPROGRESS, errno.EINTR):
            poller = self._race.backend.driver.poller
            self._poll = poller.register(self._sock.fileno(), self._ready, self._broken)
            self._poll.want(WRITE)
        elif code == 0:
            self._succeed()
        elif code == errno.EAGAIN and family == socket.AF_UNIX:
            # The listener's queue is full, and the system does not tell when a place is free.
            self._begin_anew(_FULL_QUEUE_DELAY)
        else:
            self._fail(OSError(code, os.strerror(code)))

    def _begin_anew(self, pause: float) -> None:
        self._retry = self._race.backend.call_later(pause, self._race.guard, self.start)

    def _ready(self, ready: int) -> None:
        self._race.guard(self._look)

    def _look(self) -> None:
        """Find out how the attempt has ended, now that the socket is ready."""
        assert self._sock is not None
        error = pending_error(self._sock)
        if error is not None and error.errno in (errno.ECONNRESET, errno.EPIPE):
            # It was connected, and then reset before we looked. The error is EPIPE if the peer had
            # ended its half before.
            self._succeed(error)
        elif error is not None:
            self._fail(error)
        elif self._met_itself():
            self._fail(OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)))
        else:
            self._succeed()

    def _met_itself(self) -> bool:
        """Whether the socket is connected to itself.

        That happens if nobody listens and the kernel gave our end the very port that we connect to
        (TCP's simultaneous open).
        """
        assert self._sock is not None
        try:
            return bool(self._sock.getsockname() == self._sock.getpeername())
        except OSError:
            # It was connected and has been reset. The connection will be told when it reads.
            return False

    def _succeed(self, lost: OSError | None = None) -> None:
        if self._poll is not None:
            self._poll.stop()
        sock, self._sock = self._sock, None
        assert sock is not None
        self._race.connected(sock, self.address, lost)

    def _fail(self, error: Exception) -> None:
        self.stop()
        self._race.failed(self, error)

    def _broken(self, error: Exception) -> None:
        self._race.guard(self._fail, error)

    def descriptors(self) -> tuple[int, ...]:
        """The descriptor of this attempt's socket; empty if there is no socket now."""
        return () if self._sock is None else (self._sock.fileno(),)

    def stop(self) -> None:
        """Close the socket and cancel the timer. Idempotent."""
        if self._retry is not None:
            self._retry.cancel()
        try:
            if self._poll is not None:
                self._poll.stop()
        finally:
            sock, self._sock = self._sock, None
            if sock is not None:
                let_go(sock)
                sock.close()


def _said(error: BaseException | None) -> str:
    """*error* as printable text: a resolver or a peer may have worded it."""
    return printable(str(error)) or type(error).__name__
