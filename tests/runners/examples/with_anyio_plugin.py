"""A backend in a fixture of anyio's pytest plugin, on each of its loops."""

from collections.abc import AsyncIterator
from typing import Any

import halfclose
import pytest
from halfclose.examples import Ask, Logged, Upper


@pytest.fixture(
    params=["asyncio", pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"), "trio"]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def backend(anyio_backend: Any) -> AsyncIterator[halfclose.AbstractBackend]:
    async with halfclose.open_backend() as backend:
        yield backend


@pytest.mark.anyio
async def test_upper(backend: halfclose.AbstractBackend) -> None:
    listener = await backend.listen("tcp:127.0.0.1:0", Upper)
    # Left open, as the listener is: the fixture's end closes both.
    await backend.connect(listener.endpoint, Logged)

    client = await backend.connect(listener.endpoint, Ask)
    assert await client.whole() == b"HELLO, WORLD"
