"""A backend in a fixture of pytest-asyncio."""

from collections.abc import AsyncIterator

import halfclose
import pytest
import pytest_asyncio
from halfclose.examples import Ask, Logged, Upper


@pytest_asyncio.fixture
async def backend() -> AsyncIterator[halfclose.AbstractBackend]:
    async with halfclose.open_backend() as backend:
        yield backend


@pytest.mark.asyncio
async def test_upper(backend: halfclose.AbstractBackend) -> None:
    listener = await backend.listen("tcp:127.0.0.1:0", Upper)
    # Left open, as the listener is: the fixture's end closes both.
    await backend.connect(listener.endpoint, Logged)

    client = await backend.connect(listener.endpoint, Ask)
    assert await client.whole() == b"HELLO, WORLD"
