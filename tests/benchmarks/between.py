"""``python -m benchmarks.between VARIANT``: what core adds between a channel and a protocol."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import halfclose
from halfclose import Capabilities, Channel, ChannelHandler, Connection, ConnectionOptions, Endpoint

from .load.connections import MESSAGE
from .servers.control import tell

__all__ = ["added"]

_MESSAGES = 100_000
_TIMES = 7


class _Taking(Channel):
    """Takes every byte, and does nothing with it."""

    capabilities = Capabilities()

    def start(self, sink: ChannelHandler) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def write(self, data: bytes | memoryview) -> int:
        return len(data)

    def end_write(self) -> bool:
        return True

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass

    def get_peer(self) -> Endpoint:
        return halfclose.TCP("192.0.2.1", 1)

    def get_host(self) -> Endpoint:
        return halfclose.TCP("192.0.2.2", 2)


class _Echo(halfclose.Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class _Direct:
    """A protocol and a channel with nothing between them."""

    def __init__(self, channel: Channel) -> None:
        self.write = channel.write


def _seconds(receive: Callable[[bytes], object]) -> float:
    begun = time.perf_counter()
    for _ in range(_MESSAGES):
        receive(MESSAGE)
    return time.perf_counter() - begun


def added(variant: str) -> float:
    """Seconds that a message and its echo take more than without a connection between them."""
    bare, whole = _Echo(), _Echo()
    bare.transport = _Direct(_Taking())  # type: ignore[assignment]

    async def main(backend: halfclose.Backend) -> float:
        connection = Connection(backend, _Taking(), ConnectionOptions())
        connection.attach(whole)
        differences = [
            _seconds(connection.received) - _seconds(bare.dataReceived) for _ in range(_TIMES)
        ]
        connection.abortConnection()
        return statistics.median(differences) / _MESSAGES

    return halfclose.run(main, backend=variant)


if __name__ == "__main__":
    tell({"added": added(sys.argv[1])})
