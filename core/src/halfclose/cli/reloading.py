"""SIGHUP has a server read its certificates again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from ..backend import Backend
from ..reasons import CertificateError
from ..text import one_line
from .passphrases import has_terminal
from .report import say

if TYPE_CHECKING:
    from ..tls import Certificates

__all__ = ["reloading"]


@contextmanager
def reloading(backend: Backend, certificates: Certificates | None) -> Iterator[None]:
    """Have SIGHUP reload *certificates* in the block. Connections that are open keep theirs.

    SIGHUP also comes when the terminal is closed from which the command was started. It ends the
    command then, as it does without TLS. Under ``nohup`` it only reloads.

    :param backend: it is running, in this thread.
    :param certificates: those of the server; None: SIGHUP does what it did before.
    """
    if certificates is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    at_terminal = has_terminal()

    def handle(number: int, frame: FrameType | None) -> None:
        if at_terminal and before is signal.SIG_DFL and not has_terminal():
            signal.signal(number, before)
            signal.raise_signal(number)
        else:
            backend.call_soon_threadsafe(_reload, certificates)

    before = signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL if before is None else before)


def _reload(certificates: Certificates) -> None:
    """Reload, and tell the outcome."""
    try:
        certificates.reload()
    except CertificateError as error:
        say(f"certificates not reloaded, the old ones stay: {one_line(error)}")
    else:
        say("certificates reloaded")
