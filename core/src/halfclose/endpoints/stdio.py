"""The endpoint ``stdio:``."""

from __future__ import annotations

from dataclasses import dataclass

from ..reasons import EndpointError
from .endpoint import Endpoint

__all__ = ["StandardIO"]


@dataclass(frozen=True)
class StandardIO(Endpoint):
    """Standard input and output of this process (descriptors 0 and 1), as one connection."""

    scheme = "stdio"

    @classmethod
    def parse(cls, rest: str) -> StandardIO:
        """The endpoint ``stdio:``.

        :param rest: what stands after the colon, which is nothing.
        :raises EndpointError: *rest* is not empty.
        """
        if rest:
            raise EndpointError(f"nothing may follow 'stdio:', here {rest!r}")
        return cls()

    def __str__(self) -> str:
        return "stdio:"
