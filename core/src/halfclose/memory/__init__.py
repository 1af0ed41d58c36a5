"""The backend ``memory``: connections inside this process, with a virtual clock and chosen faults.

For unit tests, begin with `halfclose.testing.network`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .accept_queue import RawListener
    from .conditions import BUFFER, Chunks
    from .network import Network, Way
    from .waiting import Cancelled, Deadlock
    from .wire import End

__all__ = [
    "BUFFER",
    "Cancelled",
    "Chunks",
    "Deadlock",
    "End",
    "Network",
    "RawListener",
    "Way",
]

_HOMES = {
    "BUFFER": "conditions",
    "Cancelled": "waiting",
    "Chunks": "conditions",
    "Deadlock": "waiting",
    "End": "wire",
    "Network": "network",
    "RawListener": "accept_queue",
    "Way": "network",
}


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: every program imports this package for its plugin, and few
    # programs need the rest.
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
