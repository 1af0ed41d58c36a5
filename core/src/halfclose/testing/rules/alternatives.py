"""What a rule says where a capability that it needs is declared off."""

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
    """Capability `descriptors` off: the system's endpoints are refused, each by name."""
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
    """Capability `can_half_close` off: rule VRB-10, and that it truly cannot."""
    await cannot_half_close(net)


ALTERNATIVES: Mapping[str, Callable[[Any, Net], Awaitable[None]]] = {
    "can_half_close": no_half_close,
    "descriptors": no_descriptors,
}
"""By capability. The rules that need another one say within their own test what holds instead."""
