"""The channel types that every backend has by itself."""

from __future__ import annotations

from .channel_types import ChannelType, PollerTCP, PollerUnix, Stdio
from .over_tls import TLSOver

__all__ = ["CHANNEL_TYPES"]

CHANNEL_TYPES: tuple[ChannelType, ...] = (
    PollerTCP(),
    PollerUnix(),
    Stdio(),
    TLSOver("tls", PollerTCP()),
    TLSOver("tls-unix", PollerUnix()),
)
"""The channel types of a backend that names no others; see `halfclose.BackendSpec`."""
