"""The protocols that perform a script: they do what it says, and tell the model what they see."""

from __future__ import annotations

import socket
from collections.abc import Callable

from ...connection import Connection
from ...interfaces import HalfCloseableProtocol, Protocol, Transport
from .contents import contents
from .model import Model
from .producers import PlannedPull, PlannedPush
from .script import End, Verb
from .sides import Side

__all__ = ["Actor", "HalfEnd", "PlainEnd", "Planned"]

_BUFFER = 64 * 1024
"""Bytes of send buffer that each socket gets, so that a few writes fill it."""

_METHODS = {
    "lwc": "loseWriteConnection",
    "lose": "loseConnection",
    "abort": "abortConnection",
    "pause": "pauseProducing",
    "resume": "resumeProducing",
    "stop": "stopProducing",
    "unregister": "unregisterProducer",
}


class Planned(Exception):
    """The exception that ``raise`` in a script raises."""


class Actor:
    """Calls the verbs of one end, reacts to its events, and tells the model of both.

    :param model: the model of both ends.
    :param name: the name of this end, "a" or "b".
    :param end: what the script says about this end.
    :param changed: called at each event.
    """

    def __init__(self, model: Model, name: str, end: End, changed: Callable[[], None]) -> None:
        self.model = model
        self.side: Side = model.side(name)
        self.changed = changed
        self.transport: Transport
        # Sorted so that reactions to ``data`` come in the same order however the bytes are cut.
        self._reactions = sorted(end.reactions, key=lambda reaction: reaction.after)
        self._raised = 0
        self._done = {
            "lwc": model.lose_write,
            "lose": model.lose,
            "stop": model.lose,
            "abort": model.abort,
            "pause": model.pause,
            "resume": model.resume,
            "unregister": model.unregister,
        }

    def attach(self, transport: Transport) -> None:
        """Remember *transport*, and give its socket a small send buffer."""
        self.transport = transport
        handle = transport.getHandle()
        if isinstance(handle, socket.socket):
            # The receive buffer stays as it is: TCP stalls if that is smaller than a segment.
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)

    def act(self, verbs: tuple[Verb, ...]) -> None:
        """Call *verbs*, all in this turn.

        :raises Planned: one of them is ``raise``.
        """
        for verb in verbs:
            if verb.name == "raise":
                self._raised += 1
                raise Planned(f"{self.side.name}'s exception {self._raised}")
            self.call(verb)

    def react(self, event: str) -> None:
        """Do what the script says for *event*, if that was not done before."""
        self.changed()
        for reaction in list(self._reactions):
            if reaction.event == event and (
                event != "data" or self.side.received >= reaction.after
            ):
                self._reactions.remove(reaction)
                self.act(reaction.verbs)

    def call(self, verb: Verb) -> None:
        """Call the transport's method for *verb*, and tell the model."""
        try:
            if verb.name in ("push", "pull"):
                self._register(verb)
            elif verb.name in ("write", "sequence"):
                self._write(verb)
            else:
                with self.model.verb(self.side, str(verb)):
                    getattr(self.transport, _METHODS[verb.name])()
                self._done[verb.name](self.side)
        except Exception as error:
            self.model.breaks("VRB-04", self.side, f"{verb} raised {error!r}")

    def _write(self, verb: Verb) -> None:
        side, transport = self.side, self.transport
        data = contents(side.name, side.accepted, sum(verb.numbers))
        before = transport.droppedBytes
        with self.model.verb(side, str(verb)):
            if verb.name == "write":
                transport.write(data)
            else:
                transport.writeSequence(_cut(data, verb.numbers))
            self.model.wrote(side, len(data), transport.droppedBytes - before)

    def _register(self, verb: Verb) -> None:
        count, size = verb.numbers
        streaming = verb.name == "push"
        producer = (PlannedPush if streaming else PlannedPull)(self, count, size)
        refusal: Exception | None = None
        with self.model.verb(self.side, str(verb)):
            try:
                self.transport.registerProducer(producer, streaming)
            except Exception as error:
                refusal = error
            registered = self.model.register(self.side, producer.seen, refusal)
        if registered and streaming:
            producer.go_on()


def _cut(data: bytes, sizes: tuple[int, ...]) -> list[bytes]:
    pieces, start = [], 0
    for size in sizes:
        pieces.append(data[start : start + size])
        start += size
    return pieces


class PlainEnd(Protocol):
    """A protocol that is not half-closeable, and leaves its events to an actor."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor

    def connectionMade(self) -> None:
        actor, transport = self.actor, self.transport
        assert isinstance(transport, Connection)
        with actor.model.made(actor.side, transport, transport.capabilities):
            actor.attach(transport)
            actor.react("made")

    def dataReceived(self, data: bytes) -> None:
        with self.actor.model.data(self.actor.side, data):
            self.actor.react("data")

    def connectionLost(self, reason: BaseException) -> None:
        with self.actor.model.connection_lost(self.actor.side, reason):
            self.actor.react("lost")


class HalfEnd(PlainEnd, HalfCloseableProtocol):
    """A half-closeable protocol, which leaves its events to an actor."""

    def readConnectionLost(self) -> None:
        with self.actor.model.read_lost(self.actor.side):
            self.actor.react("read")

    def writeConnectionLost(self) -> None:
        with self.actor.model.write_lost(self.actor.side):
            self.actor.react("write")
