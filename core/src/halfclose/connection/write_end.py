"""How far the end of our half has come: not asked for, on its way, sent; and whether a send failed.

`Outgoing` holds the bytes that are still to be sent; what comes after the last of them is here.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["WriteEnd"]


class WriteEnd(Enum):
    """What has become of our end of stream.

    The reason of a failure is not kept here: it is the connection's reason from then on.
    """

    OPEN = "open"
    """The channel has not been asked to send it."""
    SENDING = "sending"
    """The channel was asked, and will call ``write_ended`` once it is with the kernel."""
    SENT = "sent"
    """It is with the kernel; or it never can be and need not, since nobody reads a pipe any more
    and nothing was pending for it."""
    FAILED = "failed"
    """Nothing can be sent any more, and no end of stream went out before that."""
    SENT_THEN_FAILED = "sent, then failed"
    """Our half has ended, and the connection is known to be broken all the same: the peer has
    reset it since, or a pipe lost its reader while bytes were pending for it."""

    @property
    def sent(self) -> bool:
        """Whether our half is over, and ``writeConnectionLost`` may be told."""
        return self is WriteEnd.SENT or self is WriteEnd.SENT_THEN_FAILED

    @property
    def failed(self) -> bool:
        """Whether bytes that were written may have been lost."""
        return self is WriteEnd.FAILED or self is WriteEnd.SENT_THEN_FAILED

    def after_sending(self) -> WriteEnd:
        """The next one, once our half is over."""
        return WriteEnd.SENT_THEN_FAILED if self.failed else WriteEnd.SENT

    def after_failing(self) -> WriteEnd:
        """The next one, once a send has failed or a reset was seen."""
        return WriteEnd.SENT_THEN_FAILED if self.sent else WriteEnd.FAILED
