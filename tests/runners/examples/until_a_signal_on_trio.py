"""A server in trio that ends in order when it is told to, by ^C or by SIGTERM."""

import signal

import halfclose
import trio
from halfclose.examples import Upper


async def main() -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with halfclose.open_backend() as backend:
            listener = await backend.listen("tcp:127.0.0.1:0", Upper)
            print("listening on", listener.endpoint, flush=True)
            await anext(signals)


if __name__ == "__main__":
    trio.run(main)
