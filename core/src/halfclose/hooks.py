"""What metrics and tracing plugins can listen to: pluggy's hook specifications.

Called once a connection and once a half, never per message.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from .interfaces import BaseProtocol, Transport
    from .plugins import BackendSpec

__all__ = ["GROUP", "HookSpecs", "hookimpl"]

GROUP = "halfclose"
"""The entry-point group, and pluggy's project name."""

hookspec = pluggy.HookspecMarker(GROUP)

hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a plugin's function as the implementation of the hook of the same name."""


class HookSpecs:
    """The hooks; a plugin implements any of them as a module-level function."""

    @hookspec
    def halfclose_backends(self) -> Iterable[BackendSpec]:  # type: ignore[empty-body]
        """The backends that this plugin offers. It must import no framework."""

    @hookspec
    def halfclose_connection_made(self, transport: Transport, protocol: BaseProtocol) -> None:
        """``connectionMade`` has returned."""

    @hookspec
    def halfclose_half_closed(self, transport: Transport, side: str) -> None:
        """One half has ended and the protocol has been told; *side* is "read" or "write"."""

    @hookspec
    def halfclose_connection_lost(self, transport: Transport, reason: BaseException) -> None:
        """``connectionLost`` has returned."""
