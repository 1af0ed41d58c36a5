"""A program without an event loop of its own, and a loop in a thread beside it."""

from concurrent.futures import ThreadPoolExecutor

import halfclose
from anyio.from_thread import start_blocking_portal
from halfclose.examples import Ask, Logged, Upper


async def exchange(
    backend: halfclose.AbstractBackend, server: halfclose.Endpoint, question: bytes
) -> str:
    client = await backend.connect(server, lambda: Ask(question))
    return (await client.whole()).decode()


def main() -> None:
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(halfclose.open_backend("anyio")) as backend,
    ):
        listener = portal.call(backend.listen, "tcp:127.0.0.1:0", Upper)
        # Left open, as the listener is: leaving the backend closes both.
        portal.call(backend.connect, listener.endpoint, Logged)

        with ThreadPoolExecutor() as threads:  # any thread may call
            answer = threads.submit(
                portal.call, exchange, backend, listener.endpoint, b"hello, world"
            )
            print(answer.result())


if __name__ == "__main__":
    main()
