"""Endpoints of the scheme ``memory:``."""

from __future__ import annotations

from dataclasses import dataclass

from ..reasons import EndpointError
from .endpoint import Endpoint

__all__ = ["Memory"]


@dataclass(frozen=True)
class Memory(Endpoint):
    """A name in a network of the backend ``memory``, which exists in this process only.

    :param name: one or more printable characters without spaces.
    :raises EndpointError: *name* is anything else.
    """

    scheme = "memory"

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise EndpointError(f"memory name {self.name!r}: a name is missing")
        if " " in self.name or not self.name.isprintable():
            raise EndpointError(
                f"memory name {self.name!r}: holds a space or a character that cannot be printed"
            )

    @classmethod
    def parse(cls, rest: str) -> Memory:
        """The endpoint that is written as ``memory:`` and *rest*.

        :param rest: what stands after the colon.
        :raises EndpointError: *rest* is no valid name. The message says why.
        """
        if not rest:
            raise EndpointError("the name is missing")
        return cls(rest)

    def __str__(self) -> str:
        return f"memory:{self.name}"
