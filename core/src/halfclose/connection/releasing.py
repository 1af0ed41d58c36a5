"""How a channel is given back at the end of its connection: by a reset, by lingering, or closed."""

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
    """Release *channel*, and its descriptor with it. What it raises is reported, not raised.

    :param peer: to be named in such a report; *channel* may not be able to tell any more.
    :param abort: at once, whatever is pending.
    :param cut_off: after all that was written, and so that it does not look complete (PRD-09).
    :param peer_ended: the peer's end of stream, or a failure, has been read.
    :raises BaseException: only what is no `Exception`, such as KeyboardInterrupt.
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
            # The other way may still release what the one left.
            (channel.close if abort else channel.abort)()
        except Exception as another:
            backend.report(another, "the channel to %s was not released", peer)


def _release_cut_off(channel: Channel, backend: ConnectionHost, options: ConnectionOptions) -> None:
    """Have the peer get what was sent, and see that more was to come (PRD-09)."""
    can = channel.capabilities
    if can.can_reset or not can.can_half_close:
        # Where one half cannot end alone (TLS), a stream without its own end is seen to be cut off.
        backend.lingering.reset(channel, options)
    else:
        # There is no reset; the system says so itself where input is unread (PIP-01).
        channel.close()


def _can_linger(channel: Channel, options: ConnectionOptions) -> bool:
    """Whether to read and discard what the peer still sends (END-01).

    Closed with input unread, a socket is reset, and the peer can lose what we have sent it.
    """
    can = channel.capabilities
    # Without an end of stream from us the peer would not know that it is time to end.
    return options.linger_timeout > 0 and can.drains and can.can_half_close
