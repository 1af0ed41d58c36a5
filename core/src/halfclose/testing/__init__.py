"""The contract as a kit: for the authors of backends, and of libraries that use one.

What it needs is in the extra ``testing``. `ContractSuite` proves a backend, and
`ExplorationSuite` looks for what no rule has thought of; `network` is a network in memory, with a
clock of its own, for the unit tests of a library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .channels.channel_types import (
    CHANNEL_TYPES,
    ChannelType,
    Dial,
    NativeTCP,
    NativeUnix,
    PollerTCP,
    PollerUnix,
    Stdio,
)
from .channels.peers import RawPeer
from .channels.pipes import PipePeer
from .channels.sockets import SocketPeer
from .hosts import Host
from .networks import OpenNetwork, network
from .tools.harness import Net, Pair, rule
from .tools.recorder import PlainRecorder, Recorder

if TYPE_CHECKING:
    from .exploration import ExplorationSuite
    from .judging.suite import ContractSuite

__all__ = [
    "CHANNEL_TYPES",
    "ChannelType",
    "ContractSuite",
    "Dial",
    "ExplorationSuite",
    "Host",
    "NativeTCP",
    "NativeUnix",
    "Net",
    "OpenNetwork",
    "Pair",
    "PipePeer",
    "PlainRecorder",
    "PollerTCP",
    "PollerUnix",
    "RawPeer",
    "Recorder",
    "SocketPeer",
    "Stdio",
    "network",
    "rule",
]


def __getattr__(name: str) -> Any:
    # These need pytest and Hypothesis, which are not to be imported for the others.
    if name == "ContractSuite":
        from .judging.explaining import explain_assertions

        explain_assertions()
        from .judging.suite import ContractSuite

        return ContractSuite
    if name == "ExplorationSuite":
        from .exploration import ExplorationSuite

        return ExplorationSuite
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
