"""Producers: when a producer is told to write, to pause, to go on, or to stop.

A connection makes a `Feed` for its producer, and tells the feed what happens to the bytes. There
are three:

- `PushFeed` is for a streaming producer, which is paused above the high-water mark and resumed at
  the low-water mark.
- `PullFeed` is for a producer that is asked for each piece. It is asked at most once a turn, when
  nothing waits to be sent.
- `SourceFeed` is for another connection, whose input this one sends on, as a proxy does. It is of
  either style, too. If this connection is lost, the other one is not stopped but cut off, so that
  truncated data never looks complete.

A connection without a producer has no feed, and its writes run none of this code.

`Consumer` has what a feed calls on the connection to which its producer writes. `Source` has what a
connection does as a producer. `Connection` implements both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import cast

from ..interfaces import Producer, PushProducer
from ..options import ConnectionOptions

__all__ = [
    "Consumer",
    "Feed",
    "PullFeed",
    "PullSourceFeed",
    "PushFeed",
    "PushSourceFeed",
    "Source",
    "SourceFeed",
    "make_feed",
]


class Consumer(ABC):
    """The connection to which a producer writes, as its feed sees it."""

    __slots__ = ()

    @property
    @abstractmethod
    def failure(self) -> BaseException | None:
        """See `Transport.failure`."""

    @abstractmethod
    def pause_producer(self, producer: PushProducer) -> None:
        """Call ``pauseProducing`` now, inside the verb. If it raises, the connection ends."""

    @abstractmethod
    def resume_producer(self, producer: Producer) -> None:
        """Call ``resumeProducing`` as an event, from the pump."""

    @abstractmethod
    def stop_producer(self, producer: Producer) -> None:
        """Call ``stopProducing`` now. If it raises, that is logged and changes nothing."""

    @abstractmethod
    def ask_producer(self, feed: Feed) -> None:
        """Call ``resumeProducing`` as an event. Called by the loop, outside of the pump.

        Does nothing if *feed* was unregistered meanwhile, if bytes wait to be sent, or if the
        connection is over.
        """

    @abstractmethod
    def call_soon(self, function: Callable[[], object]) -> None:
        """Call *function* in the next turn. It is not an event of the connection."""

    @abstractmethod
    def deliver_soon(self) -> None:
        """Run the pump in the next turn, which calls `Feed.resume_if_due`."""

    @abstractmethod
    def stop_registered(self, feed: Feed) -> None:
        """Stop and unregister *feed*, unless it is not registered any more."""

    @abstractmethod
    def source_ended(self, source: Source, *, broken: bool) -> None:
        """Unregister *source*, if it is the producer, because it has ended.

        :param broken: a part of what *source* had to give is missing.
        """


class Source(ABC):
    """A connection as the producer for another one, as that one's feed sees it (PRD-09)."""

    __slots__ = ()

    @property
    @abstractmethod
    def is_reading(self) -> bool:
        """Whether it may still deliver input, which its protocol could write on."""

    @abstractmethod
    def add_consumer(self, consumer: Consumer) -> None:
        """Call ``consumer.source_ended`` once this connection reads no more, or is lost."""

    @abstractmethod
    def remove_consumer(self, consumer: Consumer) -> None:
        """Take back `add_consumer`, because *consumer* has unregistered this connection."""

    @abstractmethod
    def cut_off(self) -> None:
        """Send what was written, then reset, so that the peer knows that more was to come.

        Called if the consumer is lost.
        """

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
    """The feed for *producer*. Its `begin` was not called yet.

    :param streaming: what ``registerProducer`` was given.
    """
    if isinstance(producer, Source):
        if streaming:
            return PushSourceFeed(producer, consumer, options)
        return PullSourceFeed(producer, consumer, options)
    if streaming:
        return PushFeed(producer, consumer, options)
    return PullFeed(producer, consumer)


