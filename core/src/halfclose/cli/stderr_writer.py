"""Writes lines to stderr in a thread, so that a slow reader of stderr does not block the program.

A write blocks if it goes to a pipe that nobody empties, to a terminal that was stopped with
``^S``, or to a disk that hangs. Non-blocking writes are no way out: other processes share the open
file description behind descriptor 2, and O_NONBLOCK would hold for them too.
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
"""Bytes that may wait to be written. Lines beyond that are dropped and counted."""

_PIECE = 4096
"""Bytes of one write. A pipe does not mix a write of that size with those of other processes."""

_BACKLOG = 1 << 16
"""Bytes of one write while more than this wait."""

_PATIENCE = 1.0
"""Seconds without progress after which `Voice.close` stops waiting."""

_LONGEST = 5.0
"""Seconds after which `Voice.close` stops waiting even if there is progress."""


class Voice:
    """Writes lines to descriptor *fd*, in order, in a thread.

    :param fd: a descriptor to write to; it is never closed here.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._full = False
        # How many lines are missing: dropped after all that waits, and lost before it, because
        # writing them failed.
        self._dropped = self._lost = 0
        self._torn = False
        self._writing = False
        self._written = 0
        self._thread: threading.Thread | None = None

    def say(self, line: str) -> None:
        """Have *line* written soon, with a newline. This never blocks and never raises.

        Once too much waits, lines are dropped until all of it is written. Then a line tells how
        many are missing.
        """
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        if os.getpid() != self._pid:
            # A forked child has a copy of our memory, but not the thread, so it writes itself.
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
        """Wait until everything is written, or until `_PATIENCE` or `_LONGEST` is over."""
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
        """Start the thread that writes."""
        thread = threading.Thread(target=self._run, name="halfclose stderr", daemon=True)
        # The thread inherits this mask, so that signals go to the thread with the loop.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return thread

    def _run(self) -> None:
        """Write what waits, for ever; the thread runs this."""
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
        """Remove the next lines that fit into one write from those that wait; at least one."""
        # If much waits, larger writes are better: after each, this thread has to wait for the
        # interpreter's lock again.
        most = _PIECE if self._size <= _BACKLOG else _BACKLOG
        piece = self._waiting.popleft()
        while self._waiting and len(piece) + len(self._waiting[0]) <= most:
            piece += self._waiting.popleft()
        self._size -= len(piece)
        return piece

    def _write(self, piece: bytes) -> bool:
        """Write *piece*; return False if that fails.

        A later write may succeed, for instance after somebody has made room on a full disk.
        """
        if self._torn:
            piece = b"\n" + piece
        done = 0
        try:
            while done < len(piece):
                try:
                    done += os.write(self._fd, piece[done:])
                except BlockingIOError:
                    # Another process that shares the description has made it non-blocking.
                    select.select([], [self._fd], [])
        except OSError:
            if done:
                self._torn = not piece[:done].endswith(b"\n")
            return False
        self._torn = False
        return True


def _note(lost: int) -> bytes:
    """A line that tells how many lines are missing; empty if none is."""
    if not lost:
        return b""
    lines = "1 line is" if lost == 1 else f"{lost} lines are"
    return f"halfclose: {lines} missing here, which stderr did not take in time\n".encode()


class VoiceHandler(logging.Handler):
    """Writes log records to a `Voice`."""

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
