"""Endpoints: values that say where to connect or listen. Each scheme of core has a file.

``tcp:HOST:PORT`` (``tcp:[::1]:80`` for IPv6, ``tcp:*:80`` to listen on every address of both
families), ``unix:PATH`` (``unix:@NAME`` for an abstract one), ``stdio:``, ``memory:NAME``. Plugins
can bring others. An endpoint is only a value: its `Scheme` connects to it and listens on it.
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
