"""The contract on the three event loops: the lane, stdio, and anyio's own streams."""

from halfclose.testing import ContractSuite, NativeTCP, NativeUnix
from halfclose_anyio.testing import AnyioTCP, AnyioUnix

KINDS = (*ContractSuite.kinds, AnyioTCP(), AnyioUnix(), NativeTCP(), NativeUnix())


class TestAsyncio(ContractSuite):
    backend = "anyio+asyncio"
    kinds = KINDS


class TestUvloop(ContractSuite):
    backend = "anyio+uvloop"
    kinds = KINDS


class TestTrio(ContractSuite):
    backend = "anyio+trio"
    kinds = KINDS
