"""A backend in a test case of trial, on trial's reactor."""

import halfclose
from halfclose.examples import Ask, Logged, Upper
from twisted.trial import unittest


class TestUpper(unittest.TestCase):
    async def setUp(self) -> None:
        self.backend = await halfclose.open_backend().__aenter__()

    async def tearDown(self) -> None:
        await self.backend.__aexit__(None, None, None)

    async def test_upper(self) -> None:
        listener = await self.backend.listen("tcp:127.0.0.1:0", Upper)
        # Left open, as the listener is: leaving the backend closes both.
        await self.backend.connect(listener.endpoint, Logged)

        client = await self.backend.connect(listener.endpoint, Ask)
        self.assertEqual(await client.whole(), b"HELLO, WORLD")
