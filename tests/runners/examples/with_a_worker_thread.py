"""A protocol whose answer is made in another thread, so that the loop is not held up meanwhile."""

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor

import halfclose
from halfclose.examples import Ask, Logged

THREADS = ThreadPoolExecutor()


def digest(question: bytes) -> str:
    return hashlib.pbkdf2_hmac("sha256", question, b"salt", 1000).hex()


class Slow(Logged):
    """Answers with a digest that takes long to make."""

    def __init__(self) -> None:
        self.question = bytearray()

    def dataReceived(self, data: bytes) -> None:
        self.question += data

    def readConnectionLost(self) -> None:
        backend = self.transport.backend
        work = THREADS.submit(digest, bytes(self.question))
        # The function that is given to add_done_callback is called in the other thread.
        work.add_done_callback(lambda done: backend.call_soon_threadsafe(self.finish, done))

    def finish(self, done: Future[str]) -> None:  # in the loop's thread
        if done.exception() is not None:
            self.transport.abortConnection()
        else:
            self.transport.write(done.result().encode())
            self.transport.loseConnection()


async def main(backend: halfclose.AbstractBackend) -> None:
    listener = await backend.listen("tcp:127.0.0.1:0", Slow)
    client = await backend.connect(listener.endpoint, Ask)
    answer = await client.whole()
    print(answer.decode())


if __name__ == "__main__":
    halfclose.run(main)
