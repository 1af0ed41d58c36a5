"""A backend between a start() and a stop() that are called in different tasks of asyncio."""

import asyncio

import halfclose
from halfclose.examples import Ask, Logged, Upper


class Service:
    async def start(self) -> None:
        self._backend = await halfclose.open_backend().__aenter__()
        self._listener = await self._backend.listen("tcp:127.0.0.1:0", Upper)
        # Left open, as the listener is: leaving the backend closes both.
        await self._backend.connect(self._listener.endpoint, Logged)

    async def stop(self) -> None:
        await self._backend.__aexit__(None, None, None)

    async def upper(self, question: bytes) -> bytes:
        client = await self._backend.connect(self._listener.endpoint, lambda: Ask(question))
        return await client.whole()


async def main() -> None:
    service = Service()
    await asyncio.create_task(service.start())
    answer = await service.upper(b"hello, world")
    await asyncio.create_task(service.stop())
    assert answer == b"HELLO, WORLD", answer


if __name__ == "__main__":
    asyncio.run(main())
