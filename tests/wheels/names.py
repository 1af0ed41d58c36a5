"""The wheels with their extras, and the variants that they bring."""

from __future__ import annotations

CORE = "halfclose[cli,testing]"
TWISTED = "halfclose-twisted[uvloop]"
ANYIO = "halfclose-anyio[trio,uvloop]"

TWISTED_VARIANTS = tuple(
    f"twisted+{reactor}" for reactor in ("select", "poll", "epoll", "asyncio", "uvloop")
)
ANYIO_VARIANTS = ("anyio+asyncio", "anyio+uvloop", "anyio+trio")

ONLY = ("EVT-05", "FLU-09", "ERR-10", "END-01")
"""What a variant is held to that is not held to the whole contract."""
