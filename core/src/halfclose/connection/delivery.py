"""`Delivery`: the pump of a connection, which calls the protocol, one event after another.

It knows neither the channel nor the state; `Connection` decides which event is next.
"""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import Context, copy_context

from ..host import ConnectionHost
from ..interfaces import BaseProtocol, HalfCloseableProtocol, Protocol

__all__ = ["Delivery"]


class Delivery(ABC):
    """Calls a protocol, in the connection's own context, one event at a time (EVT-07).

    When an event may be due, code that the loop has called calls `_pump`, and code that the program
    has called calls `_pump_soon`, which delivers in the next turn. Both may be called at any time.
    While an event is being delivered, they only note that more may be due; after that event the
    pump looks again. So an event never interrupts another one, and `connectionLost` comes after
    the callback that caused it has returned (EVT-08).
    """

    __slots__ = (
        "_backend",
        "_context",
        "_delivering",
        "_former_protocol",
        "_half_closeable",
        "_protocol",
        "_pump_due",
        "_turn_scheduled",
    )

    def __init__(self, backend: ConnectionHost, context: Context | None) -> None:
        self._backend = backend
        self._context = copy_context() if context is None else context
        self._protocol: Protocol
        # Replaces `_protocol` after connectionLost. Protocol and transport refer to each other, and
        # only the garbage collector would free them, late, if both references were strong.
        self._former_protocol: weakref.ref[Protocol] | None = None
        self._half_closeable = False
        # Whether the protocol, or its producer, is being called.
        self._delivering = False
        # Whether another event may be due once that call has returned.
        self._pump_due = False
        # Whether `_turn` is scheduled and has not been called yet.
        self._turn_scheduled = False

    # -- what a connection adds ----------------------------------------------------------------

    @abstractmethod
    def _deliver_next(self) -> bool:
        """Deliver one event if one is due, and return whether one was."""

    @abstractmethod
    def _raised(self, name: str, error: BaseException) -> None:
        """End the connection, because the callback *name* of the protocol, or of its producer,
        raised *error*."""

    @abstractmethod
    def _broke(self, error: BaseException) -> None:
        """End the connection: the library's own code raised *error*, or was interrupted by it.

        :raises BaseException: *error*, if it is no `Exception`, such as a KeyboardInterrupt.
        """

    # -- the protocol --------------------------------------------------------------------------

    @property
    def protocol(self) -> BaseProtocol | None:
        """The protocol that is attached. None after its ``connectionLost``, if the program has
        kept no reference to it."""
        return self._protocol if self._former_protocol is None else self._former_protocol()

    def _adopt(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._half_closeable = isinstance(protocol, HalfCloseableProtocol)

    def _let_protocol_go(self) -> None:
        self._former_protocol = weakref.ref(self._protocol)
        del self._protocol

    # -- the pump ------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Deliver every event that is due, unless one is being delivered."""
        if self._delivering:
            self._pump_due = True
            return
        self._delivering = True
        try:
            while self._deliver_next():
                pass
        except BaseException as error:
            # Reset first: while it is set, `_broke` would only note that an event is due, and this
            # pump does not look again.
            self._delivering = False
            self._broke(error)
        finally:
            self._delivering = self._pump_due = False

    def _pump_soon(self) -> None:
        """Deliver in the next turn, because no event may come inside a verb (EVT-07)."""
        if self._delivering:
            self._pump_due = True
        else:
            self._schedule_turn()

    def _schedule_turn(self) -> None:
        if not self._turn_scheduled:
            self._turn_scheduled = True
            try:
                self._backend.call_soon(self._turn)
            except BaseException:
                self._turn_scheduled = False
                raise

    def _turn(self) -> None:
        self._turn_scheduled = False
        self._pump()

    # -- calling -------------------------------------------------------------------------------

    def _call(self, name: str, function: Callable[..., object], *args: object) -> None:
        """Call the protocol or its producer as an event, while `_delivering` is set."""
        try:
            self._context.run(function, *args)
        except BaseException as error:
            self._raised(name, error)
        if self._backend.foreign is not None:
            # The callback has forked, and this is the child, which must not go on (ERR-18).
            self._backend.check_process()

    def _call_inside_verb(self, function: Callable[[], object]) -> None:
        """Call a producer inside a verb, which may itself be called inside an event.

        No event is delivered before the producer has returned.

        :raises BaseException: whatever *function* raises.
        """
        delivering, self._delivering = self._delivering, True
        try:
            _run_inside(self._context, function)
        finally:
            self._delivering = delivering
            if self._pump_due and not delivering:
                self._pump_due = False
                # After the backend was left, its loop has no further turn for us.
                (self._pump if self._backend.left else self._pump_soon)()


def _run_inside(context: Context, function: Callable[[], object]) -> None:
    """Run *function* in *context*, or in a copy of it if *context* is entered already.

    A context cannot be entered twice at a time, and a producer can be called inside an event of its
    own connection, where the context is entered.
    """
    entered = False

    def call() -> None:
        nonlocal entered
        entered = True
        function()

    try:
        context.run(call)
    except RuntimeError:
        if entered:
            # The function raised it, not `Context.run`.
            raise
        context.copy().run(function)
