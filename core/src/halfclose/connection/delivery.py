"""Tells one protocol what happens, one event after another. The pump of a connection.

`Delivery` knows no channel and no state: which event is next, `Connection` says.
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
    """Calls a protocol, in the connection's own context, never twice at once (EVT-07).

    Whoever has something to deliver calls `_pump` where the loop is calling us, and `_pump_soon`
    where the program is: then the events come in the next turn. Both may be called at any time.
    While an event is being delivered they only note that more may be due, and the pump that is
    running, or whoever else delivers, looks again.
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
        # Takes the place of `_protocol` after connectionLost, so that what the protocol holds is
        # freed with it at once, and not at some time by the garbage collector.
        self._former_protocol: weakref.ref[Protocol] | None = None
        self._half_closeable = False
        # Whether the protocol, or its producer, is being called.
        self._delivering = False
        # Whether more may be due once it has returned.
        self._pump_due = False
        # Whether the loop was asked for a turn of ours that has not come yet.
        self._turn_scheduled = False

    # -- what a connection adds ----------------------------------------------------------------

    @abstractmethod
    def _deliver_next(self) -> bool:
        """Deliver one event; False if none is due."""

    @abstractmethod
    def _raised(self, name: str, error: BaseException) -> None:
        """The callback *name* of the protocol, or of its producer, raised *error*."""

    @abstractmethod
    def _broke(self, error: BaseException) -> None:
        """Something raised that must not, or ^C came in the middle of us: end the connection.

        :raises BaseException: *error*, if it is no `Exception`.
        """

    # -- the protocol --------------------------------------------------------------------------

    @property
    def protocol(self) -> BaseProtocol | None:
        """The protocol that is attached; once it was told that the connection is lost, None if
        nobody else has kept it."""
        return self._protocol if self._former_protocol is None else self._former_protocol()

    def _adopt(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._half_closeable = isinstance(protocol, HalfCloseableProtocol)

    def _let_protocol_go(self) -> None:
        self._former_protocol = weakref.ref(self._protocol)
        del self._protocol

    # -- the pump ------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Deliver all that is due, one event after another, unless one is being delivered."""
        if self._delivering:
            self._pump_due = True
            return
        self._delivering = True
        try:
            while self._deliver_next():
                pass
        except BaseException as error:
            # What `_broke` makes due must find that nothing is being delivered any more.
            self._delivering = False
            self._broke(error)
        finally:
            self._delivering = self._pump_due = False

    def _pump_soon(self) -> None:
        """Deliver in the next turn: what a verb causes is never delivered inside it (EVT-07)."""
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
        """Call the protocol, or its producer, as an event. Whoever calls this delivers."""
        try:
            self._context.run(function, *args)
        except BaseException as error:
            self._raised(name, error)
        if self._backend.foreign is not None:
            # The callback has forked, and this is the child.
            self._backend.check_process()

    def _call_inside_verb(self, function: Callable[[], object]) -> None:
        """Call a producer from inside a verb, and so perhaps from inside an event.

        Events wait until it has returned.

        :raises BaseException: whatever *function* raises.
        """
        delivering, self._delivering = self._delivering, True
        try:
            _run_inside(self._context, function)
        finally:
            self._delivering = delivering
            if self._pump_due and not delivering:
                self._pump_due = False
                # Where the backend was left meanwhile, no turn is to come.
                (self._pump if self._backend.left else self._pump_soon)()


def _run_inside(context: Context, function: Callable[[], object]) -> None:
    """Run *function* in *context*, or in a copy of it where it is entered already.

    A context can be entered once at a time, and a producer is called from inside an event of its
    own connection as well as from anywhere else.
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
            # It is the function's own.
            raise
        context.copy().run(function)
