"""Connections that are made with other options than the program has chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from halfclose import ConnectionOptions
from halfclose.connection import Connection
from mutants.patching import Patch
from mutants.wrapping import around

__all__ = ["with_options"]


def with_options(patch: Patch, change: Callable[[ConnectionOptions], ConnectionOptions]) -> None:
    """Have each connection made with what *change* makes of its options."""

    def make(
        real: Any, connection: Connection, backend: Any, channel: Any, options: Any, *context: Any
    ) -> None:
        real(backend, channel, change(options), *context)

    around(patch, Connection, "__init__", make)
