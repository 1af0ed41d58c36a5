"""Pipes as standard input and output, and the raw peer at their other ends."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ...backend import Backend
from ...endpoints import Endpoint, StandardIO
from .peers import LIMIT
from .threads import ThreadedPeer

__all__ = [
    "STDIN",
    "STDOUT",
    "PipePeer",
    "install_pipes",
    "preserved_descriptors",
    "standard_descriptors",
]

STDIN, STDOUT = 0, 1


class PipePeer(ThreadedPeer):
    """The raw peer at the other ends of the pipes at our standard input and output.

    :param backend: the backend in whose loop the test waits for this peer.
    :param to_stdin: the descriptor that writes to our standard input.
    :param from_stdout: the descriptor that reads from our standard output.
    """

    def __init__(self, backend: Backend, to_stdin: int, from_stdout: int) -> None:
        super().__init__(backend)
        self.to_stdin: int | None = to_stdin
        self.from_stdout: int | None = from_stdout
        os.set_blocking(to_stdin, False)

    def send_some(self, data: bytes) -> int:
        assert self.to_stdin is not None
        try:
            return os.write(self.to_stdin, data)
        except BlockingIOError:
            return 0

    def receive_now(self, limit: int) -> bytes | None:
        assert self.from_stdout is not None
        if not select.select([self.from_stdout], [], [], 0)[0]:
            return None
        return os.read(self.from_stdout, limit)

    def shutdown(self) -> None:
        if self.to_stdin is not None:
            os.close(self.to_stdin)
            self.to_stdin = None

    def stop_reading(self) -> None:
        if self.from_stdout is not None:
            os.close(self.from_stdout)
            self.from_stdout = None

    def reset(self) -> None:
        raise NotImplementedError("a pipe has no reset")

    def reset_unseen(self) -> None:
        raise NotImplementedError("a pipe has no reset")

    def close(self) -> None:
        self.shutdown()
        self.stop_reading()

    @property
    def address(self) -> Endpoint:
        return StandardIO()

    @property
    def other_address(self) -> Endpoint:
        return StandardIO()

    def holdings(self) -> set[object]:
        return set()

    # -- blocking ------------------------------------------------------------------------------

    def _wait(self, fd: int, write: bool) -> None:
        want: tuple[list[int], list[int], list[int]]
        want = ([], [fd], []) if write else ([fd], [], [])
        if not any(select.select(*want, LIMIT)):
            raise TimeoutError("the raw pipe peer waited in vain")

    def _wait_for_input(self) -> None:
        assert self.from_stdout is not None
        self._wait(self.from_stdout, write=False)

    def _send(self, data: bytes) -> int:
        assert self.to_stdin is not None
        sent = 0
        end = time.monotonic() + 4 * LIMIT
        while sent < len(data):
            assert time.monotonic() < end, f"{sent} of {len(data)} bytes were taken"
            self._wait(self.to_stdin, write=True)
            try:
                sent += os.write(self.to_stdin, data[sent : sent + 65536])
            except BlockingIOError:
                continue
            except BrokenPipeError:
                break
        return sent

    def _receive(self, limit: int) -> bytes:
        assert self.from_stdout is not None
        self._wait(self.from_stdout, write=False)
        return os.read(self.from_stdout, min(limit, 1 << 18))


@contextmanager
def preserved_descriptors() -> Iterator[None]:
    """Restore descriptors 0 and 1 at the end of the block, whatever has replaced them.

    The connection that uses them has to end before that, because at its end it puts /dev/null at
    descriptor 1.
    """
    saved = os.dup(STDIN), os.dup(STDOUT)
    try:
        yield
    finally:
        for standard, copy in enumerate(saved):
            os.dup2(copy, standard)
            os.close(copy)


def _install(stdin: int, stdout: int) -> None:
    """Duplicate *stdin* and *stdout* to descriptors 0 and 1, and close the originals."""
    os.dup2(stdin, STDIN)
    os.dup2(stdout, STDOUT)
    for fd in {stdin, stdout}:
        os.close(fd)


@contextmanager
def standard_descriptors(stdin: int, stdout: int) -> Iterator[None]:
    """Have *stdin* and *stdout* at descriptors 0 and 1 during the block; the originals are
    closed."""
    with preserved_descriptors():
        _install(stdin, stdout)
        yield


def install_pipes(backend: Backend) -> PipePeer:
    """Put new pipes at descriptors 0 and 1, and give the raw peer at their other ends."""
    stdin, to_stdin = os.pipe()
    from_stdout, stdout = os.pipe()
    _install(stdin, stdout)
    return PipePeer(backend, to_stdin, from_stdout)
