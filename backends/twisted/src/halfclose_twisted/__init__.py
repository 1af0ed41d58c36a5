"""halfclose on Twisted.

`as_factory` puts a halfclose protocol behind any Twisted endpoint, in a program that owns its
reactor; everything else goes through `halfclose.run` and `halfclose.open_backend`.
"""

from .factory import as_factory

__version__ = "0.1.0"

__all__ = ["__version__", "as_factory"]