class Feed(ABC):
    """One registered producer.

    :param producer: the producer, which is of the subclass's style.
    :param consumer: the connection to which the producer writes.
    """

    __slots__ = ("_consumer", "producer")

    def __init__(self, producer: Producer, consumer: Consumer) -> None:
        self.producer: Producer = producer
        self._consumer = consumer

    @property
    def source(self) -> Source | None:
        """The producer, if it is another connection; else None."""
        return None

    @abstractmethod
    def begin(self, pending: int) -> None:
        """Called when the producer is registered. *pending* bytes wait to be sent."""

    @abstractmethod
    def written(self, pending: int) -> None:
        """Called inside ``write``, after bytes were written. *pending* bytes wait to be sent."""

    @abstractmethod
    def sent(self, pending: int) -> None:
        """Called when the channel has taken bytes. *pending* bytes still wait to be sent."""

    def resume_if_due(self) -> bool:
        """Call ``resumeProducing`` if that is due, and return whether it was. The pump calls it."""
        return False

    def dropped(self) -> None:  # noqa: B027 - most need not be told
        """Called inside ``write``, if the bytes were dropped, whoever has written them."""

    def dismiss(self) -> None:
        """Stop the producer soon, because nothing can be sent any more.

        The connection may go on for a while, to deliver input. A producer that waits to be resumed
        or asked would wait for ever.
        """
        self._consumer.call_soon(self._stop_registered)

    def dismiss_if_idle(self) -> None:  # noqa: B027 - a pull producer is asked until it is done
        """Stop a producer that could write and does not, because the backend is being left.

        Such a producer might never be done (END-06).
        """

    def stop(self) -> None:
        """Call ``stopProducing`` now, because what the producer gives cannot be sent any more."""
        self._consumer.stop_producer(self.producer)

    def unregistered(self) -> None:  # noqa: B027 - most need not be told
        """Called by ``unregisterProducer``."""

    def delays_end(self, end_will_be_told: bool) -> bool:
        """Whether our end of stream waits until the producer is unregistered (PRD-03, PRD-04).

        :param end_will_be_told: whether the protocol hears, or has heard, of its peer's end of
            stream before ``connectionLost``.
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
            # `resumeProducing` is an event, so the pump calls it when its turn comes.
            self._resume_due = True

    def resume_if_due(self) -> bool:
        if not self._resume_due:
            return False
        self._resume_due = self._paused = False
        self._consumer.resume_producer(self.producer)
        return True

    def dropped(self) -> None:
        # A producer that writes in a loop until it is paused must stop here too.
        if not self._paused:
            self._pause()

    def dismiss_if_idle(self) -> None:
        # A paused producer has more to give. After it was resumed, this method is called again.
        if not self._paused:
            self._consumer.call_soon(self._stop_if_idle)

    def _stop_if_idle(self) -> None:
        if not self._paused and not self._resume_due:
            self._stop_registered()

    def _pause(self) -> None:
        self._paused = True
        self._consumer.pause_producer(cast(PushProducer, self.producer))


class PullFeed(Feed):
    """A producer that writes one piece each time that it is asked (PRD-02)."""

    __slots__ = ("_asked",)

    def __init__(self, producer: Producer, consumer: Consumer) -> None:
        super().__init__(producer, consumer)
        self._asked = False

    def begin(self, pending: int) -> None:
        # Also if bytes wait now, because they may be sent by the next turn.
        self._ask_soon()

    def written(self, pending: int) -> None:
        if not pending:
            self._ask_soon()

    def sent(self, pending: int) -> None:
        if not pending:
            self._ask_soon()

    def _ask_soon(self) -> None:
        """Ask the producer in the next turn, once, however often the buffer empties in this one."""
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


class SourceFeed(Feed):
    """A feed whose producer is another connection, or the consumer itself (an echo).

    It produces while its reading is not paused. What follows from this does not depend on the
    style, which the two subclasses have.
    """

    __slots__ = ()

    producer: Source

    @property
    def source(self) -> Source:
        return self.producer

    def dropped(self) -> None:
        # A connection does not write in a loop, so it need not be paused. What it gives is dropped
        # and counted until its input ends.
        pass

    def dismiss_if_idle(self) -> None:
        # That connection is being closed as well, and so ends without being stopped.
        pass

    def stop(self) -> None:
        if self._consumer.failure is not None:
            self.producer.cut_off()
        else:
            super().stop()

    def unregistered(self) -> None:
        self.producer.remove_consumer(self._consumer)

    def delays_end(self, end_will_be_told: bool) -> bool:
        # A protocol that is not half-closeable hears of its peer's end only by connectionLost, and
        # a proxy closes its other side there. If we waited for that side to end, both would wait
        # for ever (PRD-09).
        return end_will_be_told

    @abstractmethod
    def dismiss(self) -> None:
        # If it were stopped, it would close, although our protocol may still have input to write to
        # it.
        """Resume the connection soon, because nothing can be sent any more."""


class PushSourceFeed(SourceFeed, PushFeed):
    """Another connection, registered as a push producer."""

    __slots__ = ()

    def begin(self, pending: int) -> None:
        self.producer.add_consumer(self._consumer)
        super().begin(pending)

    def dismiss(self) -> None:
        self._resume_due = True
        self._consumer.deliver_soon()

    def _pause(self) -> None:
        # Called directly: a connection's pauseProducing calls no program and raises nothing.
        self._paused = True
        self.producer.pauseProducing()


class PullSourceFeed(SourceFeed, PullFeed):
    """Another connection, registered as a pull producer.

    To ask it is to resume its reading. A protocol that pauses it after each piece has it resumed
    each time that the buffer has emptied. If no protocol pauses it, it is paused above the
    high-water mark, so that its peer cannot fill the memory.
    """

    __slots__ = ("_high_water",)

    def __init__(self, producer: Source, consumer: Consumer, options: ConnectionOptions) -> None:
        super().__init__(producer, consumer)
        self._high_water = options.high_water

    def begin(self, pending: int) -> None:
        self.producer.add_consumer(self._consumer)
        super().begin(pending)
        self._pause_if_full(pending)

    def written(self, pending: int) -> None:
        super().written(pending)
        self._pause_if_full(pending)

    def dismiss(self) -> None:
        self._ask_soon()

    def _pause_if_full(self, pending: int) -> None:
        if pending > self._high_water:
            self.producer.pauseProducing()
