"""ERR-05 with the loops' own cancellation, which the framework-agnostic suite cannot name."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError as FutureCancelled

import halfclose
import pytest
from halfclose.testing import Recorder
from twisted.internet.defer import CancelledError as DeferredCancelled

VARIANTS = [name for name in halfclose.available_backends() if "+" in name]


@pytest.mark.parametrize("backend", VARIANTS)
@pytest.mark.parametrize("kind", [asyncio.CancelledError, FutureCancelled, DeferredCancelled])
def test_a_stray_cancellation_in_an_event_ends_its_connection_only(
    backend: str, kind: type[BaseException]
) -> None:
    error = kind("stray")

    def fail(protocol: Recorder, data: bytes) -> None:
        raise error

    async def main(opened: halfclose.Backend) -> tuple[BaseException, str]:
        listener = await opened.listen("tcp:127.0.0.1:0", lambda: Recorder(dataReceived=fail))
        bystander = await opened.connect(listener.endpoint, Recorder)
        made: list[Recorder] = []

        def factory() -> Recorder:
            made.append(Recorder(dataReceived=fail))
            return made[-1]

        async with await opened.listen("tcp:127.0.0.1:0", factory) as second:
            client = await opened.connect(second.endpoint, Recorder)
            client.transport.write(b"x")
            await client.transport.whenClosed()
            reason = await made[0].transport.whenClosed()
        return reason, bystander.transport.state.value

    assert halfclose.run(main, backend=backend) == (error, "open")
