"""Core's own plugin, which brings the schemes of the operating system's connections."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..hooks import hookimpl
from ..scheme import Scheme
from .stdio import StdioScheme
from .tcp import TCPScheme
from .unix import UNIXScheme

__all__ = ["halfclose_endpoints"]


@hookimpl
def halfclose_endpoints() -> Iterable[Scheme[Any, Any]]:
    """The schemes ``tcp:``, ``unix:`` and ``stdio:``."""
    return TCPScheme(), UNIXScheme(), StdioScheme()
