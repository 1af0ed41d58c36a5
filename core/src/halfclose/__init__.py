"""Half-closeable protocols that are written once and run on any event loop.

Start with `HalfCloseableProtocol`, `run`, `Backend.connect` and `Backend.listen`.
"""

from .backend import Backend
from .channel import BackendCapabilities, Capabilities, Channel, ChannelHandler
from .connection import Connection
from .discovery import BackendInfo, available_backends, find_backend, load_backend
from .endpoints import TCP, UNIX, Endpoint, Memory, StandardIO
from .hooks import BackendSpec, hookimpl
from .interfaces import (
    AbstractBackend,
    BaseProtocol,
    HalfCloseableProtocol,
    Producer,
    Protocol,
    ProtocolFactory,
    PullProducer,
    PushProducer,
    Transport,
)
from .lifecycle import State
from .listener import Listener
from .loop import Address, Event, EventLoop, TimerHandle, Watch
from .options import HIGH_WATER, LINGER_BYTES, LINGER_TIMEOUT, LOW_WATER, ConnectionOptions
from .plugins import register, unregister
from .reasons import (
    BackendError,
    BackendLoadError,
    BackendNotFound,
    CloseTimeout,
    ConnectError,
    ConnectionAborted,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefused,
    ConnectTimeout,
    DNSLookupFailed,
    EndpointError,
    HalfcloseError,
    HalfCloseTimeout,
    ListenError,
    Unsupported,
)
from .running import open_backend, run
from .scheme import Scheme
from .scheme_registry import as_endpoint, parse_endpoint

__version__ = "0.1.0"

__all__ = [
    "HIGH_WATER",
    "LINGER_BYTES",
    "LINGER_TIMEOUT",
    "LOW_WATER",
    "TCP",
    "UNIX",
    "AbstractBackend",
    "Address",
    "Backend",
    "BackendCapabilities",
    "BackendError",
    "BackendInfo",
    "BackendLoadError",
    "BackendNotFound",
    "BackendSpec",
    "BaseProtocol",
    "Capabilities",
    "Channel",
    "ChannelHandler",
    "CloseTimeout",
    "ConnectError",
    "ConnectTimeout",
    "Connection",
    "ConnectionAborted",
    "ConnectionClosed",
    "ConnectionDone",
    "ConnectionLost",
    "ConnectionOptions",
    "ConnectionRefused",
    "DNSLookupFailed",
    "Endpoint",
    "EndpointError",
    "Event",
    "EventLoop",
    "HalfCloseTimeout",
    "HalfCloseableProtocol",
    "HalfcloseError",
    "ListenError",
    "Listener",
    "Memory",
    "Producer",
    "Protocol",
    "ProtocolFactory",
    "PullProducer",
    "PushProducer",
    "Scheme",
    "StandardIO",
    "State",
    "TimerHandle",
    "Transport",
    "Unsupported",
    "Watch",
    "__version__",
    "as_endpoint",
    "available_backends",
    "find_backend",
    "hookimpl",
    "load_backend",
    "open_backend",
    "parse_endpoint",
    "register",
    "run",
    "unregister",
]
