"""The kinds of channel that the contract suite runs on."""

from __future__ import annotations

from halfclose.testing import LaneTCP, LaneUnix, NativeTCP, NativeUnix, Stdio

__all__ = ["KINDS"]

KINDS = (LaneTCP(), LaneUnix(), Stdio(), NativeTCP(), NativeUnix())
