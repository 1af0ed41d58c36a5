"""The testing kit: for the authors of backends, and of libraries that are used with one.

- `ContractSuite` tests a backend against every rule of the contract.
- `ExplorationSuite` performs random conversations, to find mistakes that no rule looks for.
- `network` is a network in memory with a virtual clock, for the unit tests of a library.

The two suites need pytest and Hypothesis, which the extra ``testing`` installs.
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
    # The suites are imported only when somebody asks for one, so that everything else here works
    # without pytest and Hypothesis.
    if name == "ContractSuite":
        from .judging.explaining import explain_assertions

        explain_assertions()
        from .judging.suite import ContractSuite

        return ContractSuite
    if name == "ExplorationSuite":
        from .exploration import ExplorationSuite

        return ExplorationSuite
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
