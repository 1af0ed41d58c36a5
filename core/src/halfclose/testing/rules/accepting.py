"""ERR: what fails while a listener accepts."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from ...options import ConnectionOptions
from ..channels.sockets import dial, shut_down_listener, temporary_unix_path
from ..tools.failing import (
    check_reset,
)
from ..tools.harness import Net, Pair, rule
from ..tools.logs import errors_in, logged
from ..tools.reactions import Boom, raising
from ..tools.recorder import Recorder
from ..tools.shortage import no_more_descriptors
from ..tools.waiting import eventually, idle

__all__ = ["AcceptingRules"]


class AcceptingRules:
    """The rules ERR-08, ERR-09 and ERR-16."""

    @rule("ERR-08", schemes=("tcp", "unix", "memory"))
    async def test_err_08_a_factory_that_fails(self, net: Net) -> None:
        """If a factory raises, or gives something that is no protocol, this is logged, that
        connection is aborted, and the listener goes on.

        Where to look: the code that accepts a connection. It must call the factory inside a
        ``try`` of its own, and close the channel itself until a ``Connection`` has it.
        """
        error = Boom("the factory")
        makers: list[Callable[[], Any]] = [
            raising(error),
            lambda: None,
            object,
            lambda: Recorder,
        ]
        made: list[Recorder] = []

        def factory() -> Any:
            if makers:
                return makers.pop(0)()
            made.append(Recorder())
            return made[-1]

        connect = await net.serve(factory)
        peers = []
        for expected in (Boom, TypeError, TypeError, TypeError):
            with logged() as records:
                peer = net.closing(await connect())
                peers.append((peer, await peer.read_all()))
                await net.turns()
            assert len(errors_in(records)) == 1, errors_in(records)
            assert [record.exc_info[0] for record in records if record.exc_info] == [expected]
        good = net.closing(await connect())
        good.send_now(b"x")
        assert await eventually(net, lambda: bool(made) and bool(made[0].received))
        can = Pair(made[0], good).can
        for _, (received, end) in peers:
            assert received == b""
            check_reset(can, end)

    @rule("ERR-09", schemes=("tcp", "unix", "memory"), needs=("descriptors",))
    async def test_err_09_accepting_fails(self, net: Net) -> None:
        """If accept(2) fails with EMFILE, ENFILE or ECONNABORTED, the listener goes on and does not
        spin.

        Where to look: core's listener stops watching for a moment. A backend breaks this only if
        its ``watch`` stops by itself when a handler has left its descriptor ready.
        """
        made: list[Recorder] = []

        def factory() -> Recorder:
            made.append(Recorder())
            return made[-1]

        async with net.channel_type.polled.serve(
            net.backend, factory, ConnectionOptions()
        ) as connect:
            first = net.closing(await connect())
            assert await eventually(net, lambda: len(made) == 1)

            # It waits in the kernel's queue, since no descriptor is left to accept it with.
            waiting = net.closing(await connect())
            with no_more_descriptors():
                await idle(net, "a connection waits, and there is no descriptor for it")
                assert len(made) == 1
                # Connections that were accepted before must be served meanwhile.
                first.send_now(b"x")
                assert await eventually(net, lambda: bool(made[0].received))
            assert await eventually(net, lambda: len(made) == 2)
            waiting.send_now(b"y")
            assert await eventually(net, lambda: bytes(made[1].received) == b"y")

            # A peer that is gone before it is accepted: accept fails with ECONNABORTED on some
            # systems, and gives a connection that is soon lost on others.
            (await connect()).close()
            aborted = await connect()
            if net.channel_type.scheme == "tcp":
                aborted.reset()
            aborted.close()
            last = net.closing(await connect())
            last.send_now(b"z")
            assert await eventually(net, lambda: bytes(made[-1].received) == b"z")

    @rule("ERR-16", schemes=("tcp", "unix", "memory"), needs=("descriptors",))
    async def test_err_16_accepting_fails_for_good(self, net: Net) -> None:
        """If accept(2) fails for good, that is logged once, `Listener.failure` is that error, and
        the listener does not spin. Connections that it has accepted go on. Such errors are EINVAL,
        which comes once somebody has shut the listening socket down, EBADF, ENOTSOCK and
        EOPNOTSUPP. An error of one connection costs that connection only. After any other error,
        accept is tried again a little later.

        Where to look: core closes the socket; a backend has no part in it. (On Linux, accept(2)
        on a unix socket that is shut down fails with EAGAIN, while poll(2) always says that the
        socket is ready.)
        """
        made: list[Recorder] = []

        def factory() -> Recorder:
            made.append(Recorder())
            return made[-1]

        with temporary_unix_path() as folder, logged() as records:
            endpoint = (
                f"unix:{folder}/s" if net.channel_type.scheme == "unix" else "tcp:127.0.0.1:0"
            )
            async with await net.backend.listen(endpoint, factory) as listener:
                peer = net.closing(dial(net.backend, listener.endpoint))
                assert await eventually(net, lambda: len(made) == 1)
                net.watch(made[0])
                assert listener.failure is None
                shut_down_listener(listener.endpoint)
                assert await eventually(net, lambda: listener.failure is not None)
                assert listener.failure is not None
                assert listener.failure.errno == errno.EINVAL
                await idle(net, "the socket does not listen any more")
                peer.send_now(b"x")
                assert await eventually(net, lambda: bytes(made[0].received) == b"x")
                told = [each for each in records if str(listener.endpoint) in each.getMessage()]
                assert len(told) == 1, f"told {len(told)} times"
            assert listener.failure.errno == errno.EINVAL
            made[0].verb("abortConnection")
            await net.lost(made[0])
