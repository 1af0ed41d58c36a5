"""Lines for stderr, written by a thread: whoever reads them late, or never, stops nobody else.

A pipe that nobody empties, a terminal that was stopped with ``^S`` and a disk that hangs all block
who writes to them. The description behind descriptor 2 is shared with other processes, so it is
not ours to make non-blocking.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import time
from collections import deque
from contextlib import suppress

__all__ = ["Voice", "VoiceHandler"]

_MOST = 1 << 20
"""Bytes that may wait to be written; beyond them lines are dropped, and counted."""

_PIECE = 4096
"""Bytes that are written at once: a pipe takes so many wholly, not mixed with those of others."""

_BACKLOG = 1 << 16
"""Bytes that wait above which so many are written at once."""

_PATIENCE = 1.0
"""Seconds without progress after which `Voice.close` waits no longer."""

_LONGEST = 5.0
"""Seconds after which it waits no longer in any case."""


class Voice:
    """Says lines on descriptor *fd*, in order.

    :param fd: it is only written to, and left open.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._full = False
        # Lines that are missing: after all that waits, and before it.
        self._dropped = self._lost = 0
        self._torn = False
        self._writing = False
        self._written = 0
        self._thread: threading.Thread | None = None

    def say(self, line: str) -> None:
        """Write *line* and its end, soon. Never blocks, and never raises.

        Once too much waits, nothing is taken until all of it is written; then it is told how many
        lines are missing there.
        """
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        if os.getpid() != self._pid:
            # A child that was forked has our memory, and not our thread.
            with suppress(OSError):
                os.write(self._fd, data)
            return
        with self._changed:
            if self._full or self._size + len(data) > _MOST:
                self._full = True
                self._dropped += 1
                return
            self._waiting.append(data)
            self._size += len(data)
            if self._thread is None:
                self._thread = self._start()
            self._changed.notify_all()

    def close(self) -> None:
        """Wait until all is written; but not long, nor at all for who reads nothing."""
        end = time.monotonic() + _LONGEST
        with self._changed:
            while self._waiting or self._writing or self._dropped:
                before = self._written
                left = min(_PATIENCE, end - time.monotonic())
                if left <= 0 or not self._changed.wait_for(
                    lambda before=before: self._written != before,  # type: ignore[misc]
                    left,
                ):
                    return

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="halfclose stderr", daemon=True)
        # Signals are for the thread that has the loop.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._dropped)
                lost, self._lost = self._lost, 0
                piece = b""
                if self._waiting:
                    piece = self._take()
                else:
                    lost += self._dropped
                    self._dropped = 0
                    self._full = False
                self._writing = True
            wrote = self._write(_note(lost) + piece)
            with self._changed:
                self._writing = False
                self._written += 1
                if not wrote:
                    self._lost = lost + piece.count(b"\n")
                self._changed.notify_all()

    def _take(self) -> bytes:
        """The next lines: as many as fit into a piece, and one at least."""
        # Where much waits, fewer writes: after each, this thread waits for its turn again.
        most = _PIECE if self._size <= _BACKLOG else _BACKLOG
        piece = self._waiting.popleft()
        while self._waiting and len(piece) + len(self._waiting[0]) <= most:
            piece += self._waiting.popleft()
        self._size -= len(piece)
        return piece

    def _write(self, piece: bytes) -> bool:
        """Whether *piece* was written; if not, a later one may be: a full disk is emptied."""
        if self._torn:
            piece = b"\n" + piece
        done = 0
        try:
            while done < len(piece):
                try:
                    done += os.write(self._fd, piece[done:])
                except BlockingIOError:
                    # Somebody else who has it open made it non-blocking.
                    select.select([], [self._fd], [])
        except OSError:
            if done:
                self._torn = not piece[:done].endswith(b"\n")
            return False
        self._torn = False
        return True


def _note(lost: int) -> bytes:
    if not lost:
        return b""
    lines = "1 line is" if lost == 1 else f"{lost} lines are"
    return f"halfclose: {lines} missing here, which stderr did not take in time\n".encode()


class VoiceHandler(logging.Handler):
    """Logs by a `Voice`."""

    def __init__(self, voice: Voice) -> None:
        super().__init__()
        self._voice = voice

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._voice.say(self.format(record))
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)
