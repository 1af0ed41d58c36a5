"""The base class of endpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod

__all__ = ["Endpoint"]


class Endpoint(ABC):
    """A value that says where to connect or listen. Equal endpoints are the same place.

    A subclass is a frozen dataclass. Its constructor raises `EndpointError` for values that no
    endpoint can have. An endpoint does nothing itself: its `Scheme` connects and listens.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def scheme(self) -> str:
        """The name of the scheme, such as ``tcp``. A subclass sets it as a class attribute."""

    @abstractmethod
    def __str__(self) -> str:
        """The endpoint as ``SCHEME:REST``, from which `parse_endpoint` makes an equal endpoint.

        The string has only printable characters, so that it can be logged, even if a peer has
        chosen the name.
        """
