"""A backend in a fixture of pytest-trio, which enters and leaves it in one task."""

from collections.abc import AsyncIterator

import halfclose
import pytest
from halfclose.examples import Ask, Logged, Upper


@pytest.fixture
async def backend() -> AsyncIterator[halfclose.AbstractBackend]:
    async with halfclose.open_backend() as backend:
        yield backend


@pytest.mark.trio
async def test_upper(backend: halfclose.AbstractBackend) -> None:
    listener = await backend.listen("tcp:127.0.0.1:0", Upper)
    # Left open, as the listener is: the fixture's end closes both.
    await backend.connect(listener.endpoint, Logged)

    client = await backend.connect(listener.endpoint, Ask)
    assert await client.whole() == b"HELLO, WORLD"
