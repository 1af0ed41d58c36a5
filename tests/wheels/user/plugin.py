"""A plugin that counts connections, and one that offers a backend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import halfclose
from halfclose import BackendSpec, hookimpl


class Counting:
    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    @hookimpl
    def halfclose_connection_made(
        self, transport: halfclose.Transport, protocol: halfclose.BaseProtocol
    ) -> None:
        self.seen[protocol.logPrefix()] += 1

    @hookimpl
    def halfclose_half_closed(self, transport: halfclose.Transport, side: str) -> None:
        self.seen[side] += 1

    @hookimpl
    def halfclose_connection_lost(
        self, transport: halfclose.Transport, reason: BaseException
    ) -> None:
        self.seen[type(reason).__name__] += 1


@hookimpl
def halfclose_backends() -> Iterable[BackendSpec]:
    return [BackendSpec("mine", "mine:Backend", priority=-1)]


def counted() -> Counter[str]:
    from program import run

    plugin = Counting()
    halfclose.register(plugin)
    try:
        run()
    finally:
        halfclose.unregister(plugin)
    return plugin.seen
