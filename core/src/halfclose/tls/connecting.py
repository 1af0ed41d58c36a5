"""Does a client's handshake on a channel that was just connected."""

from __future__ import annotations

from ..channel import Channel
from ..endpoints import Endpoint
from ..host import ConnectionHost
from ..options import ConnectionOptions
from ..reasons import ConnectError, ConnectTimeout, TLSError
from ..text import printable
from ..tls_options import TLSOptions
from .channel import TLSChannel
from .contexts import client_engine
from .errors import told

__all__ = ["connect_tls"]


async def connect_tls(
    host: ConnectionHost,
    below: Channel,
    endpoint: Endpoint,
    tls: TLSOptions,
    options: ConnectionOptions,
    timeout: float | None,
    left: float | None,
) -> TLSChannel:
    """The channel of TLS over *below*, after its handshake (TLS-01).

    If cancelled, nothing is left behind.

    :param below: a new channel, which is closed if this fails.
    :param endpoint: where the program connects.
    :param timeout: seconds that the program allows for everything; None: no limit.
    :param left: those that are left.
    :raises TLSError: the handshake has failed.
    :raises ConnectError: *tls* cannot be used.
    :raises ConnectTimeout: *timeout* has passed.
    :raises RuntimeError: the backend was left meanwhile.
    """
    try:
        engine = client_engine(tls, getattr(endpoint, "host", None))
    except (ValueError, OSError) as error:
        below.abort()
        raise ConnectError(f"cannot connect to {endpoint}: {printable(str(error))}") from error
    channel = TLSChannel(host, below, engine, tls, options)
    attempt = _Attempt(host, channel)
    timer = None if left is None else host.call_later(left, attempt.expired)
    host.on_leaving(attempt.left)
    host.hold_descriptors(channel.descriptors)
    try:
        try:
            channel.shake_hands(attempt.done)
        except OSError as error:
            # For example, the system has no room to watch one more descriptor.
            attempt.done(error)
        await attempt.over.wait()
        host.check_open()
    except BaseException:
        if host.foreign is None:
            channel.abort()
        raise
    finally:
        host.release_descriptors(channel.descriptors)
        host.forget_leaving(attempt.left)
        if timer is not None:
            timer.cancel()
    if attempt.timed_out:
        raise ConnectTimeout(
            f"cannot connect to {endpoint}: the TLS handshake was not over within {timeout:g} s"
        )
    if attempt.error is not None:
        what = told(attempt.error)
        raise TLSError(f"cannot connect to {endpoint}: {what}") from attempt.error
    return channel


class _Attempt:
    """A handshake for which a task waits."""

    def __init__(self, host: ConnectionHost, channel: TLSChannel) -> None:
        self.over = host.create_event()
        self.error: Exception | None = None
        self.timed_out = False
        self._channel = channel

    def done(self, error: Exception | None) -> None:
        if error is not None:
            self._channel.abort()
        self.error = error
        self.over.set()

    def expired(self) -> None:
        if self._channel.shaking_hands:
            self._channel.abort()
            self.timed_out = True
            self.over.set()

    def left(self) -> None:
        self._channel.abort()
        self.over.set()
