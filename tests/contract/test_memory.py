"""The contract in memory: the reference that the others are compared with."""

from halfclose.testing import ContractSuite


class TestMemory(ContractSuite):
    backend = "memory"
