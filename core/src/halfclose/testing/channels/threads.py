"""Runs the test's blocking calls in threads, beside the event loop under test."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Collection
from typing import TypeVar

from ...backend import Backend
from .peers import LIMIT, RawPeer

__all__ = ["ThreadedPeer", "in_thread", "join_threads"]

T = TypeVar("T")

_NAME = "halfclose raw peer"

_BRIEFLY = 0.2
"""Seconds that `join_threads` waits for a thread that is not a raw peer's."""


async def in_thread(backend: Backend, function: Callable[..., T], *args: object) -> T:
    """Call the blocking *function* in a new thread, and wait for it in the backend's loop.

    :returns: what *function* returned.
    :raises BaseException: what *function* raised.
    """
    done = backend.create_event()
    outcome: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(function(*args))
        except BaseException as error:
            failure.append(error)
        try:
            backend.call_soon_threadsafe(done.set)
        except RuntimeError:
            # The loop has ended, because the rule has failed: nobody waits for the event.
            pass

    thread = threading.Thread(target=work, name=_NAME)
    thread.start()
    await done.wait()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def join_threads(before: Collection[threading.Thread]) -> None:
    """Wait for the threads of a run that was interrupted before it could wait for them.

    :param before: the threads that were there before the run.
    """
    for thread in threading.enumerate():
        if thread not in before:
            # Other threads get less time: a framework may keep one for its next run.
            thread.join(LIMIT if thread.name == _NAME else _BRIEFLY)


class ThreadedPeer(RawPeer):
    """A raw peer that waits by blocking calls, each in a thread of its own."""

    @abstractmethod
    def _wait_for_input(self) -> None:
        """Block until there is something to read."""

    @abstractmethod
    def _send(self, data: bytes) -> int:
        """Block until *data* is sent or the other end is gone; return how many bytes were sent."""

    @abstractmethod
    def _receive(self, limit: int) -> bytes:
        """Block until there is something to read; return up to *limit* bytes of it.

        At the end of stream that is ``b""``.
        """

    def rest(self) -> tuple[bytes, str]:
        data = bytearray()
        try:
            while piece := self._receive(1 << 18):
                data += piece
        except (ConnectionResetError, BrokenPipeError):
            return bytes(data), "reset"
        except TimeoutError:
            raise AssertionError(
                f"the raw peer read {len(data)} bytes, and no end came within {LIMIT} s"
            ) from None
        return bytes(data), "eof"

    async def send(self, data: bytes) -> int:
        return await in_thread(self.backend, self._send, data)

    async def until_input(self) -> None:
        await in_thread(self.backend, self._wait_for_input)

    async def receive(self, limit: int) -> bytes:
        return await in_thread(self.backend, self._receive, limit)

    async def read_all(self) -> tuple[bytes, str]:
        return await in_thread(self.backend, self.rest)

    async def read_exactly(self, size: int) -> bytes:
        def read() -> bytes:
            data = bytearray()
            while len(data) < size:
                try:
                    piece = self._receive(size - len(data))
                except TimeoutError:
                    raise AssertionError(
                        f"{len(data)} of {size} bytes came, and no more within {LIMIT} s"
                    ) from None
                assert piece, f"EOF after {len(data)} of {size} bytes"
                data += piece
            return bytes(data)

        return await in_thread(self.backend, read)
