"""A server in asyncio that ends in order when it is told to, by ^C or by SIGTERM."""

import asyncio
import signal

import halfclose
from halfclose.examples import Upper


async def main() -> None:
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)

    async with halfclose.open_backend() as backend:
        listener = await backend.listen("tcp:127.0.0.1:0", Upper)
        print("listening on", listener.endpoint, flush=True)
        await told.wait()


if __name__ == "__main__":
    asyncio.run(main())
