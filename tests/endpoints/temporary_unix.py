"""``tmpunix:NAME``: a unix socket in the folder for temporary files."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from halfclose import (
    UNIX,
    Backend,
    Channel,
    ConnectError,
    ConnectionOptions,
    Endpoint,
    EndpointError,
    Listener,
    ListenError,
    Scheme,
    hookimpl,
)
from halfclose.listener import ListenerOver


@dataclass(frozen=True)
class TemporaryUNIX(Endpoint):
    """A name of letters, digits and ``-``."""

    scheme = "tmpunix"

    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9-]+", self.name):
            raise EndpointError(f"the name {self.name!r} is not of letters, digits and -")

    @property
    def socket(self) -> UNIX:
        """The endpoint below."""
        return UNIX(os.path.join(tempfile.gettempdir(), f"{self.name}.sock"))

    def __str__(self) -> str:
        return f"tmpunix:{self.name}"


class TemporaryUNIXScheme(Scheme[TemporaryUNIX, Backend]):
    """Connects and listens by way of ``unix:``."""

    name = "tmpunix"
    examples = ("tmpunix:echo",)

    def parse(self, rest: str) -> TemporaryUNIX:
        return TemporaryUNIX(rest)

    def cannot_have_mode(self, endpoint: TemporaryUNIX) -> str | None:
        return None

    async def connect(
        self, backend: Backend, endpoint: TemporaryUNIX, timeout: float | None
    ) -> Channel:
        try:
            return await backend.open_channel(endpoint.socket, timeout)
        except ConnectError as error:
            # Of the same class, and it names what the program has asked for.
            raise type(error)(f"cannot connect to {endpoint}: {error}") from error

    async def listen(
        self,
        backend: Backend,
        endpoint: TemporaryUNIX,
        options: ConnectionOptions,
        accepted: Callable[[Channel], None],
    ) -> Listener:
        try:
            below = await backend.open_listener(endpoint.socket, options, accepted)
        except ListenError as error:
            raise ListenError(f"cannot listen on {endpoint}: {error}") from error
        return ListenerOver(below, endpoint, backend.forget)


@hookimpl
def halfclose_endpoints() -> Iterable[Scheme[Any, Any]]:
    """The schemes that this plugin brings."""
    return [TemporaryUNIXScheme()]
