"""All works, in the order of the table."""

from __future__ import annotations

from .between import Between
from .bulk import BulkEcho, BulkIn, BulkOut
from .echoing import EchoOverMany, EchoOverOne, EchoOverSome
from .exchanging import Connections, Exchanges
from .growing import CloseByPeers, CloseByUs, IdleBesideBusy, SmallPieces, StalledReader
from .resting import Imports, Memory
from .syscalls import SystemCalls
from .work import Work

__all__ = ["WORKS"]

WORKS: dict[str, type[Work]] = {
    work.name: work
    for work in (
        EchoOverOne,
        EchoOverSome,
        EchoOverMany,
        BulkEcho,
        BulkIn,
        BulkOut,
        Connections,
        Memory,
        Exchanges,
        Imports,
        SystemCalls,
        Between,
        IdleBesideBusy,
        SmallPieces,
        StalledReader,
        CloseByPeers,
        CloseByUs,
    )
}
