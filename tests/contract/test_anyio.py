"""The contract on the three event loops: the poller, stdio, and anyio's own streams."""

from halfclose.testing import ContractSuite


class TestAsyncio(ContractSuite):
    backend = "anyio+asyncio"


class TestUvloop(ContractSuite):
    backend = "anyio+uvloop"


class TestTrio(ContractSuite):
    backend = "anyio+trio"
