"""A kind of endpoint: how one is written, connected to and listened on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from .channel import Channel
from .endpoints import Endpoint
from .interfaces import AbstractBackend
from .listener import Listener
from .options import ConnectionOptions
from .reasons import ListenError

__all__ = ["Scheme"]

EndpointT = TypeVar("EndpointT", bound=Endpoint)

BackendT = TypeVar("BackendT", bound=AbstractBackend)


class Scheme(ABC, Generic[EndpointT, BackendT]):
    """What stands before the colon of an endpoint, and all that depends on it.

    A plugin gives its schemes in the hook ``halfclose_endpoints``. One object serves every backend
    of the process, so it keeps nothing of a backend or a connection. The class of its endpoints
    stands in brackets, and that of the backends which serve them: ``Scheme[VSOCK, Backend]``.
    """

    name: str
    """What stands before the colon: a small letter, then small letters, digits, ``+``, ``-`` and
    ``.``. The `Endpoint.scheme` of its endpoints is the same."""

    examples: tuple[str, ...]
    """Right endpoints of this scheme, one at least: the message of a malformed one shows them."""

    needs_descriptors: bool = True
    """Whether it is served with sockets or pipes of the operating system, so that a backend which
    has none (`BackendCapabilities.descriptors`) refuses it."""

    one_connection: bool = False
    """Whether an endpoint is one connection, which is there already: a server gets it by
    ``connect`` too."""

    standard_io: bool = False
    """Whether the connection is the standard input and output of this process."""

    within_process: bool = False
    """Whether only this process can be at the other end, so that the command has no use for it."""

    @abstractmethod
    def parse(self, rest: str) -> EndpointT:
        """The endpoint that the name, a colon and *rest* are.

        :raises ValueError: they are none. The message says what is wrong and no more: who asked
            puts the whole endpoint before it, and the examples after it.
        """

    @abstractmethod
    async def connect(
        self, backend: BackendT, endpoint: EndpointT, timeout: float | None
    ) -> Channel:
        """A channel that is connected to *endpoint*. Cancelled, it leaves nothing behind.

        What is reached by way of another endpoint asks ``backend.open_channel`` for that one.

        :param timeout: seconds for everything; None: no limit.
        :raises ConnectError: it cannot be connected to; the message names *endpoint*.
        :raises OSError: likewise; the caller names *endpoint*.
        :raises RuntimeError: the backend was left meanwhile.
        """

    async def listen(
        self,
        backend: BackendT,
        endpoint: EndpointT,
        options: ConnectionOptions,
        accepted: Callable[[Channel], None],
    ) -> Listener:
        """A listener on *endpoint*, which gives a channel for each new connection to *accepted*.

        What is reached by way of another endpoint asks ``backend.open_listener`` for that one.
        By default nobody can listen.

        :raises ListenError: it cannot be listened on; the message names *endpoint*.
        :raises OSError: likewise; the caller names *endpoint*.
        :raises RuntimeError: the backend was left meanwhile.
        """
        raise ListenError(f"cannot listen on {endpoint}: {self.name}: is to connect to")

    def cannot_connect(self, endpoint: EndpointT) -> str | None:
        """Why nobody can ever connect to *endpoint*; None: one may try."""
        return None

    def cannot_listen(self, endpoint: EndpointT) -> str | None:
        """Why nobody can ever listen on *endpoint*; None: one may try."""
        return "it is one connection; connect to it instead" if self.one_connection else None

    def cannot_have_mode(self, endpoint: EndpointT) -> str | None:
        """Why `ConnectionOptions.unix_mode` says nothing of *endpoint*; None: it is a file."""
        return "only a file has permissions"
