"""A server as a container runs it: its command line, its health check, and its end."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from cli.support import Result, ask, dial, halfclose_, start
from documents.deployment import here

__all__ = ["check", "serve_and_stop"]


def serve_and_stop(command: Sequence[str], health: Sequence[str]) -> Result:
    """Start *command*, hold a conversation, check its health, and send it SIGTERM.

    :param command: serves port 8000 of every address; here another port, of one.
    :param health: asks port 8000 of 127.0.0.1.
    """
    arguments = here(command, {"tcp:*:8000": "tcp:127.0.0.1:0"})
    with start(*arguments[1:]) as server:
        endpoint = server.endpoint()
        with dial(endpoint) as peer:
            assert len(ask(peer, b"hello\n")) == 65
        assert check(health, endpoint).status == 0
        server.send(signal.SIGTERM)
        result = server.finish()
    # The conversation, and not the check.
    assert result.err.count("answered") == 1
    return result


def check(health: Sequence[str], endpoint: str) -> Result:
    """Do what *health* says, as Docker and Kubernetes do: with nothing at standard input."""
    return halfclose_(*here(health, {"tcp:127.0.0.1:8000": endpoint})[1:])
