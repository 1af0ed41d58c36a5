"""On which kinds of channel a script can be performed."""

from __future__ import annotations

from ..channels.kinds import Kind, LaneTCP, LaneUnix, load_kinds
from ..channels.memory import MemoryStream
from .parsing import ScriptError
from .script import Fault, Script

__all__ = ["MEMORY", "explorable", "kind_of", "serves_both"]

MEMORY = MemoryStream()


def serves_both(kind: Kind) -> bool:
    """Whether ``Backend.listen`` and ``connect`` make both ends of it."""
    return isinstance(kind, (LaneTCP, LaneUnix, MemoryStream))


def explorable(backend: str) -> tuple[Kind, ...]:
    """The kinds of channel of the backend of that name on which scripts are performed.

    All but standard input and output, of which the two ends are not alike.

    :raises BackendNotFound: see `halfclose.load_backend`.
    :raises BackendLoadError: likewise.
    """
    return tuple(kind for kind in load_kinds(backend) if kind.scheme != "stdio")


def kind_of(kinds: tuple[Kind, ...], script: Script) -> Kind:
    """The one of *kinds* on which *script* is performed.

    :raises ScriptError: there is none of that name, or the script cannot be performed on it.
    """
    named = {kind.name: kind for kind in kinds}
    if script.kind not in named:
        known = ", ".join(named)
        raise ScriptError(f"there is no kind of channel {script.kind!r}; there are {known}")
    kind = named[script.kind]
    if script.a.protocol != "raw" and not serves_both(kind):
        raise ScriptError(f"on {script.kind!r} only a raw peer connects: the script needs 'a raw'")
    if kind.scheme != "memory" and any(isinstance(step, Fault) for step in script.steps):
        raise ScriptError(f"the script has faults, and {script.kind!r} is no simulated network")
    return kind
