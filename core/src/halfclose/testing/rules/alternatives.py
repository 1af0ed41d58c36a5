"""What must hold in place of a rule if a capability that the rule needs is declared off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ...reasons import ConnectError, ListenError
from ..tools.harness import Net
from ..tools.reactions import raises
from ..tools.recorder import Recorder
from .verbs import cannot_half_close

__all__ = ["ALTERNATIVES"]

_OF_THE_SYSTEM = ("tcp:127.0.0.1:9", "unix:/nonexistent/halfclose", "stdio:")


async def no_descriptors(suite: Any, net: Net) -> None:
    """Check that connecting to the system's endpoints is refused, by an error that names them.

    For a backend with the capability `descriptors` off.
    """
    for endpoint in _OF_THE_SYSTEM:
        with raises(ConnectError) as refused:
            await net.backend.connect(endpoint, Recorder)
        assert type(refused.value) is ConnectError, "descriptors is declared off, and works"
        assert endpoint in str(refused.value)
        assert net.backend.name in str(refused.value)
        with raises(ListenError) as unheard:
            await net.backend.listen(endpoint, Recorder)
        assert endpoint in str(unheard.value)
        assert net.backend.name in str(unheard.value)


async def no_half_close(suite: Any, net: Net) -> None:
    """Check rule VRB-10, and that the transport truly cannot half-close.

    For a transport with the capability `can_half_close` off.
    """
    await cannot_half_close(net)


ALTERNATIVES: Mapping[str, Callable[[Any, Net], Awaitable[None]]] = {
    "can_half_close": no_half_close,
    "descriptors": no_descriptors,
}
"""What is checked if a capability is off, by the capability's name. Rules that depend on any other
capability say in their own test what holds without it."""
