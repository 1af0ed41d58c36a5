"""The types of channel that the contract suite runs on."""

from __future__ import annotations

from halfclose.testing import NativeTCP, NativeUnix, PollerTCP, PollerUnix, Stdio

__all__ = ["CHANNEL_TYPES"]

CHANNEL_TYPES = (PollerTCP(), PollerUnix(), Stdio(), NativeTCP(), NativeUnix())
