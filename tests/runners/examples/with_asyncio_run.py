"""A backend in a program that asyncio.run starts."""

import asyncio

import halfclose
from halfclose.examples import Ask, Logged, Upper


async def main() -> None:
    async with halfclose.open_backend() as backend:
        listener = await backend.listen("tcp:127.0.0.1:0", Upper)
        # Left open, as the listener is: leaving the backend closes both.
        await backend.connect(listener.endpoint, Logged)

        client = await backend.connect(listener.endpoint, Ask)
        answer = await client.whole()
        print(backend.name, answer.decode())


if __name__ == "__main__":
    asyncio.run(main())
