"""A raw peer as one end of a script. No backend serves it, so that it has to be polled."""

from __future__ import annotations

from collections.abc import Callable

from ...lifecycle import State
from ..channels.peers import RawPeer
from .contents import contents
from .model import Model
from .script import Verb

__all__ = ["RawEnd"]

_CHUNK = 1 << 16


class RawEnd:
    """Does what a script says with a raw peer, and tells the model.

    :param model: the model of both ends; the raw peer is its side *a*.
    :param peer: the raw peer, which is connected.
    :param can_reset: whether ``abort`` can reset the connection; otherwise it closes.
    """

    def __init__(self, model: Model, peer: RawPeer, can_reset: bool) -> None:
        self._model = model
        self._side = model.a
        self._peer = peer
        self._can_reset = can_reset
        self._pending = b""
        self._ending = False
        self._closing = False
        self._side.life = State.OPEN
        self._verbs: dict[str, Callable[[], None]] = {
            "lwc": self._end,
            "lose": self._close,
            "abort": self._reset,
            "pause": lambda: self._pause(True),
            "resume": lambda: self._pause(False),
        }

    def act(self, verbs: tuple[Verb, ...]) -> None:
        """Do *verbs*, leaving out those that only a transport has."""
        for verb in verbs:
            if self._side.lost:
                return
            if verb.name == "write":
                self._write(verb)
            elif verb.name in self._verbs:
                self._model.note(f"a does {verb}")
                self._verbs[verb.name]()

    def _write(self, verb: Verb) -> None:
        side = self._side
        (size,) = verb.numbers
        if size and not side.closing:
            self._model.note(f"a sends {size}")
            self._pending += contents("a", side.accepted, size)
            side.accepted += size
            side.writes += 1
            self._flush()

    def _end(self) -> None:
        if not self._side.closing:
            self._side.closing = self._ending = True
            self._flush()

    def _close(self) -> None:
        self._side.closing = self._closing = True
        self._flush()

    def _reset(self) -> None:
        if self._can_reset:
            self._peer.reset()
        else:
            self._peer.close()
        self._over()

    def _over(self) -> None:
        # A close resets the connection if input is unread, or still comes.
        self._model.violent(self._side)
        self._side.life = State.CLOSED

    def _pause(self, paused: bool) -> None:
        self._side.paused = paused

    def poll(self) -> None:
        """Send and receive as much as is possible without waiting."""
        if not self._side.lost:
            self._flush()
        while not self._side.lost and self._side.reading:
            if not self._receive():
                return

    def _flush(self) -> None:
        try:
            while self._pending:
                sent = self._peer.send_some(self._pending)
                if not sent:
                    return
                self._pending = self._pending[sent:]
            if self._closing:
                self._peer.close()
                self._over()
            elif self._ending:
                self._ending = False
                self._peer.shutdown()
        except OSError as error:
            self._broken(error)

    def _receive(self) -> bool:
        """Receive once, and return whether there may be more."""
        side = self._side
        try:
            data = self._peer.receive_now(_CHUNK)
        except OSError as error:
            self._broken(error)
            return False
        if data:
            self._model.note_amount("a receives", len(data))
            self._model.check_bytes(side, data)
        elif data is not None:
            self._model.note("a receives the end of stream")
            self._model.check_end(side)
            # That is the state even if the peer has ended its own half before: the model reads the
            # end of that half off `closing`, not off the state.
            side.life = State.READ_CLOSED
        return bool(data)

    def _broken(self, error: OSError) -> None:
        model, side = self._model, self._side
        model.note(f"a finds {type(error).__name__}")
        if not side.peer.violent:
            model.breaks("END-01", side, f"{error!r}, and the other end did not abort")
        self._peer.close()
        model.violent(side)
        side.life = State.CLOSED
