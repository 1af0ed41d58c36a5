"""ERR: what connect raises and what it returns."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ...backend import Backend
from ...endpoints import TCP, Endpoint
from ...interfaces import Protocol
from ...loop import Address
from ...reasons import (
    ConnectError,
    ConnectionAborted,
    ConnectionRefused,
    ConnectTimeout,
    DNSLookupFailed,
    ListenError,
)
from ...running import open_backend
from ..channels.peers import LIMIT, RawListener, RawPeer
from ..tools.failing import (
    Named,
    check_logged_once,
)
from ..tools.harness import Net, rule
from ..tools.logs import logged
from ..tools.reactions import Boom, abort, raises, raising
from ..tools.recorder import Recorder

__all__ = ["ConnectingRules"]


@contextmanager
def resolving(backend: Backend, addresses: list[Address] | None) -> Iterator[None]:
    """Have *backend* resolve every name to *addresses*, or with None look it up for ever."""

    async def resolve(host: str, port: int) -> list[Address]:
        if addresses is None:
            await backend.sleep(LIMIT)
            raise socket.gaierror(socket.EAI_AGAIN, "the lookup was to be given up")
        return [(family, (address[0], port)) for family, address in addresses]

    setattr(backend, "resolve", resolve)  # noqa: B010 - an instance's method, for this test
    try:
        yield
    finally:
        delattr(backend, "resolve")


def no_protocol() -> Protocol:
    """A factory for a connection that fails, so that it must not be called."""
    raise AssertionError("the factory was called")


async def refusal(net: Net, endpoint: str | Endpoint, timeout: float = 2 * LIMIT) -> ConnectError:
    """The error of connecting to *endpoint*, which must be a ConnectError that names it.

    The usual timeout is long, since a resolver that has lost a packet asks again after five
    seconds.
    """
    done = net.backend.create_event()
    caught: list[Exception] = []

    async def connect() -> None:
        try:
            await net.backend.connect(endpoint, no_protocol, timeout=timeout)
        except Exception as error:
            caught.append(error)
        done.set()

    net.backend.start_soon(connect)
    await net.wait(done, f"the failure to connect to {endpoint}")
    assert len(caught) == 1, f"{endpoint} was connected to"
    error = caught[0]
    assert isinstance(error, ConnectError), repr(error)
    assert str(endpoint) in str(error)
    return error


class ConnectingRules:
    """The rules ERR-10 and ERR-11."""

    @rule("ERR-10", schemes=("tcp", "unix", "memory"))
    async def test_err_10_connecting_fails(self, net: Net) -> None:
        """connect to a closed port raises `ConnectionRefused`, to an unknown host
        `DNSLookupFailed`, and to an address that never answers `ConnectTimeout`: the same classes
        everywhere, and each a `ConnectError`. Any other errno is a plain ConnectError. Each error
        names the endpoint and, with several addresses, each attempt. The timeout covers the name
        lookup. listen fails with `ListenError`.

        Where to look: ``Backend.resolve`` must raise ``socket.gaierror``, not an exception of the
        framework's own. If it is cancelled, or never awaited to its end, it must leave nothing
        behind.
        """
        channel_type = net.channel_type
        with channel_type.refusing(net.backend) as endpoint:
            error: BaseException = await refusal(net, endpoint)
            assert type(error) is ConnectionRefused
            assert isinstance(error.__cause__, OSError)
            assert error.__cause__.errno == errno.ECONNREFUSED
        with channel_type.black_hole(net.backend) as endpoint:
            assert type(await refusal(net, endpoint, timeout=0.02)) is ConnectTimeout
        with channel_type.hopeless(net.backend) as endpoint:
            error = await refusal(net, endpoint)
            assert type(error) is ConnectError
            assert isinstance(error.__cause__, OSError)
            if channel_type.scheme == "unix":
                with raises(ListenError):
                    await net.backend.listen(endpoint, no_protocol)

        with channel_type.listening(net.backend) as taken, raises(ListenError) as caught:
            await net.backend.listen(taken.endpoint, no_protocol)
        assert str(taken.endpoint) in str(caught.value)
        with raises(ListenError):
            await net.backend.listen("stdio:", no_protocol)
        if channel_type.scheme != "tcp":
            return

        # Only TCP has names to look up.
        unknown = "tcp:nosuch.invalid:80"
        assert type(await refusal(net, unknown)) is DNSLookupFailed
        with raises(ListenError) as caught:
            await net.backend.listen(unknown, no_protocol)
        assert unknown in str(caught.value)
        several: list[Address] = [
            (socket.AF_INET, ("127.0.0.1", 0)),
            (socket.AF_INET, ("127.0.0.2", 0)),
        ]
        with ExitStack() as stack:
            stack.enter_context(resolving(net.backend, several))
            sock = stack.enter_context(socket.socket())
            sock.bind(("0.0.0.0", 0))
            error = await refusal(net, TCP("several.invalid", sock.getsockname()[1]))
            assert type(error) is ConnectionRefused
            assert "127.0.0.1" in str(error)
            assert "127.0.0.2" in str(error)
        with resolving(net.backend, None):
            error = await refusal(net, "tcp:slow.invalid:80", timeout=0.02)
            assert type(error) is ConnectTimeout

    @rule("ERR-11", schemes=("tcp", "unix", "memory"))
    async def test_err_11_what_connect_gives(self, net: Net) -> None:
        """connect returns the protocol even if it is lost already. It raises what the factory or
        connectionMade raised. If it is cancelled, it leaks nothing, and a protocol that was made
        hears connectionLost(ConnectionAborted).

        Where to look: ``Backend.connect`` awaits nothing between making the protocol and
        returning it, so that it cannot be cancelled there. Leaving a backend must cancel its
        tasks and wait for their end.
        """
        with net.channel_type.listening(net.backend) as listener:
            await self._what_connect_gives(net, listener)

        # Connecting is cancelled on its way, and while the name is looked up.
        before = net.channel_type.holdings(net.backend)
        with net.channel_type.black_hole(net.backend) as endpoint:
            await _cancel_connecting(net, endpoint)
        if net.channel_type.scheme == "tcp":
            with resolving(net.backend, None):
                await _cancel_connecting(net, TCP("slow.invalid", 80), net.backend.resolve)
        left = net.channel_type.holdings(net.backend) - before
        assert not left, f"held after the connecting was cancelled: {left}"

    async def _what_connect_gives(self, net: Net, listener: RawListener) -> None:
        endpoint = listener.endpoint

        async def accepted() -> RawPeer:
            peer: RawPeer = net.closing(await listener.accept())
            return peer

        lost = Recorder(connectionMade=abort)
        assert await net.backend.connect(endpoint, lambda: lost) is lost
        assert type(await net.lost(lost)) is ConnectionAborted
        await (await accepted()).read_all()

        error = Boom("the factory")
        with raises(Boom) as caught:
            await net.backend.connect(endpoint, raising(error))
        assert caught.value is error
        peer = await accepted()
        assert (await peer.read_all())[0] == b""

        with raises(TypeError):
            await net.backend.connect(endpoint, object)  # type: ignore[type-var]
        assert (await (await accepted()).read_all())[0] == b""

        error = Boom("connectionMade")
        broken = Named(connectionMade=raising(error))
        with logged() as records, raises(Boom) as caught:
            await net.backend.connect(endpoint, lambda: broken)
        assert caught.value is error
        assert await net.lost(broken) is error
        check_logged_once(error, records)
        assert (await (await accepted()).read_all())[0] == b""

        # Connecting is cancelled after the protocol was made: the backend ends the protocol.
        made = net.backend.create_event()
        protocol = Recorder(connectionMade=lambda _: made.set())
        leaving = Boom("leaving")

        async def connect_and_leave() -> None:
            async with open_backend(net.backend.name) as inner:
                inner.start_soon(inner.connect, endpoint, lambda: protocol)
                await net.wait(made, "connectionMade")
                raise leaving

        with raises(Boom) as caught:
            await connect_and_leave()
        assert caught.value is leaving
        assert protocol.events == ["connectionMade", "connectionLost"]
        assert type(protocol.reason) is ConnectionAborted
        net.watch(protocol)
        assert (await (await accepted()).read_all())[0] == b""


async def _cancel_connecting(
    net: Net, endpoint: Endpoint, resolve: Callable[..., Any] | None = None
) -> None:
    """Begin to connect to *endpoint*, which never answers, and cancel it by leaving the backend.

    :param resolve: what takes for ever to look the name up; connecting is cancelled once it is
        called.
    """
    async with open_backend(net.backend.name) as inner:
        begun = inner.create_event()
        if resolve is not None:

            async def look_up(host: str, port: int) -> Any:
                begun.set()
                return await resolve(host, port)

            setattr(inner, "resolve", look_up)  # noqa: B010 - an instance's method
        else:
            inner.call_later(0.02, begun.set)
        inner.start_soon(inner.connect, endpoint, no_protocol)
        await net.wait(begun, "the beginning")
        await net.turns()
