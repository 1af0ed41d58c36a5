"""``halfclose run``: serves one protocol on one endpoint."""

from __future__ import annotations

import signal
from collections.abc import Callable

from .. import running
from ..backend import Backend
from ..endpoints import Endpoint
from ..interfaces import Protocol
from ..options import ConnectionOptions
from ..reasons import ConnectionDone, ConnectionLost, HalfcloseError
from ..scheme_registry import scheme_of
from ..text import one_line
from .report import Problem, reported, say
from .signals import Signals
from .standard_descriptors import was_closed
from .stopping import Stopped

__all__ = ["need_standard_io", "serve"]


def need_standard_io() -> None:
    """Make sure that descriptors 0 and 1 were open when this process was started.

    :raises Problem: one was closed.
    """
    for standard, name in enumerate(("input", "output")):
        if was_closed(standard):
            raise Problem(f"standard {name} is closed")


def serve(
    factory: Callable[[], Protocol],
    endpoint: Endpoint,
    backend: str | None,
    options: ConnectionOptions,
    grace: float,
) -> int:
    """Serve until a signal comes, or at an endpoint like stdio until its one connection ends.

    A server that gets SIGTERM closes its connections and returns, because SIGTERM is the way to
    ask a server to end. After SIGINT it raises, because ``^C`` is also meant for the shell that
    has started it.

    :param factory: makes the protocols.
    :param backend: the name of the backend; None: the one that is found.
    :param options: of each connection.
    :param grace: seconds that connections have to end, after a signal.
    :returns: the exit status.
    :raises HalfcloseError: the backend or the endpoint cannot be used.
    :raises Problem: the one connection was lost, or a standard descriptor was closed.
    :raises Stopped: a signal ended it: SIGINT, a second signal, any signal with one connection, or
        SIGPIPE if nobody reads standard output.
    """
    scheme = scheme_of(endpoint)
    leaving = {"grace": grace}
    if scheme.one_connection:
        if scheme.standard_io:
            need_standard_io()
        with Signals() as signals:
            reason = running.run(
                _attach, signals, factory, endpoint, options, backend=backend, options=leaving
            )
        assert reason is not None, "only a signal comes before the end"
        if scheme.standard_io and _has_no_reader(reason):
            # A filter whose output nobody reads dies by SIGPIPE.
            raise Stopped(signal.SIGPIPE)
        if not isinstance(reason, ConnectionDone):
            raise Problem(f"connection with {endpoint} lost: {one_line(reason)}")
    else:
        with Signals(signal.SIGTERM) as signals:
            running.run(
                _listen, signals, factory, endpoint, options, backend=backend, options=leaving
            )
    return 0


def _has_no_reader(reason: BaseException) -> bool:
    """Whether *reason* says that nobody reads our output any more."""
    return isinstance(reason, ConnectionLost) and isinstance(reason.__cause__, BrokenPipeError)


async def _listen(
    backend: Backend,
    signals: Signals,
    factory: Callable[[], Protocol],
    endpoint: Endpoint,
    options: ConnectionOptions,
) -> None:
    """Listen until a signal comes, and close the listener."""
    stop = backend.create_event()
    signals.attach(backend, stop.set)
    with reported(f"cannot listen on {endpoint}"):
        listening = await backend.listen(endpoint, factory, options)
    async with listening as listener:
        say(f"listening on {listener.endpoint}")
        await stop.wait()
    say("closing; a second signal aborts")


async def _attach(
    backend: Backend,
    signals: Signals,
    factory: Callable[[], Protocol],
    endpoint: Endpoint,
    options: ConnectionOptions,
) -> BaseException | None:
    """Make the one connection, and wait until it ends or a signal comes.

    :returns: why the connection ended; None: a signal came first.
    :raises Problem: the factory, connectionMade or the plugin of the endpoint's scheme raised.
    """
    over = backend.create_event()
    signals.attach(backend, over.set)
    connected = False

    def make() -> Protocol:
        nonlocal connected
        connected = True
        return factory()

    try:
        protocol = await backend.connect(endpoint, make, options=options)
    except HalfcloseError:
        raise
    except Exception as error:
        # `connect` passes on what the factory and the protocol raise.
        what = "the protocol failed" if connected else f"cannot connect to {endpoint}"
        failure = f"{type(error).__name__}: {one_line(error)}"
        raise Problem(f"{what.removesuffix(':')}: {failure}") from error
    reasons: list[BaseException] = []

    async def wait() -> None:
        reasons.append(await protocol.transport.whenClosed())
        over.set()

    backend.start_soon(wait)
    await over.wait()
    return reasons[0] if reasons else None
