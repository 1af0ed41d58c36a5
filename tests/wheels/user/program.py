"""A program: both ends, options, endpoints, timers, tasks and errors."""

from __future__ import annotations

import sys
from typing import assert_type

import halfclose
from protocols import Line, Upper

OPTIONS = halfclose.ConnectionOptions(close_timeout=30.0, half_close_timeout=10.0)


async def ask(backend: halfclose.AbstractBackend, endpoint: str | halfclose.Endpoint) -> bytes:
    asked = await backend.connect(endpoint, lambda: Line(b"hello"), timeout=5, options=OPTIONS)
    # Not just some protocol, but what the factory gives.
    assert_type(asked, Line)
    reason: BaseException = await asked.transport.whenClosed()
    assert isinstance(reason, halfclose.ConnectionDone)
    return bytes(asked.answer)


async def main(backend: halfclose.AbstractBackend, host: str) -> bytes:
    async with await backend.listen(halfclose.TCP(host, 0), Upper, options=OPTIONS) as listener:
        endpoint: halfclose.Endpoint = listener.endpoint
        timer: halfclose.TimerHandle = backend.call_later(60, print, "late")
        answer = await ask(backend, endpoint)
        timer.cancel()
        try:
            await ask(backend, halfclose.parse_endpoint("unix:/no/such/socket"))
        except halfclose.ConnectError as error:
            print(f"as it should be: {error}", file=sys.stderr)
        return answer


def names() -> list[str]:
    found: dict[str, halfclose.BackendInfo] = dict(halfclose.available_backends())
    return sorted(found)


def run(name: str | None = None) -> bytes:
    return halfclose.run(main, "127.0.0.1", backend=name, options={"grace": 1.0})


if __name__ == "__main__":
    print(halfclose.__version__, run(), *names())
