"""Runs a second program beside the test, to see what happens when its backend is left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from contextlib import ExitStack

from ...backend import Backend
from ...channel import Capabilities
from ...options import ConnectionOptions
from ..channels.channel_types import Serve
from ..channels.peers import LIMIT, RawPeer
from .harness import Net
from .recorder import Recorder

__all__ = ["Program"]


class Program:
    """A second program with a backend of the same name, which ends while a connection is open.

    The program makes one connection of the channel type under test, and then runs *body*. The test
    drives the raw peer, and so sees what leaving the program's backend does to the connection.

    :param protocol: the program's end of the connection.
    :param body: what the program does after the connection is made; None: nothing.
    :param grace: seconds, for the option of the program's backend; None: the default.
    """

    def __init__(
        self,
        net: Net,
        protocol: Recorder,
        body: Callable[[Backend], Awaitable[None]] | None = None,
        grace: float | None = LIMIT,
    ) -> None:
        self.protocol = protocol
        self.error: BaseException | None = None
        """What the program raised; None: nothing."""
        self.seconds: float = 0.0
        """How long the body took, together with leaving the backend."""
        self.held: bool = False
        """Whether the backend itself holds the connection, and not a task of the program."""
        self.peer: RawPeer
        self._net = net
        self._body = body
        self._options = {} if grace is None else {"grace": grace}
        self._begun = 0.0
        self._serve: Serve
        self._up = net.backend.create_event()
        self._over = net.backend.create_event()
        self._stack = ExitStack()

    async def __aenter__(self) -> Program:
        """Start the program, and wait until its connection is made."""
        self._serve = self._stack.enter_context(self._net.channel_type.outliving(self._net.backend))
        self._net.backend.start_soon(self._run)
        await self._net.wait(self._up, "the program's connection")
        return self

    async def _run(self) -> None:
        channel_type = self._net.channel_type
        self.error = await channel_type.run_program(
            self._net.backend, self._main, self._options, self._net.host
        )
        self.seconds = channel_type.time(self._net.backend) - self._begun
        self._over.set()
        self._up.set()

    async def _main(self, backend: Backend) -> None:
        await self._connect(backend)
        self._net.backend.call_soon_threadsafe(self._up.set)
        self._begun = self._net.channel_type.time(self._net.backend)
        if self._body is not None:
            await self._body(backend)

    async def _connect(self, backend: Backend) -> None:
        inner = Net(backend, self._net.channel_type)
        async with self._serve(backend, lambda: self.protocol, ConnectionOptions()) as connect:
            self.peer = await connect()
            # From now on the test waits for the peer, in its own loop.
            self.peer.backend = self._net.backend
            await inner.until(self.protocol, "connectionMade")
        held: Collection[object] = backend._connections
        self.held = self.protocol.transport in held

    @property
    def can(self) -> Capabilities:
        """The capabilities that the connection's channel declares."""
        return self.protocol.transport.capabilities

    @property
    def is_over(self) -> bool:
        """Whether the program has ended."""
        return self._over.is_set()

    async def over(self) -> BaseException | None:
        """Wait until the program ends, and give the reason with which its connection was lost."""
        await self._net.wait(self._over, "the program's end")
        self._net.watch(self.protocol)
        return self.protocol.reason

    async def __aexit__(self, *exception: object) -> None:
        try:
            if hasattr(self, "peer"):
                self.peer.close()
            await self._net.wait(self._over, "the program's end")
        finally:
            self._stack.close()
