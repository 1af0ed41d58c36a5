"""Schemes of endpoints: how the endpoints of a scheme are parsed, connected to, listened on."""

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


_CONNECT_ONLY = "its scheme can only connect"


class Scheme(ABC, Generic[EndpointT, BackendT]):
    """Parses the endpoints of one scheme, connects to them, and listens on them.

    A plugin gives its schemes in the hook ``halfclose_endpoints``. One object serves every backend
    of the process, so a scheme must not keep the state of a backend or of a connection. A subclass
    names the class of its endpoints, and the class of the backends that can serve them:
    ``class VSOCKScheme(Scheme[VSOCK, Backend])``.
    """

    name: str
    """What stands before the colon: a small letter, then small letters, digits, ``+``, ``-`` and
    ``.``. The endpoints' `Endpoint.scheme` is the same."""

    examples: tuple[str, ...]
    """One or more valid endpoints, which the message for a malformed endpoint shows."""

    needs_descriptors: bool = True
    """Whether sockets or pipes of the operating system serve the endpoints. A backend that has
    none (`BackendCapabilities.descriptors`) refuses such endpoints."""

    one_connection: bool = False
    """Whether an endpoint stands for one connection that exists already. A server then gets this
    connection by ``connect``, since there is nothing to listen on."""

    standard_io: bool = False
    """Whether the connection is the standard input and output of this process."""

    within_process: bool = False
    """Whether both ends of a connection are in this process. The command ``halfclose`` refuses
    such endpoints."""

    @abstractmethod
    def parse(self, rest: str) -> EndpointT:
        """The endpoint that is written as `name`, a colon and *rest*.

        :param rest: what stands after the colon.
        :raises ValueError: this is no valid endpoint. The message only has to say what is wrong;
            the caller adds the endpoint's whole text and the examples.
        """

    @abstractmethod
    async def connect(
        self, backend: BackendT, endpoint: EndpointT, timeout: float | None
    ) -> Channel:
        """Connect to *endpoint*, and give the connected channel.

        If it is cancelled, it must leave nothing open. A scheme that reaches its endpoints by way
        of another endpoint calls ``backend.open_channel`` for that one.

        :param backend: the backend that the program has asked to connect.
        :param endpoint: where to connect, an endpoint of this scheme.
        :param timeout: seconds for everything; None: no limit.
        :raises ConnectError: the connection cannot be made. The message names *endpoint*.
        :raises OSError: the connection cannot be made. The caller makes it a `ConnectError` that
            names *endpoint*.
        :raises RuntimeError: the backend was left meanwhile.
        """

    async def listen(
        self,
        backend: BackendT,
        endpoint: EndpointT,
        options: ConnectionOptions,
        accepted: Callable[[Channel], None],
    ) -> Listener:
        """Listen on *endpoint*, and give the listener.

        A scheme that reaches its endpoints by way of another endpoint calls
        ``backend.open_listener`` for that one. Without an override, listening is refused.

        :param backend: the backend that the program has asked to listen.
        :param endpoint: where to listen, an endpoint of this scheme.
        :param options: those of the connections; ``unix_mode`` is for the endpoint itself.
        :param accepted: to be called with the channel of each new connection.
        :raises ListenError: listening failed. The message names *endpoint*.
        :raises OSError: listening failed. The caller makes it a `ListenError` that names
            *endpoint*.
        :raises RuntimeError: the backend was left meanwhile.
        """
        raise ListenError(f"cannot listen on {endpoint}: {_CONNECT_ONLY}")

    def cannot_connect(self, endpoint: EndpointT) -> str | None:
        """Why no connection to *endpoint* can ever be made; None: it may be possible.

        :param endpoint: an endpoint of this scheme.
        """
        return None

    def cannot_listen(self, endpoint: EndpointT) -> str | None:
        """Why listening on *endpoint* can never succeed; None: it may be possible.

        :param endpoint: an endpoint of this scheme.
        """
        if self.one_connection:
            return "it is one connection; connect to it instead"
        # A subclass that does not override `listen` need not say so once more.
        return _CONNECT_ONLY if type(self).listen is Scheme.listen else None

    def cannot_have_mode(self, endpoint: EndpointT) -> str | None:
        """Why `ConnectionOptions.unix_mode` cannot apply to *endpoint*; None: it is a file, to
        which it applies.

        :param endpoint: an endpoint of this scheme.
        """
        return "only a file has permissions"
