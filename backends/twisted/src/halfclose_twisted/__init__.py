"""halfclose on Twisted.

`as_factory` puts a halfclose protocol behind any Twisted endpoint, in a program that owns its
reactor; everything else goes through `halfclose.run` and `halfclose.open_backend`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .factory import as_factory

__version__: str

__all__ = ["__version__", "as_factory"]


def __getattr__(name: str) -> Any:
    # Imported only when it is asked for: discovery imports this package to find its plugin, and
    # must not import Twisted by that.
    if name == "as_factory":
        from .factory import as_factory

        return as_factory
    if name == "__version__":
        # The metadata has it from the file that has it for all three distributions.
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("halfclose-twisted")
        except PackageNotFoundError as error:
            # As in a program that was frozen without metadata. `getattr` has a default for that.
            raise AttributeError(f"{error}; so there is no version") from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
