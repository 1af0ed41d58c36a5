"""One connection: a protocol and a channel, held to the contract. `connection` is the whole; the
other files are its parts."""

from .connection import Connection

__all__ = ["Connection"]
