"""Producers: when each is told to write, to pause, to go on, or to stop.

A connection with a producer has a `Feed`, which knows the producer's style, and tells the feed
what happens to the bytes:

- `PushFeed`, a streaming producer: paused above the high-water mark, resumed at the low one.
- `PullFeed`, one that is asked for each piece, once a turn, when nothing waits to be sent.
- `SourceFeed`, another connection, whose input this one sends on (a proxy): a push producer that
  is not stopped where it can be cut off instead, so that truncated data never looks complete.

Where there is no producer there is no feed, and a write looks at nothing of this.

`Consumer` is all that a feed may ask of the connection that its producer writes to, and `Source`
all that a connection is asked to do as a producer. `Connection` is both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import cast

from ..interfaces import Producer, PushProducer
from ..options import ConnectionOptions

__all__ = ["Consumer", "Feed", "PullFeed", "PushFeed", "Source", "SourceFeed", "make_feed"]


class Consumer(ABC):
    """What a feed asks of the connection that its producer writes to."""

    __slots__ = ()

    @property
    @abstractmethod
    def failure(self) -> BaseException | None:
        """See `Transport.failure`."""

    @abstractmethod
    def pause_producer(self, producer: PushProducer) -> None:
        """Call ``pauseProducing`` now, inside the verb. It ends the connection if it raises."""

    @abstractmethod
    def resume_producer(self, producer: Producer) -> None:
        """Call ``resumeProducing`` as an event, from the pump."""

    @abstractmethod
    def stop_producer(self, producer: Producer) -> None:
        """Call ``stopProducing`` now; what it raises is logged, and changes nothing."""

    @abstractmethod
    def ask_producer(self, feed: Feed) -> None:
        """Call ``resumeProducing`` as an event, in a turn of the loop that is for it.

        Unless *feed* was unregistered meanwhile, bytes wait to be sent, or the connection is over.
        """

    @abstractmethod
    def call_soon(self, function: Callable[[], object]) -> None:
        """Call *function* in the next turn, as no event."""

    @abstractmethod
    def deliver_soon(self) -> None:
        """Pump in the next turn: `Feed.resume_if_due` is due."""

    @abstractmethod
    def stop_registered(self, feed: Feed) -> None:
        """Stop *feed* and unregister it, unless that has happened meanwhile."""

    @abstractmethod
    def source_ended(self, source: Source, *, broken: bool) -> None:
        """*source*, which may be the producer, gives no more. *broken*: the rest is missing."""


class Source(ABC):
    """What a connection does for another one, for which it is a producer (PRD-09)."""

    __slots__ = ()

    @property
    @abstractmethod
    def is_reading(self) -> bool:
        """Whether it may still receive something that it could give."""

    @abstractmethod
    def add_consumer(self, consumer: Consumer) -> None:
        """Tell *consumer* once it is no longer reading, or lost."""

    @abstractmethod
    def remove_consumer(self, consumer: Consumer) -> None:
        """*consumer* has unregistered it."""

    @abstractmethod
    def cut_off(self) -> None:
        """End as *consumer* did, which was lost: not so that what was sent looks complete."""

    @abstractmethod
    def pauseProducing(self) -> None:
        """See `Transport.pauseProducing`."""

    @abstractmethod
    def resumeProducing(self) -> None:
        """See `Transport.resumeProducing`."""

    @abstractmethod
    def stopProducing(self) -> None:
        """See `Transport.stopProducing`."""


def make_feed(
    producer: Producer, streaming: bool, consumer: Consumer, options: ConnectionOptions
) -> Feed:
    """A feed of the style of *producer*, not begun yet.

    :param streaming: what ``registerProducer`` was told.
    """
    if isinstance(producer, Source):
        return SourceFeed(producer, streaming, consumer, options)
    if streaming:
        return PushFeed(producer, consumer, options)
    return PullFeed(producer, consumer)


class Feed(ABC):
    """One registered producer.

    :param producer: of one style; the subclass says of which.
    :param consumer: the connection that it writes to.
    """

    __slots__ = ("_consumer", "producer")

    def __init__(self, producer: Producer, consumer: Consumer) -> None:
        self.producer = producer
        self._consumer = consumer

    @property
    def source(self) -> Source | None:
        """The producer, where it is another connection."""
        return None

    @abstractmethod
    def begin(self, pending: int) -> None:
        """It has been registered, while *pending* bytes wait to be sent."""

    @abstractmethod
    def written(self, pending: int) -> None:
        """Something was written, and *pending* bytes wait now. Called inside ``write``."""

    @abstractmethod
    def sent(self, pending: int) -> None:
        """The channel took some of what waited, and *pending* bytes still wait."""

    def resume_if_due(self) -> bool:
        """For the pump: call ``resumeProducing`` if that is due, and say whether it was."""
        return False

    def dropped(self) -> None:  # noqa: B027 - most need not be told
        """What it, or somebody else, wrote was dropped. Called inside ``write``."""

    def dismiss(self) -> None:
        """Nothing can be sent any more, though the connection has not ended yet.

        Whoever waits for room, or to be asked, would wait for ever.
        """
        self._consumer.call_soon(self._stop_registered)

    def dismiss_if_idle(self) -> None:  # noqa: B027 - a pull producer is asked until it is done
        """The backend is being left: who could write and does not may never be done (END-06)."""

    def stop(self) -> None:
        """Nobody takes what it gives any more: ``stopProducing``, now."""
        self._consumer.stop_producer(self.producer)

    def unregistered(self) -> None:  # noqa: B027 - most need not be told
        """``unregisterProducer`` was called."""

    def delays_end(self, end_will_be_told: bool) -> bool:
        """Whether our end of stream waits until it is unregistered (PRD-03, PRD-04).

        :param end_will_be_told: whether the protocol has heard, or will hear, of its peer's end
            before ``connectionLost``.
        """
        return True

    def _stop_registered(self) -> None:
        self._consumer.stop_registered(self)


class PushFeed(Feed):
    """A streaming producer, which writes until it is paused (PRD-01)."""

    __slots__ = ("_options", "_paused", "_resume_due")

    def __init__(self, producer: Producer, consumer: Consumer, options: ConnectionOptions) -> None:
        super().__init__(producer, consumer)
        self._options = options
        self._paused = False
        self._resume_due = False

    def begin(self, pending: int) -> None:
        self.written(pending)

    def written(self, pending: int) -> None:
        if not self._paused and pending > self._options.high_water:
            self._pause()

    def sent(self, pending: int) -> None:
        if self._paused and pending <= self._options.low_water:
            # Not now: `resumeProducing` is an event, and the pump delivers it in its order.
            self._resume_due = True

    def resume_if_due(self) -> bool:
        if not self._resume_due:
            return False
        self._resume_due = self._paused = False
        self._consumer.resume_producer(self.producer)
        return True

    def dropped(self) -> None:
        # A loop that writes for as long as nobody pauses it must stop here too.
        if not self._paused:
            self._pause()

    def dismiss_if_idle(self) -> None:
        # One that is paused has more to give: it goes on first, and is looked at again then.
        if not self._paused:
            self._consumer.call_soon(self._stop_if_idle)

    def _stop_if_idle(self) -> None:
        if not self._paused and not self._resume_due:
            self._stop_registered()

    def _pause(self) -> None:
        self._paused = True
        self._consumer.pause_producer(cast(PushProducer, self.producer))


class PullFeed(Feed):
    """A producer that gives one piece each time that it is asked (PRD-02)."""

    __slots__ = ("_asked",)

    def __init__(self, producer: Producer, consumer: Consumer) -> None:
        super().__init__(producer, consumer)
        self._asked = False

    def begin(self, pending: int) -> None:
        # Also where bytes wait: by the next turn they may not.
        self._ask_soon()

    def written(self, pending: int) -> None:
        if not pending:
            self._ask_soon()

    def sent(self, pending: int) -> None:
        if not pending:
            self._ask_soon()

    def _ask_soon(self) -> None:
        """Have it asked in the next turn, once, however often the buffer empties in this one."""
        if not self._asked:
            self._asked = True
            try:
                self._consumer.call_soon(self._ask)
            except BaseException:
                self._asked = False
                raise

    def _ask(self) -> None:
        self._asked = False
        self._consumer.ask_producer(self)


class SourceFeed(PushFeed):
    """Another connection, or the consumer itself (an echo). It reads while it is not paused."""

    __slots__ = ("_source", "_streaming")

    def __init__(
        self,
        source: Source,
        streaming: bool,
        consumer: Consumer,
        options: ConnectionOptions,
    ) -> None:
        super().__init__(source, consumer, options)
        self._source = source
        self._streaming = streaming

    @property
    def source(self) -> Source:
        return self._source

    def begin(self, pending: int) -> None:
        self._source.add_consumer(self._consumer)
        super().begin(pending)
        if not self._streaming:
            # A pull producer is asked once after it was registered: one that was paused reads on.
            self._resume_soon()

    def dropped(self) -> None:
        # Nobody loops here. What it gives is dropped and counted, and it goes on to its end.
        pass

    def dismiss(self) -> None:
        # Stopped, it would close, and input that is still to be told may have to go there.
        self._resume_soon()

    def dismiss_if_idle(self) -> None:
        # It is being left too, and ends by itself.
        pass

    def stop(self) -> None:
        if self._consumer.failure is not None:
            self._source.cut_off()
        else:
            super().stop()

    def unregistered(self) -> None:
        self._source.remove_consumer(self._consumer)

    def delays_end(self, end_will_be_told: bool) -> bool:
        # A plain protocol hears of its peer's end only by connectionLost, at which a proxy closes
        # its other side. To wait here for that side would be to wait for ever (PRD-09).
        return end_will_be_told

    def _pause(self) -> None:
        # A verb of ours, which calls nobody and raises nothing.
        self._paused = True
        self._source.pauseProducing()

    def _resume_soon(self) -> None:
        self._resume_due = True
        self._consumer.deliver_soon()
