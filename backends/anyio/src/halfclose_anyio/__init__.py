"""halfclose on anyio: asyncio, uvloop and trio.

`serve_stream` runs a halfclose protocol over any byte stream, in a program that owns its tasks;
everything else goes through `halfclose.run` and `halfclose.open_backend`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .stream import serve_stream

__version__: str

__all__ = ["__version__", "serve_stream"]


def __getattr__(name: str) -> Any:
    # Imported only when it is asked for: discovery imports this package to find its plugin, and
    # must not import anyio by that.
    if name == "serve_stream":
        from .stream import serve_stream

        return serve_stream
    if name == "__version__":
        # The metadata has it from the file that has it for all three distributions.
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("halfclose-anyio")
        except PackageNotFoundError as error:
            # As in a program that was frozen without metadata. `getattr` has a default for that.
            raise AttributeError(f"{error}; so there is no version") from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
