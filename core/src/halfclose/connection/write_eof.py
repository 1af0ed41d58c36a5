"""`WriteEOF`: how far our end of stream has come. It goes out after the last byte of `Outgoing`."""

from __future__ import annotations

from enum import Enum

__all__ = ["WriteEOF"]


class WriteEOF(Enum):
    """The progress of our end of stream, and whether a send has failed.

    The error of a failed send is not kept here: it becomes the connection's reason.
    """

    OPEN = "open"
    """The channel has not been asked to send it."""
    SENDING = "sending"
    """The channel was asked, and will call ``write_ended`` once it is with the kernel."""
    SENT = "sent"
    """It is with the kernel. Or nobody reads a pipe any more, and nothing was pending for it, so
    that nothing is missing."""
    FAILED = "failed"
    """A send has failed before the end of stream was sent, and nothing can be sent any more."""
    SENT_THEN_FAILED = "sent, then failed"
    """Our half has ended, and yet the connection is broken: the peer has reset it afterwards, or
    nobody reads a pipe any more for which bytes were pending."""

    @property
    def sent(self) -> bool:
        """Whether our half is over, and ``writeConnectionLost`` may be told."""
        return self is WriteEOF.SENT or self is WriteEOF.SENT_THEN_FAILED

    @property
    def failed(self) -> bool:
        """Whether bytes that were written may have been lost."""
        return self is WriteEOF.FAILED or self is WriteEOF.SENT_THEN_FAILED

    def after_sending(self) -> WriteEOF:
        """The state that follows when our half has ended."""
        return WriteEOF.SENT_THEN_FAILED if self.failed else WriteEOF.SENT

    def after_failing(self) -> WriteEOF:
        """The state that follows when a send has failed or a reset was seen."""
        return WriteEOF.SENT_THEN_FAILED if self.sent else WriteEOF.FAILED
