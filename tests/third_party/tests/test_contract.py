"""The whole contract, on this package's loop."""

import halfclose.testing


class TestContract(halfclose.testing.ContractSuite):
    backend = "example"
