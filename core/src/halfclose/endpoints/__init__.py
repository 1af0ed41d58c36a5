"""Where to connect or listen, as values: a file for each scheme of core's own.

``tcp:HOST:PORT`` (``tcp:[::1]:80`` for IPv6, ``tcp:*:80`` to listen on every address of both
families), ``unix:PATH`` (``unix:@NAME`` for an abstract one), ``stdio:``, ``memory:NAME``. Plugins
bring others. How one is connected to and listened on is in its `Scheme`, above.
"""

from .endpoint import Endpoint
from .memory import Memory
from .stdio import StandardIO
from .tcp import EVERY_ADDRESS, TCP
from .unix import UNIX, UNIX_PATH_BYTES

__all__ = [
    "EVERY_ADDRESS",
    "TCP",
    "UNIX",
    "UNIX_PATH_BYTES",
    "Endpoint",
    "Memory",
    "StandardIO",
]
