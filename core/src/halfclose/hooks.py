"""What plugins bring and hear: pluggy's hook specifications.

Those about connections are called once a connection and once a half, never per message.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from .interfaces import BaseProtocol, Transport
    from .plugins import BackendSpec
    from .scheme import Scheme

__all__ = ["GROUP", "PLUGINS_GROUP", "HookSpecs", "hookimpl"]

GROUP = "halfclose"
"""The entry-point group of backends, and pluggy's project name."""

PLUGINS_GROUP = "halfclose.plugins"
"""The entry-point group of plugins that bring no backend. An entry's name is free."""

hookspec = pluggy.HookspecMarker(GROUP)

hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a plugin's function as the implementation of the hook of the same name."""


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
