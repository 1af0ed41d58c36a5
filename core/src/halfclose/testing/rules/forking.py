"""ERR: a forked child must not touch its parent's connections."""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from ...running import open_backend
from ..tools.failing import (
    check_reset,
    check_works,
    neighbour,
)
from ..tools.forks import Children, check_foreign
from ..tools.harness import Net, Pair, rule
from ..tools.reactions import Boom, raising
from ..tools.recorder import Recorder

__all__ = ["ForkingRules"]


class ForkingRules:
    """The rule ERR-18."""

    @rule("ERR-18")
    async def test_err_18_a_forked_child(self, net: Net) -> None:
        """A forked child has no part in its parent's connections. In the child each of them is
        over: `state` is CLOSED, verbs do nothing, no event is delivered, and to begin anything
        raises RuntimeError, which names the parent. Where the child would come back to the loop,
        out of an event, a task or the body of `async with`, it ends: with SystemExit's status, or
        with the reason on stderr and status 1.

        The parent goes on unharmed. Its abort and its end of stream reach the peer although a child
        holds a copy of the descriptor; this holds for sockets only. † ‡ (A child that leaves the
        loop takes the parent's descriptors out of the epoll instance that they share, and close(2)
        says nothing to a peer while there is a copy: cpython#66197.)

        Where to look: ``Channel.descriptors`` gives the descriptors that a child must close. If
        the process has forked, a channel's ``close`` and ``abort`` must shut the socket down or
        disconnect it, since close(2) tells a peer nothing while a copy is open. Call
        ``Backend.check_process`` after everything that the loop calls, and after each task;
        ``Backend.guarded`` does so by itself.
        """
        children = Children()
        async with neighbour(net) as other:
            await _check_children(net, children, other)
        if net.channel_type.scheme != "stdio":
            for verb in ("abortConnection", "loseConnection"):
                await _check_copies(net, children, verb)


async def _check_children(net: Net, children: Children, other: Pair[Recorder]) -> None:
    """Check how children of several kinds end, and that the parent's connections work on."""
    here = os.getpid()
    due: list[Callable[[], object]] = []

    def received(*_: object) -> None:
        if due:
            children.fork(due.pop())

    def here_only(*_: object) -> None:
        if os.getpid() != here:
            os._exit(99)

    pair = await net.recorded(
        dataReceived=received, readConnectionLost=here_only, connectionLost=here_only
    )
    lives: list[tuple[Callable[[], object], int]] = [
        (lambda: check_foreign(net.backend, pair.transport), 0),
        (raising(SystemExit(3)), 3),
        (raising(Boom("in a child")), 1),
        (lambda: None, 1),
    ]
    for life, status in lives:
        due.append(life)
        forked = len(pair.protocol.received) + 1
        pair.peer.send_now(b"x")
        await net.until(pair.protocol, functools.partial(_has_received, pair.protocol, forked))
        assert children.status() == status
        await check_works(net, pair)
        await check_works(net, other)

    async def task(begun: Any) -> None:
        children.fork(raising(SystemExit(4)))
        begun.set()

    begun = net.backend.create_event()
    net.backend.start_soon(task, begun)
    await net.wait(begun, "the fork in a task")
    assert children.status() == 4
    async with open_backend(net.backend.name):
        children.fork(raising(SystemExit(5)))
    assert children.status() == 5
    if net.backend.capabilities.descriptors:
        await _check_watched(net, children)
    await check_works(net, pair)
    await check_works(net, other)


async def _check_watched(net: Net, children: Children) -> None:
    """Check that the parent goes on watching a descriptor that a child has stopped watching."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        readable = net.backend.create_event()
        watch = net.backend.watch(ours.fileno(), readable.set)

        def stop() -> NoReturn:
            try:
                watch.stop()
            finally:
                os._exit(0)

        try:
            children.fork(stop)
            assert children.status() == 0
            theirs.send(b"x")
            await net.wait(readable, "what is watched, once a child has stopped to watch it,")
        finally:
            watch.stop()


def _has_received(protocol: Recorder, size: int) -> bool:
    return len(protocol.received) == size


async def _check_copies(net: Net, children: Children, verb: str) -> None:
    """Check that the peer sees the end made by *verb*, although a child holds copies."""
    pair = await net.pair(Recorder(), linger_timeout=0.0)
    held, holding = os.pipe()

    def hold() -> None:
        os.close(holding)
        os.read(held, 1)
        os._exit(0)

    # Copies that the backend does not know of, so that the child does not close them.
    copies = [os.dup(fd) for fd in pair.transport.channel.descriptors()]
    children.fork(hold)
    for fd in (held, *copies):
        os.close(fd)
    try:
        pair.protocol.verb(verb)
        await net.lost(pair.protocol)
        end = (await pair.peer.read_all())[1]
    finally:
        os.close(holding)
    assert children.status() == 0
    if verb == "loseConnection":
        assert end == "eof"
    else:
        check_reset(pair.can, end)
