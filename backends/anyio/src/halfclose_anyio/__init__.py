"""halfclose on anyio: asyncio, uvloop and trio.

`serve_stream` runs a halfclose protocol over any byte stream, in a program that owns its tasks;
everything else goes through `halfclose.run` and `halfclose.open_backend`.
"""

from .stream import serve_stream

__version__ = "0.1.0"

__all__ = ["__version__", "serve_stream"]
