"""Checks of values that a program gives as options."""

from __future__ import annotations

import math

__all__ = ["seconds", "whole"]


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
