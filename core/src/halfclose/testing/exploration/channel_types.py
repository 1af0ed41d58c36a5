"""Which types of channel a script can be performed on."""

from __future__ import annotations

from ..channels.channel_types import ChannelType, PollerTCP, PollerUnix, load_channel_types
from ..channels.memory import MemoryStream
from .parsing import ScriptError
from .script import Fault, Script

__all__ = ["MEMORY", "channel_type_of", "explorable", "serves_both"]

MEMORY = MemoryStream()


def serves_both(channel_type: ChannelType) -> bool:
    """Whether a backend can make both ends of *channel_type*, by ``listen`` and ``connect``."""
    return isinstance(channel_type, (PollerTCP, PollerUnix, MemoryStream))


def explorable(backend: str) -> tuple[ChannelType, ...]:
    """The types of channel on which scripts are performed, of the backend named *backend*.

    These are all but standard input and output, whose two ends are not alike.

    :raises BackendNotFound: see `halfclose.load_backend`.
    :raises BackendLoadError: see there, too.
    """
    return tuple(
        channel_type
        for channel_type in load_channel_types(backend)
        if channel_type.scheme != "stdio"
    )


def channel_type_of(channel_types: tuple[ChannelType, ...], script: Script) -> ChannelType:
    """The one of *channel_types* that *script* names.

    :raises ScriptError: none of them has that name, or the script cannot be performed on it.
    """
    named = {channel_type.name: channel_type for channel_type in channel_types}
    if script.channel_type not in named:
        known = ", ".join(named)
        raise ScriptError(f"there is no type of channel {script.channel_type!r}; there are {known}")
    channel_type = named[script.channel_type]
    if script.a.protocol != "raw" and not serves_both(channel_type):
        raise ScriptError(
            f"on {script.channel_type!r} only a raw peer connects: the script needs 'a raw'"
        )
    if channel_type.scheme != "memory" and any(isinstance(step, Fault) for step in script.steps):
        raise ScriptError(
            f"the script has faults, and {script.channel_type!r} is no simulated network"
        )
    return channel_type
