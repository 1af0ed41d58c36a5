"""Releases the channel of a connection that has ended: by a reset, by lingering, or by a close."""

from __future__ import annotations

from ..channel import Channel
from ..endpoints import Endpoint
from ..host import ConnectionHost
from ..options import ConnectionOptions

__all__ = ["release_channel"]


def release_channel(
    channel: Channel,
    backend: ConnectionHost,
    options: ConnectionOptions,
    peer: Endpoint,
    *,
    abort: bool,
    cut_off: bool,
    peer_ended: bool,
) -> None:
    """Release *channel* and its descriptor. An `Exception` of the channel is logged, not raised.

    :param peer: the endpoint that the log names, since *channel* may not know it any more.
    :param abort: release it at once, and discard what is pending.
    :param cut_off: release it after everything that was written, and so that the peer knows that
        more was to come (PRD-09).
    :param peer_ended: whether the peer's end of stream, or a failure, has been read.
    :raises BaseException: what is no `Exception`, such as KeyboardInterrupt.
    """
    try:
        if abort:
            channel.abort()
        elif cut_off:
            _release_cut_off(channel, backend, options)
        elif not peer_ended and _can_linger(channel, options):
            backend.lingering.add(channel, options)
        else:
            channel.close()
    except Exception as error:
        backend.report(error, "the channel to %s failed at its end", peer)
        try:
            # What close has not released, abort may still release, and the reverse.
            (channel.close if abort else channel.abort)()
        except Exception as another:
            backend.report(another, "the channel to %s was not released", peer)


def _release_cut_off(channel: Channel, backend: ConnectionHost, options: ConnectionOptions) -> None:
    """Release *channel* so that the peer reads all, and sees that more was to come (PRD-09)."""
    can = channel.capabilities
    if can.can_reset or not can.can_half_close:
        # A stream that cannot end one half alone, such as TLS, has an end of stream of its own.
        # If that one is missing, the peer sees that the stream was cut off.
        backend.lingering.reset(channel, options)
    else:
        # There is no reset to send. The system sends one by itself if input is unread (PIP-01).
        channel.close()


def _can_linger(channel: Channel, options: ConnectionOptions) -> bool:
    """Whether to read and discard what the peer still sends (END-01).

    If a socket is closed while input is unread, its system sends a reset, and the peer can lose
    what we have sent.
    """
    can = channel.capabilities
    # Without an end of stream from us the peer would not know that it has to end its half.
    return options.linger_timeout > 0 and can.drains and can.can_half_close
