"""Each wheel in an environment with nothing else, and all of them together."""

from __future__ import annotations

from wheels.building import Wheels
from wheels.names import ANYIO, ANYIO_VARIANTS, CORE, ONLY, TWISTED, TWISTED_VARIANTS
from wheels.steps import check_absent, check_contract, check_imported

__all__ = ["anyio", "core", "together", "twisted"]


def core(wheels: Wheels) -> None:
    """Core alone: without its extras it is imported, and with them it keeps the contract."""
    bare = wheels.environment("bare", "halfclose")
    check_imported(bare, "halfclose")
    check_absent(bare, "click", "rich", "pytest", "hypothesis", "twisted", "anyio")
    whole = wheels.environment("core", CORE)
    check_imported(whole, "halfclose", "halfclose.testing")
    check_absent(whole, "twisted", "anyio", "trio", "uvloop")
    check_contract(whole, "memory")


def twisted(wheels: Wheels) -> None:
    """Twisted's backend alone, without uvloop."""
    made = wheels.environment("twisted", CORE, "halfclose-twisted")
    check_imported(made, "halfclose", "halfclose_twisted")
    check_absent(made, "anyio", "trio", "uvloop", "halfclose_anyio")
    check_contract(made, "twisted+epoll")


def anyio(wheels: Wheels) -> None:
    """anyio's backend alone, without uvloop and trio."""
    made = wheels.environment("anyio", CORE, "halfclose-anyio")
    check_imported(made, "halfclose", "halfclose_anyio")
    check_absent(made, "twisted", "trio", "uvloop", "halfclose_twisted")
    check_contract(made, "anyio+asyncio")


def together(wheels: Wheels) -> None:
    """All three with every extra, on every variant."""
    made = wheels.environment("together", CORE, TWISTED, ANYIO)
    check_imported(made, "halfclose", "halfclose_twisted", "halfclose_anyio")
    check_contract(made, *TWISTED_VARIANTS, *ANYIO_VARIANTS, only=ONLY)
