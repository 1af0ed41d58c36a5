"""What a peer has to do in one conversation, and what both sides send."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["ANSWER", "HEAD", "LATE", "LIMIT", "QUESTION", "REQUEST", "Part", "Setting", "Side"]

LATE = 0.2
"""Seconds from the end of the question to the answer."""

LIMIT = 30.0
"""Seconds that a conversation may take; nothing here comes near it unless it hangs."""

QUESTION = b"question\n"
ANSWER = bytes(200_000)

REQUEST = b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"
HEAD = b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n"
"""The question, and what precedes the answer, for peers that speak HTTP."""

Side = Literal["client", "server"]
Part = Literal["asks", "answers"]


@dataclass(frozen=True)
class Setting:
    """What a peer has to do.

    :param side: which side of TLS it is.
    :param part: who asks sends the question, ends its half and reads the answer; who answers waits
        for the end of the question, and answers `LATE` seconds later.
    :param port: where the server of TLS listens: the peer, or we.
    :param credentials: what `credentials.make` has written.
    :param folder: for files of the peer's own.
    :param we_heard: is set once something has come from the peer.
    :param we_ended: is set once the end of our half was sent.
    :param pool: runs what the peer's user does.
    :param stack: ends what the peer has started.
    """

    side: Side
    part: Part
    port: int
    credentials: Path
    folder: Path
    we_heard: threading.Event
    we_ended: threading.Event
    pool: ThreadPoolExecutor
    stack: ExitStack
