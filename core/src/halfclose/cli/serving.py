"""``halfclose run``: one protocol on one endpoint."""

from __future__ import annotations

import signal
from collections.abc import Callable

from .. import running
from ..backend import Backend
from ..endpoints import Endpoint
from ..interfaces import Protocol
from ..options import ConnectionOptions
from ..reasons import ConnectionDone, ConnectionLost, HalfcloseError
from ..schemes import scheme_of
from .report import Problem, one_line, say
from .signals import Signals
from .standing import was_closed
from .stopping import Stopped

__all__ = ["need_standard_io", "serve"]


def need_standard_io() -> None:
    """Make sure that descriptors 0 and 1 are those that we were started with.

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
) -> int:
    """Serve what *factory* gives until SIGINT or SIGTERM, or if it is one connection, its end.

    :returns: the exit status.
    :raises HalfcloseError: the backend or the endpoint cannot be used.
    :raises Stopped: a signal ended it. SIGTERM is how a server is asked to end, so one that has
        closed its connections returns; ``^C`` is also meant for the shell around it.
    """
    scheme = scheme_of(endpoint)
    if scheme.one_connection:
        if scheme.standard_io:
            need_standard_io()
        with Signals() as signals:
            reason = running.run(_attach, signals, factory, endpoint, options, backend=backend)
        assert reason is not None, "only a signal comes before the end"
        if scheme.standard_io and _has_no_reader(reason):
            # As every filter does whose output nobody reads.
            raise Stopped(signal.SIGPIPE)
        if not isinstance(reason, ConnectionDone):
            raise Problem(f"connection with {endpoint} lost: {one_line(reason)}")
    else:
        with Signals(signal.SIGTERM) as signals:
            running.run(_listen, signals, factory, endpoint, options, backend=backend)
    return 0


def _has_no_reader(reason: BaseException) -> bool:
    """Whether a connection ended since nobody reads our output any more."""
    return isinstance(reason, ConnectionLost) and isinstance(reason.__cause__, BrokenPipeError)


async def _listen(
    backend: Backend,
    signals: Signals,
    factory: Callable[[], Protocol],
    endpoint: Endpoint,
    options: ConnectionOptions,
) -> None:
    stop = backend.create_event()
    signals.attach(backend, stop.set)
    async with await backend.listen(endpoint, factory, options) as listener:
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
    """The reason why the connection ended, or None if a signal came first."""
    over = backend.create_event()
    signals.attach(backend, over.set)
    try:
        protocol: Protocol = await backend.connect(endpoint, factory, options=options)
    except HalfcloseError:
        raise
    except Exception as error:
        # The protocol's own; connect passes it on.
        raise Problem(f"the protocol failed: {type(error).__name__}: {one_line(error)}") from error
    reasons: list[BaseException] = []

    async def wait() -> None:
        reasons.append(await protocol.transport.whenClosed())
        over.set()

    backend.start_soon(wait)
    await over.wait()
    return reasons[0] if reasons else None
