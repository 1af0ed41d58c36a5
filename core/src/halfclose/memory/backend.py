"""The backend ``memory``, which needs no event loop: it runs coroutines on its own scheduler."""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from typing import Any, ClassVar, NoReturn, TypeVar

from ..backend import Backend
from ..channel import BackendCapabilities, Channel
from ..endpoints import Memory
from ..loop import Watch
from ..reasons import ConnectError, ConnectionRefused, ConnectTimeout, ListenError, Unsupported
from ..running import already_runs
from ..scheme import Scheme
from .channel import MemoryChannel
from .listener import MemoryListener
from .network import Network, running_network
from .occupant import OCCUPANT
from .scheduler import Timer, running
from .tasks import Task
from .waiting import Cancelled, Event
from .wire import End

__all__ = ["MemoryBackend"]

T = TypeVar("T")

_FATAL = (KeyboardInterrupt, SystemExit)

_OF_A_NETWORK = frozenset({"seed", "chunks", "buffer", "latency"})


class MemoryBackend(Backend):
    """Connections within this process, and a virtual clock that jumps to the next timer.

    A program on this backend can run by itself under `halfclose.run`, or inside any other event
    loop. Inside another loop, a coroutine waits by running the scheduler until the event has
    happened, and the loop stands still meanwhile. Use `start_soon` for what has to run at the same
    time.

    If the backend is opened inside a program that runs on it, it joins that program's network.
    Otherwise it makes a network.

    :param options: ``grace``, in seconds; ``network``, a `Network` to join; or, for a new network,
        the arguments of `Network`: ``seed``, ``chunks``, ``buffer``, ``latency``.
    :raises TypeError: an option is unknown; or an option for a new network is given although an
        existing one is joined.
    :raises ValueError: the value of an option is out of range.
    """

    option_names: ClassVar[frozenset[str]] = _OF_A_NETWORK | {"network"}
    runs_inside: ClassVar[bool] = True
    capabilities: ClassVar[BackendCapabilities] = BackendCapabilities(descriptors=False)

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, options)
        self.network: Network
        self.interrupted: bool = False
        """Whether an event raised KeyboardInterrupt or SystemExit. If so, each wait in the body of
        ``async with`` raises `Cancelled`."""
        self._tasks: dict[Task, None] = {}
        self._fatal: BaseException | None = None
        self._find_network()

    def _find_network(self) -> None:
        """Join the network of the options or of the running program, or make one."""
        given = self.options.get("network")
        own = {key: value for key, value in self.options.items() if key in _OF_A_NETWORK}
        outer = running_network()
        for option in ("busy_poll", "sockets"):
            if option in self.options:
                raise TypeError(f"backend {self.name!r} has no sockets, and no option {option!r}")
        if given is not None and not isinstance(given, Network):
            raise TypeError(f"the option 'network' is a Network, not {given!r}")
        if own and (given is not None or outer is not None):
            raise TypeError(
                f"backend {self.name!r}: the option {min(own)!r} is for a network of its own, "
                "and here it joins another"
            )
        if given is not None:
            self.network = given
        elif outer is not None:
            self.network = outer
        else:
            self.network = Network(**own)

    # -- running -------------------------------------------------------------------------------

    @classmethod
    def run(
        cls,
        name: str,
        options: Mapping[str, Any] | None,
        main: Callable[..., Awaitable[T]],
        args: tuple[object, ...],
    ) -> T:
        if running() is not None and not (options and "network" in options):
            raise already_runs(name, OCCUPANT)
        backend = cls(name, options)

        async def body() -> T:
            async with backend:
                return await main(backend, *args)

        task = Task(backend.network.scheduler, body(), "main")
        backend.network.scheduler.drive(task)
        if task.error is not None:
            raise task.error
        result: T = task.result
        return result

    async def start(self) -> None:
        self._body = self.network.scheduler.current
        self._body.scopes.append(self)

    async def stop(self, error: BaseException | None) -> None:
        for task in list(self._tasks):
            task.cancel()
        self.network.scheduler.settle()
        self._body.scopes.remove(self)
        if self._fatal is not None:
            raise self._fatal from None

    def fatal(self, error: BaseException) -> None:
        self._fatal = self._fatal or error
        self.interrupted = True
        self._body.wake()

    def report(
        self, error: BaseException, message: str, *args: object, level: int = logging.ERROR
    ) -> None:
        super().report(error, message, *args, level=level)
        self.network.add_failure(error, message % args if args else message)

    # -- time, tasks, events -------------------------------------------------------------------

    def time(self) -> float:
        return self.network.scheduler.now

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        if not self.left:
            context = copy_context()
            self.network.scheduler.call_soon(context.run, self._unless_left, function, *args)

    def _unless_left(self, function: Callable[..., object], *args: object) -> None:
        """Call *function*, unless the backend has been left since this was asked for (ERR-14)."""
        if not self.left:
            self.guarded(function, *args)

    def call_later(self, seconds: float, function: Callable[..., object], *args: object) -> Timer:
        if self.left:
            return Timer(function, args)
        context = copy_context()
        return self.network.scheduler.call_later(
            seconds, context.run, self.guarded_timer, function, *args
        )

    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        if not self.left:
            context = copy_context()
            self.network.scheduler.call_soon_threadsafe(
                context.run, self._unless_left, function, *args
            )

    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        if self.left:
            return

        async def body() -> None:
            await function(*args)

        name = getattr(function, "__qualname__", None) or repr(function)
        task = Task(self.network.scheduler, body(), f"task {name}", self._task_ended)
        self._tasks[task] = None
        self.network.scheduler.call_soon(task.step)

    def _task_ended(self, task: Task) -> None:
        self._tasks.pop(task, None)
        self.check_process(task.error)
        if isinstance(task.error, _FATAL):
            self.fatal(task.error)
        elif task.error is not None and not isinstance(task.error, Cancelled):
            self.report(task.error, "the %s failed", task.name)

    async def sleep(self, seconds: float) -> None:
        event = self.create_event()
        timer = self.network.scheduler.call_later(seconds, event.set)
        try:
            await event.wait()
        finally:
            timer.cancel()

    def create_event(self) -> Event:
        return Event(self.network.scheduler)

    # -- connecting and listening --------------------------------------------------------------

    def cannot_serve(self, scheme: Scheme[Any, Any]) -> str | None:
        return self._serves_only() if scheme.needs_descriptors else None

    async def dial(self, endpoint: Memory, timeout: float | None) -> Channel:
        """Connect to *endpoint*, and give the channel; see `Scheme.connect`."""
        dialing = self.network.dial(endpoint.name)
        timer = self.call_later(timeout, dialing.give_up) if timeout is not None else None
        self.on_leaving(dialing.give_up)
        try:
            await dialing.over.wait()
            self.check_open()
            end = dialing.take()
        except OSError as error:
            kinds = {errno.ECONNREFUSED: ConnectionRefused, errno.ETIMEDOUT: ConnectTimeout}
            kind = kinds.get(error.errno or 0, ConnectError)
            raise kind(f"cannot connect to {endpoint}: {error}") from error
        except BaseException:
            dialing.give_up()
            raise
        finally:
            self.forget_leaving(dialing.give_up)
            if timer is not None:
                timer.cancel()
        if end is None:
            raise ConnectTimeout(f"cannot connect to {endpoint}: no answer within {timeout} s")
        return self._channel(end)

    def accept_on(self, endpoint: Memory, accepted: Callable[[Channel], None]) -> MemoryListener:
        """Listen on *endpoint*, and give the listener; see `Scheme.listen`."""
        try:
            listening = self.network.listen(endpoint.name)
        except OSError as error:
            raise ListenError(f"cannot listen on {endpoint}: {error}") from error
        return MemoryListener(
            self,
            self.network.scheduler,
            listening,
            lambda end: accepted(self._channel(end)),
        )

    def _channel(self, end: End) -> MemoryChannel:
        return MemoryChannel(self, self.network.scheduler, end)

    # -- what is refused, because there are no descriptors -------------------------------------

    def _serves_only(self) -> str:
        return f"the backend {self.name!r} serves memory:NAME only"

    def watch(self, fd: int, ready: Callable[[], object], *, write: bool = False) -> Watch:
        raise Unsupported(f"{self._serves_only()}: it watches no descriptor")

    async def resolve(self, host: str, port: int) -> NoReturn:
        raise Unsupported(f"{self._serves_only()}: it looks up no host")

    def adopt(self, sock: Any) -> NoReturn:
        raise Unsupported(f"{self._serves_only()}: it adopts no socket")
