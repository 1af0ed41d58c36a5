"""The options of a connection, which a program gives to ``connect`` or ``listen``."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "HIGH_WATER",
    "LINGER_BYTES",
    "LINGER_TIMEOUT",
    "LOW_WATER",
    "UNIX_MODE",
    "ConnectionOptions",
    "seconds",
    "whole",
]

HIGH_WATER = 64 * 1024
"""Bytes waiting to be sent above which a streaming producer is paused."""

LOW_WATER = 16 * 1024
"""Bytes waiting to be sent at or below which a paused streaming producer is resumed."""

LINGER_TIMEOUT = 5.0
"""Seconds without progress after which a closed connection stops reading its peer's input."""

LINGER_BYTES = 256 << 20
"""Bytes that a closed connection reads and discards at most, once the peer has acknowledged all
that we sent."""

UNIX_MODE = 0o600
"""Permission bits of a unix socket: only its owner may connect."""


def seconds(name: str, value: float) -> float:
    """*value* as a number of seconds.

    :param name: what the messages call the value.
    :raises ValueError: *value* is negative, or the float "not a number".
    :raises TypeError: *value* is no int and no float.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number of seconds, not {value!r}")
    if math.isnan(value) or value < 0:
        raise ValueError(f"{name} is a number of seconds, 0 or more, not {value!r}")
    return float(value)


def whole(name: str, value: int) -> int:
    """*value*, if it can be a number of bytes.

    :param name: what the messages call the value.
    :raises ValueError: *value* is negative.
    :raises TypeError: *value* is no whole number.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a number of bytes, not {value!r}")
    if value < 0:
        raise ValueError(f"{name} is a number of bytes, 0 or more, not {value!r}")
    return value


@dataclass(frozen=True)
class ConnectionOptions:
    """How connections behave, for ``connect`` and ``listen`` on every backend.

    :param linger_timeout: seconds without progress after which a closed connection stops reading
        and discarding its peer's input (rule END-02); 0 turns that off.
    :param linger_bytes: bytes of that input that are read and discarded at most, once the peer has
        acknowledged everything (rule END-07); 256 MiB by default. Bytes before that are not
        counted, because the peer may be unable to read before it has sent everything.
    :param close_timeout: seconds without progress after ``loseConnection`` before the connection
        is aborted with `CloseTimeout`; ``None``: never.
    :param half_close_timeout: seconds without a byte, once one half has ended, before the
        connection is aborted with `HalfCloseTimeout`; ``None``: never.
    :param high_water: bytes waiting to be sent above which a streaming producer is paused.
    :param low_water: bytes waiting to be sent at or below which a paused producer is resumed.
    :param unix_mode: permission bits of a unix socket that ``listen`` makes.
    :raises ValueError: a timeout or ``linger_bytes`` is negative, ``low_water`` is negative or not
        below ``high_water``, or ``unix_mode`` is outside 0 to 0o777.
    :raises TypeError: a timeout is no number, or ``linger_bytes`` is no whole number.
    """

    linger_timeout: float = LINGER_TIMEOUT
    linger_bytes: int = LINGER_BYTES
    close_timeout: float | None = None
    half_close_timeout: float | None = None
    high_water: int = HIGH_WATER
    low_water: int = LOW_WATER
    unix_mode: int = UNIX_MODE

    def __post_init__(self) -> None:
        seconds("linger_timeout", self.linger_timeout)
        whole("linger_bytes", self.linger_bytes)
        if self.close_timeout is not None:
            seconds("close_timeout", self.close_timeout)
        if self.half_close_timeout is not None:
            seconds("half_close_timeout", self.half_close_timeout)
        if not 0 <= self.low_water < self.high_water:
            raise ValueError(
                f"low_water is at least 0 and below high_water, not "
                f"{self.low_water!r} and {self.high_water!r}"
            )
        if not 0 <= self.unix_mode <= 0o777:
            raise ValueError(f"unix_mode is between 0 and 0o777, not {self.unix_mode!r}")
