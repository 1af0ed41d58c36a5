"""A backend in a test case of unittest, by each of the ways in which one sets up and cleans up."""

import unittest

import halfclose
from halfclose.examples import Ask, Logged, Upper


class ByContext(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.backend = await self.enterAsyncContext(halfclose.open_backend())

    async def test_upper(self) -> None:
        await check_upper(self.backend)


class ByCleanup(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.backend = await halfclose.open_backend().__aenter__()
        self.addAsyncCleanup(self.backend.__aexit__, None, None, None)

    async def test_upper(self) -> None:
        await check_upper(self.backend)


class ByTearDown(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.backend = await halfclose.open_backend().__aenter__()

    async def asyncTearDown(self) -> None:
        await self.backend.__aexit__(None, None, None)

    async def test_upper(self) -> None:
        await check_upper(self.backend)


async def check_upper(backend: halfclose.AbstractBackend) -> None:
    listener = await backend.listen("tcp:127.0.0.1:0", Upper)
    # Left open, as the listener is: leaving the backend closes both.
    await backend.connect(listener.endpoint, Logged)

    client = await backend.connect(listener.endpoint, Ask)
    assert await client.whole() == b"HELLO, WORLD"
