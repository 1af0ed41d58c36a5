"""The hooks that a plugin can implement, as pluggy's hook specifications.

A plugin can offer backends, each as a `BackendSpec`, and new schemes of endpoints, each as a
`Scheme`. It can also listen to connections, for metrics or tracing: such hooks are called when a
connection is made and lost and when a half of it ends, never for each message.
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
"""The entry-point group of plugins that bring no backend. An entry may have any name."""

hookspec: pluggy.HookspecMarker = pluggy.HookspecMarker(GROUP)

hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker(GROUP)
"""Marks a plugin's function as the implementation of the hook of the same name."""


@dataclass(frozen=True)
class BackendSpec:
    """One backend, as its plugin describes it.

    :param name: ``NAME`` or ``NAME+VARIANT``, the same as the name of the entry point.
    :param implementation: ``"module:attribute"`` of the `Backend` subclass. It is imported only
        when a program uses the backend.
    :param running: tells whether this backend's framework runs in this thread now. It must import
        nothing; it can look into ``sys.modules``.
    :param priority: if several backends fit, the one with the highest priority is used. Third
        parties leave it at 0.
    :param install: the command that installs what is missing when *implementation* cannot be
        imported, such as ``"pip install halfclose-anyio"``.
    :param channel_types: ``"module:attribute"`` of a tuple of `halfclose.testing.ChannelType`. The
        contract suite runs on each of them. By default: the sockets of core's poller, and stdio.
    :param hosts: ``"module:attribute"`` of a tuple of `halfclose.testing.Host`: other ways to run a
        program than `halfclose.run`, in which the contract suite can run too. By default none.
    :param automatic: whether this backend may be chosen if the program names none and no framework
        runs.
    :param occupant: gives what runs in this thread now, in words such as "an asyncio event loop",
        or None if this plugin knows of nothing that runs. It may be called from a task or from a
        callback, and must import nothing. By default: the backend's name if *running* says so.
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
    """The hooks. A plugin implements any of them as functions of a module or of an object."""

    @hookspec
    def halfclose_backends(self) -> Iterable[BackendSpec]:  # type: ignore[empty-body]
        """The backends that this plugin offers. The hook must import no framework."""

    @hookspec
    def halfclose_endpoints(self) -> Iterable[Scheme[Any, Any]]:  # type: ignore[empty-body]
        """The schemes of endpoints that this plugin brings. The hook must import no framework."""

    @hookspec
    def halfclose_connection_made(self, transport: Transport, protocol: BaseProtocol) -> None:
        """Called once for each connection, after ``connectionMade`` has returned.

        :param transport: the connection.
        :param protocol: its protocol.
        """

    @hookspec
    def halfclose_half_closed(self, transport: Transport, side: str) -> None:
        """Called after a half has ended and the protocol was told of it.

        :param transport: the connection.
        :param side: the half that ended: "read" or "write".
        """

    @hookspec
    def halfclose_connection_lost(self, transport: Transport, reason: BaseException) -> None:
        """Called once for each connection, after ``connectionLost`` has returned.

        :param transport: the connection, which is over.
        :param reason: what ``connectionLost`` got.
        """
