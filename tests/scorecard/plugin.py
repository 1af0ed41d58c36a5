"""The stock frameworks as backends, for the suite to be run on. `install` makes them known."""

from __future__ import annotations

import sys

from halfclose import BackendSpec, hookimpl
from halfclose.plugins import register

__all__ = ["STOCK", "install"]

STOCK = {
    "stock-twisted": ("on_twisted:StockTwisted", "SOCKETS_AND_STDIO"),
    "stock-asyncio": ("on_asyncio:StockAsyncio", "SOCKETS_AND_STDIO"),
    "stock-uvloop": ("on_asyncio:StockUvloop", "SOCKETS_AND_STDIO"),
    "stock-anyio-asyncio": ("on_anyio:StockAnyioAsyncio", "SOCKETS"),
    "stock-anyio-uvloop": ("on_anyio:StockAnyioUvloop", "SOCKETS"),
    "stock-anyio-trio": ("on_anyio:StockAnyioTrio", "SOCKETS"),
}
"""The adapters and the types of channel that they have, by the name of the backend."""

_installed: list[object] = []


@hookimpl
def halfclose_backends() -> list[BackendSpec]:
    """One for each stock framework and loop, never chosen unless named."""
    return [
        BackendSpec(
            name,
            f"scorecard.{implementation}",
            channel_types=f"scorecard.channel_types:{channel_types}",
            automatic=False,
        )
        for name, (implementation, channel_types) in STOCK.items()
    ]


def install() -> None:
    """Register the adapters in this process. Idempotent."""
    if not _installed:
        register(sys.modules[__name__], "the scorecard's stock frameworks")
        _installed.append(True)
