"""``stdio:``."""

from __future__ import annotations

from dataclasses import dataclass

from ..reasons import EndpointError
from .endpoint import Endpoint

__all__ = ["StandardIO"]


@dataclass(frozen=True)
class StandardIO(Endpoint):
    """Descriptors 0 and 1 of this process: input and output of one connection."""

    scheme = "stdio"

    @classmethod
    def parse(cls, rest: str) -> StandardIO:
        """The endpoint that ``stdio:`` names.

        :raises EndpointError: something follows it.
        """
        if rest:
            raise EndpointError(f"nothing may follow 'stdio:', here {rest!r}")
        return cls()

    def __str__(self) -> str:
        return "stdio:"
