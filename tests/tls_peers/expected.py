"""What every peer does: the one table that the tests hold them to."""

from __future__ import annotations

from .catalogue import ALL, NONE, Seen
from .conversation import ALONE, BARE, BOTH
from .setting import Side

__all__ = ["EXPECTED"]

_Versions = dict[str, Seen]


def _both(answered: str | None, received: str | None, end: str | None) -> _Versions:
    """The same in both versions."""
    seen = Seen(answered, received, end)
    return {"1.2": seen, "1.3": seen}


_WHOLE = _both(ALL, ALL, ALONE)
_WHOLE_AND_END = _both(ALL, ALL, BOTH)

# In 1.2 it ends its own half when it reads our close_notify, so that its answer looks empty and
# whole.
_JAVA: _Versions = {"1.2": Seen(NONE, ALL, BOTH), "1.3": Seen(ALL, ALL, BOTH)}

EXPECTED: dict[str, dict[Side, _Versions]] = {
    "Go": {"server": _WHOLE, "client": _WHOLE},
    "GnuTLS": {"server": _WHOLE, "client": _WHOLE},
    "Java": {"server": _JAVA, "client": _JAVA},
    "Node, allowHalfOpen": {"server": _WHOLE_AND_END, "client": _WHOLE_AND_END},
    # It ends its half when we end ours, but waits for our end when it ends first.
    "Node, by default": {"server": _both(NONE, ALL, BOTH), "client": _both(NONE, ALL, BOTH)},
    "socat": {"server": _WHOLE, "client": _WHOLE},
    "stunnel": {"server": _WHOLE, "client": _WHOLE},
    "haproxy": {"server": _WHOLE_AND_END, "client": _WHOLE_AND_END},
    # With proxy_half_close. It never sends close_notify.
    "nginx, stream": {"server": _both(ALL, ALL, BARE), "client": _both(ALL, ALL, BARE)},
    "openssl": {"server": _both(NONE, NONE, BOTH), "client": _both(NONE, NONE, BOTH)},
    # It sends what it reads, but leaves when we end.
    "gnutls-cli": {"client": _both(NONE, ALL, ALONE)},
    # It sends each line back, and cannot end first.
    "gnutls-serv": {"server": _both(ALL, None, None)},
    "ncat": {"server": _both(NONE, ALL, BARE), "client": _both(ALL, ALL, BARE)},
    "asyncio": {"server": _both(NONE, None, None), "client": _both(NONE, None, None)},
    "uvloop": {"server": _both(NONE, None, None), "client": _both(NONE, None, None)},
    "anyio": {"server": _both(ALL, None, None), "client": _both(ALL, None, None)},
    "trio": {"server": _both(ALL, None, None), "client": _both(ALL, None, None)},
    "Twisted": {"server": _both(NONE, ALL, BARE), "client": _both(NONE, ALL, BARE)},
    "haproxy, http": {"client": _both(None, ALL, None)},
    "nginx, http": {"server": _both(ALL, None, None), "client": _both(None, ALL, None)},
    "curl": {"client": _both(None, ALL, None)},
}
"""By peer, by its side of TLS, by version."""
