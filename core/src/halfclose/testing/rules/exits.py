"""ERR: exceptions that end a program, and calls that come after its end."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...backend import Backend
from ...options import ConnectionOptions
from ...reasons import (
    ConnectionDone,
)
from ...running import open_backend
from ..channels.channel_types import ChannelType
from ..channels.peers import LIMIT, RawPeer
from ..hosts import Host
from ..tools.failing import (
    Named,
    Stray,
    StrayCancellation,
    check_logged_once,
    check_reset,
    check_works,
    neighbour,
    trigger,
)
from ..tools.fatal import check_fatal_told, raised_by
from ..tools.harness import Net, Pair, rule
from ..tools.logs import logged, showing
from ..tools.reactions import lose, lose_write, raising
from ..tools.recorder import EVENTS, Recorder

__all__ = ["ExitRules"]


class ExitRules:
    """The rules ERR-05 and ERR-14."""

    @rule("ERR-05", needs=("can_half_close",))
    def test_err_05_exceptions_that_end_the_program(
        self: Any, channel_type: ChannelType, host: Host
    ) -> None:
        """KeyboardInterrupt or SystemExit in an event: the connection is aborted, connectionLost
        gets the exception, and then it is raised, bare, from `run` or `open_backend`. Under a
        caller's own reactor it is logged and the reactor is stopped. Every other BaseException, a
        stray CancelledError too, is treated as in ERR-02 and stops nothing else. † ‡

        Where to look: ``Backend.fatal`` must end the body of ``async with``. Then ``stop`` or
        ``run`` must raise the exception that ``fatal`` was given, neither in a group nor replaced
        by another one.
        """
        for event in EVENTS:
            _check_fatal_event(host, self.backend, channel_type, event, KeyboardInterrupt())
        _check_fatal_event(host, self.backend, channel_type, "dataReceived", SystemExit(3))
        _check_fatal_in_open_backend(host, self.backend, channel_type)
        host.run(
            lambda opened: _check_strays(opened, channel_type), self.backend, channel_type.options
        )

    @rule("ERR-14")
    def test_err_14_a_backend_that_was_left(
        self: Any, channel_type: ChannelType, host: Host
    ) -> None:
        """What is given to call_soon_threadsafe, call_soon, call_later or start_soon of a backend
        that was left is never run, neither there nor in the next program, and the call raises
        nothing, also where the loop is closed. What was given before, and had not yet begun when
        the backend was left, is not run either. (A Twisted reactor that is run again runs it in the
        next program, and asyncio raises.)

        Where to look: each of these must look at ``Backend.left`` twice: when it is called, and
        again when the function is to run. A framework's loop may run again for the next program,
        and may raise if it is closed.
        """
        ran: list[str] = []
        host.run(functools.partial(_give_too_late, ran), self.backend, channel_type.options)
        assert not ran, f"run on a backend that was left: {ran}"

        kept: list[Backend] = []

        async def keep(backend: Backend) -> None:
            kept.append(backend)
            _give(backend, "at the end of its program", ran)

        async def next_program(backend: Backend) -> None:
            _give(kept[0], "in the next program", ran)
            await Net(backend, channel_type, host).quiet()

        host.run(keep, self.backend, channel_type.options)
        _give(kept[0], "after its program", ran)
        host.run(next_program, self.backend, channel_type.options)
        assert not ran, f"run in the next program: {ran}"


def _check_fatal_event(
    host: Host, backend: str, channel_type: ChannelType, event: str, error: BaseException
) -> None:
    """Check what happens if *event* raises *error*, a KeyboardInterrupt or a SystemExit."""
    reactions: dict[str, Callable[..., object]] = {event: raising(error)}
    if event == "writeConnectionLost":
        reactions["connectionMade"] = lose_write
    elif event == "connectionLost":
        reactions["connectionMade"] = lose
    protocol = Recorder(**reactions)
    peers: list[RawPeer] = []

    async def main(opened: Backend) -> None:
        async with channel_type.serve(opened, lambda: protocol, ConnectionOptions()) as connect:
            peers.append(await connect())
            if event == "dataReceived":
                peers[0].send_now(b"x")
            elif event == "readConnectionLost":
                peers[0].shutdown()
            await opened.sleep(LIMIT)
            went_on.append(event)

    went_on: list[str] = []
    try:
        with logged() as records:
            raised = raised_by(host, main, backend, channel_type.options)
        assert not went_on, f"{event} raised {error!r}, and the program went on"
        check_fatal_told(host, error, raised, records)
        if event == "connectionLost":
            assert type(protocol.reason) is ConnectionDone
            assert protocol.events == ["connectionMade", event]
        else:
            assert protocol.reason is error, protocol.reason
            assert protocol.events == list(
                dict.fromkeys(["connectionMade", event, "connectionLost"])
            )
        assert not protocol.broken, protocol.broken
        # Running `main` has put descriptors 0 and 1 back, so a pipe's peer sees its end.
        for peer in peers:
            received, end = peer.rest()
            assert received == b""
            if event in ("connectionMade", "dataReceived", "readConnectionLost"):
                check_reset(Pair(protocol, peer).can, end, event)
    finally:
        for peer in peers:
            peer.close()


def _check_fatal_in_open_backend(host: Host, backend: str, channel_type: ChannelType) -> None:
    """The same in a backend that was opened in a loop that runs already."""
    error = KeyboardInterrupt()
    protocol = Recorder(dataReceived=raising(error))
    peers: list[RawPeer] = []

    async def main(opened: Backend) -> None:
        async with open_backend(opened.name) as inner:
            serving = channel_type.polled.serve(inner, lambda: protocol, ConnectionOptions())
            async with serving as connect:
                peers.append(await connect())
                peers[0].send_now(b"x")
                await inner.sleep(LIMIT)

    try:
        with logged() as records:
            raised = raised_by(host, main, backend, channel_type.options)
        assert protocol.reason is error, protocol.reason
        assert protocol.events == ["connectionMade", "dataReceived", "connectionLost"]
        if raised is not error:
            # A loop that cannot raise the exception was stopped, and the exception logged.
            assert type(raised) is RuntimeError
            assert [record.levelname for record in showing(error, records)] == ["CRITICAL"]
        else:
            assert not [record.getMessage() for record in records]
    finally:
        for peer in peers:
            peer.close()


def _give(backend: Backend, when: str, ran: list[str]) -> None:
    """Give *backend* functions to run, in every way; each adds a line to *ran* if it is run."""

    async def task(name: str) -> None:
        ran.append(name)

    def threadsafe(thread: str) -> None:
        backend.call_soon_threadsafe(ran.append, f"call_soon_threadsafe {thread} {when}")

    threadsafe("here")
    with ThreadPoolExecutor(1) as threads:
        threads.submit(threadsafe, "in a thread").result()
    backend.call_soon(ran.append, f"call_soon {when}")
    backend.call_later(0.0, ran.append, f"call_later {when}").cancel()
    backend.call_later(0.0, ran.append, f"call_later {when}")
    backend.start_soon(task, f"start_soon {when}")


async def _give_too_late(ran: list[str], backend: Backend) -> None:
    async with open_backend(backend.name) as inner:
        _give(inner, "before it was left", ran)
    _give(inner, "after it was left", ran)
    for _ in range(5):
        await backend.sleep(0.01)


async def _check_strays(backend: Backend, channel_type: ChannelType) -> None:
    """Check that every other BaseException ends its connection, and nothing else."""
    net = Net(backend, channel_type)
    try:
        async with neighbour(net) as other:
            errors = (StrayCancellation("stray"), GeneratorExit(), Stray())
            for error, event in zip(
                errors, ("dataReceived", "readConnectionLost", "writeConnectionLost"), strict=True
            ):
                with logged() as records:
                    pair = await net.pair(Named(**{event: raising(error)}))
                    await trigger(net, pair, event)
                    assert await net.lost(pair.protocol) is error
                    await net.turns()
                check_logged_once(error, records)
                assert pair.protocol.events == ["connectionMade", event, "connectionLost"]
                await check_works(net, other)
    finally:
        await net.close()
    net.check_order()
