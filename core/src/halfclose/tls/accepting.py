"""Does a server's handshake on each channel that a listener has accepted."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..channel import Channel
from ..host import ConnectionHost
from ..options import ConnectionOptions
from ..text import printable
from ..tls_options import TLSOptions
from .channel import TLSChannel
from .contexts import server_context, server_engine
from .errors import told

__all__ = ["accepting_tls"]

_log = logging.getLogger("halfclose")


def accepting_tls(
    host: ConnectionHost,
    tls: TLSOptions,
    options: ConnectionOptions,
    accepted: Callable[[Channel], None],
) -> Callable[[Channel], None]:
    """What a listener gives each new channel to, so that *accepted* gets it when it is ready.

    That is after its handshake (TLS-01).
    A handshake that fails is logged, and its channel is aborted (TLS-13).

    :raises ValueError: *tls* is not for a server.
    """
    server_context(tls)

    def begin(below: Channel) -> None:
        try:
            channel = TLSChannel(host, below, server_engine(tls), tls, options)
        except BaseException:
            below.abort()
            raise
        _Handshake(host, channel, accepted).begin()

    return begin


class _Handshake:
    """One handshake of a server."""

    __slots__ = ("_accepted", "_channel", "_host")

    def __init__(
        self, host: ConnectionHost, channel: TLSChannel, accepted: Callable[[Channel], None]
    ) -> None:
        self._host = host
        self._channel = channel
        self._accepted = accepted

    def begin(self) -> None:
        self._host.on_leaving(self._leave)
        self._host.hold_descriptors(self._channel.descriptors)
        try:
            self._channel.shake_hands(self._done)
        except OSError as error:
            self._done(error)
        except BaseException:
            self._leave()
            raise

    def _done(self, error: Exception | None) -> None:
        self._forget()
        if error is None:
            self._accepted(self._channel)
            return
        peer = printable(str(self._channel.get_peer()))
        _log.warning("the TLS handshake with %s failed: %s", peer, told(error))
        self._channel.abort()

    def _leave(self) -> None:
        self._forget()
        self._channel.abort()

    def _forget(self) -> None:
        self._host.forget_leaving(self._leave)
        self._host.release_descriptors(self._channel.descriptors)
