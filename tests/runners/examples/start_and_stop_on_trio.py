"""A backend between a start() and a stop() on trio: one task holds it from begin to end."""

import halfclose
import trio
from halfclose.examples import Ask, Logged, Upper


class Service:
    async def start(self, nursery: trio.Nursery) -> None:
        self._stop = trio.Event()
        self._stopped = trio.Event()
        self._backend: halfclose.AbstractBackend = await nursery.start(self._hold)
        self._listener = await self._backend.listen("tcp:127.0.0.1:0", Upper)
        # Left open, as the listener is: leaving the backend closes both.
        await self._backend.connect(self._listener.endpoint, Logged)

    async def _hold(self, task_status: trio.TaskStatus[halfclose.AbstractBackend]) -> None:
        async with halfclose.open_backend() as backend:
            task_status.started(backend)
            await self._stop.wait()
        self._stopped.set()

    async def stop(self) -> None:
        self._stop.set()
        await self._stopped.wait()

    async def upper(self, question: bytes) -> bytes:
        client = await self._backend.connect(self._listener.endpoint, lambda: Ask(question))
        return await client.whole()


async def main() -> None:
    service = Service()
    async with trio.open_nursery() as nursery:
        await service.start(nursery)
        answer = await service.upper(b"hello, world")
        await service.stop()
    assert answer == b"HELLO, WORLD", answer


if __name__ == "__main__":
    trio.run(main)
