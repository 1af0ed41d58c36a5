"""What every endpoint has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

__all__ = ["Endpoint"]


class Endpoint(ABC):
    """Where to connect or listen, as a value: equal ones are the same place, and none changes.

    A subclass is a frozen dataclass whose constructor raises `EndpointError` for what no endpoint
    can be. What is done with it (to connect, to listen) is not here but in its `Scheme`.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def scheme(self) -> str:
        """The name of its scheme, such as ``tcp``; a subclass sets it as a class attribute."""

    @abstractmethod
    def __str__(self) -> str:
        """``SCHEME:REST``, of which `parse_endpoint` makes an equal endpoint.

        It holds nothing but printable characters, whatever a peer calls itself, so that it can go
        into any log.
        """
