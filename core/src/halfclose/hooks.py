"""What a plugin can offer and listen to: pluggy's hook specifications.

A plugin offers backends, each as a `BackendSpec`, and endpoints, each kind as a `Scheme`. Metrics
and tracing listen to connections; they are called once a connection and once a half, never per
message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pluggy

from .interfaces import BaseProtocol, Transport
from .scheme import Scheme

__all__ = ["GROUP", "PLUGINS_GROUP", "BackendSpec", "HookSpecs", "hookimpl"]

GROUP = "halfclose"
"""The entry-point group of backends, and pluggy's project name."""

PLUGINS_GROUP = "halfclose.plugins"
"""The entry-point group of plugins that bring no backend. An entry's name is free."""

hookspec = pluggy.HookspecMarker(GROUP)

hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a plugin's function as the implementation of the hook of the same name."""


@dataclass(frozen=True)
class BackendSpec:
    """One backend, as its plugin describes it.

    :param name: ``NAME`` or ``NAME+VARIANT``; the name of the entry point.
    :param implementation: ``"module:attribute"`` of the `Backend` subclass, imported when asked
        for.
    :param running: whether this backend's framework runs in this thread now; it must import
        nothing (look into ``sys.modules``).
    :param priority: of several that fit, the highest is taken; 0 for a third party's.
    :param install: what to install when *implementation* cannot be imported.
    :param channel_types: ``"module:attribute"`` of a tuple of `halfclose.testing.ChannelType`, on
        each of which
        the contract suite runs; by default the poller's and stdio.
    :param hosts: ``"module:attribute"`` of a tuple of `halfclose.testing.Host`, by each of which
        the contract suite can run beside `halfclose.run`; by default none.
    :param automatic: whether it may be chosen where none is named and its framework is not
        running.
    :param occupant: what runs in this thread now, be it a task or a callback that asks, in words
        such as "an asyncio event loop"; None: nothing that this plugin knows. It must import
        nothing. By default the backend's name, where *running* says that it runs.
    """

    name: str
    implementation: str
    running: Callable[[], bool] = lambda: False
    priority: int = 0
    install: str = ""
    channel_types: str = "halfclose.testing.channels.channel_types:CHANNEL_TYPES"
    hosts: str = "halfclose.testing.hosts:HOSTS"
    automatic: bool = True
    occupant: Callable[[], str | None] | None = None


class HookSpecs:
    """The hooks; a plugin implements any of them as a module-level function."""

    @hookspec
    def halfclose_backends(self) -> Iterable[BackendSpec]:  # type: ignore[empty-body]
        """The backends that this plugin offers. It must import no framework."""

    @hookspec
    def halfclose_endpoints(self) -> Iterable[Scheme[Any, Any]]:  # type: ignore[empty-body]
        """The schemes of endpoints that this plugin brings. It must import no framework."""

    @hookspec
    def halfclose_connection_made(self, transport: Transport, protocol: BaseProtocol) -> None:
        """``connectionMade`` has returned."""

    @hookspec
    def halfclose_half_closed(self, transport: Transport, side: str) -> None:
        """One half has ended and the protocol has been told; *side* is "read" or "write"."""

    @hookspec
    def halfclose_connection_lost(self, transport: Transport, reason: BaseException) -> None:
        """``connectionLost`` has returned."""
