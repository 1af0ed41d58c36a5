"""The contract as a test suite, for the authors of backends.

Install it with ``pip install 'halfclose[testing]'``.
"""

from .harness import Net, Pair, rule
from .kinds import Dial, Kind, LaneTCP, LaneUnix, NativeTCP, NativeUnix, Stdio
from .peers import PipePeer, RawPeer, SocketPeer
from .recorder import PlainRecorder, Recorder
from .suite import ContractSuite

__all__ = [
    "ContractSuite",
    "Dial",
    "Kind",
    "LaneTCP",
    "LaneUnix",
    "NativeTCP",
    "NativeUnix",
    "Net",
    "Pair",
    "PipePeer",
    "PlainRecorder",
    "RawPeer",
    "Recorder",
    "SocketPeer",
    "Stdio",
    "rule",
]
