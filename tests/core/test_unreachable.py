"""A router that says "no route" of a connection that goes on: nothing may be lost of it.

Only a raw socket, which takes a privilege, could play the router. So the socket is real, and its
answer to SO_ERROR is what Linux then gives, once.
"""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Iterator

import pytest
from core.support import LIMIT
from halfclose.io.syscalls import end_stream, pending_error, reset


class _Told(socket.socket):
    """A socket that was told something about the route to its peer."""

    news = errno.EHOSTUNREACH

    def getsockopt(self, level: int, option: int, *size: int) -> int:  # type: ignore[override]
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR) and self.news:
            news, self.news = self.news, 0
            return news
        return super().getsockopt(level, option)


@pytest.fixture
def pair() -> Iterator[tuple[_Told, socket.socket]]:
    """The one that is told, and its peer."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        _Told(socket.AF_INET, socket.SOCK_STREAM) as told,
    ):
        told.connect(listener.getsockname())
        peer, _ = listener.accept()
        with peer:
            yield told, peer


def _after_reset(told: socket.socket, peer: socket.socket) -> OSError | None:
    reset(peer)
    peer.close()
    assert select.select([told], [], [], LIMIT)[0]
    return pending_error(told)


@pytest.mark.parametrize("news", [errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPROTO])
def test_the_end_of_stream_goes_out_all_the_same(
    pair: tuple[_Told, socket.socket], news: int
) -> None:
    told, peer = pair
    told.news = news
    told.sendall(b"all of it")
    end_stream(told)
    assert peer.recv(100, socket.MSG_WAITALL) == b"all of it"
    peer.sendall(b"and back")
    assert told.recv(8, socket.MSG_WAITALL) == b"and back"


def test_a_connection_that_is_lost_says_so(pair: tuple[_Told, socket.socket]) -> None:
    told, peer = pair
    told.news = 0
    error = _after_reset(told, peer)
    assert error is not None
    assert error.errno == errno.ECONNRESET


def test_one_that_broke_for_want_of_a_route_says_why(pair: tuple[_Told, socket.socket]) -> None:
    told, peer = pair
    error = _after_reset(told, peer)
    assert error is not None
    assert error.errno == errno.EHOSTUNREACH
