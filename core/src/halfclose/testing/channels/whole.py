"""TLS over a channel that can only end as a whole: above it each half still ends alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace

from ...backend import Backend
from ...channel import Capabilities, Channel, ChannelHandler
from ...endpoints import Endpoint
from ...interfaces import ProtocolFactory
from ...listener import Listener
from ...options import ConnectionOptions
from ...tls.accepting import accepting_tls
from .channel_types import Dial
from .over_tls import TLSOver

__all__ = ["TLSOverWhole"]


class TLSOverWhole(TLSOver):
    """As `TLSOver`, but the capability ``can_half_close`` of the channel below is off."""

    @asynccontextmanager
    async def _serve_below(
        self, backend: Backend, factory: ProtocolFactory, options: ConnectionOptions
    ) -> AsyncIterator[Dial]:
        open_listener = backend.open_listener

        async def open_over_whole(
            endpoint: Endpoint, options: ConnectionOptions, accepted: Callable[[Channel], None]
        ) -> Listener:
            assert options.tls is not None
            begin = accepting_tls(backend, options.tls, options, accepted)
            return await open_listener(
                endpoint, replace(options, tls=None), lambda channel: begin(_Whole(channel))
            )

        setattr(backend, "open_listener", open_over_whole)  # noqa: B010 - an instance's method
        try:
            serving = self.below.serve(backend, factory, options)
            dial = await serving.__aenter__()
        finally:
            delattr(backend, "open_listener")
        try:
            yield dial
        finally:
            await serving.__aexit__(None, None, None)


class _Whole(Channel):
    """*channel* without the ability to end one half alone."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.capabilities: Capabilities = replace(channel.capabilities, can_half_close=False)

    def start(self, handler: ChannelHandler) -> None:
        self._channel.start(handler)

    def linger(self, handler: ChannelHandler) -> None:
        self._channel.linger(handler)

    def resume_reading(self) -> None:
        self._channel.resume_reading()

    def pause_reading(self) -> None:
        self._channel.pause_reading()

    def write(self, data: bytes | memoryview) -> int:
        return self._channel.write(data)

    def flushed(self) -> bool:
        return self._channel.flushed()

    def end_write(self) -> bool:
        raise AssertionError("the channel was to end one half alone, which it cannot")

    def has_input(self) -> bool:
        return self._channel.has_input()

    def look_for_error(self) -> OSError | None:
        return self._channel.look_for_error()

    def unsent(self) -> int:
        return self._channel.unsent()

    def close(self) -> None:
        self._channel.close()

    def abort(self) -> None:
        self._channel.abort()

    def get_peer(self) -> Endpoint:
        return self._channel.get_peer()

    def get_host(self) -> Endpoint:
        return self._channel.get_host()

    @property
    def carrier(self) -> Channel:
        return self._channel.carrier

    def descriptors(self) -> Collection[int]:
        return self._channel.descriptors()

    def get_handle(self) -> object:
        return self._channel.get_handle()

    def set_no_delay(self, enabled: bool) -> None:
        self._channel.set_no_delay(enabled)

    def set_keep_alive(self, enabled: bool) -> None:
        self._channel.set_keep_alive(enabled)
