"""A backend in a fixture of pytest-twisted, on the reactor that it installs."""

from collections.abc import AsyncIterator

import halfclose
import pytest_twisted
from halfclose.examples import Ask, Logged, Upper


@pytest_twisted.async_yield_fixture
async def backend() -> AsyncIterator[halfclose.AbstractBackend]:
    async with halfclose.open_backend() as backend:
        yield backend


@pytest_twisted.ensureDeferred
async def test_upper(backend: halfclose.AbstractBackend) -> None:
    listener = await backend.listen("tcp:127.0.0.1:0", Upper)
    # Left open, as the listener is: the fixture's end closes both.
    await backend.connect(listener.endpoint, Logged)

    client = await backend.connect(listener.endpoint, Ask)
    assert await client.whole() == b"HELLO, WORLD"
