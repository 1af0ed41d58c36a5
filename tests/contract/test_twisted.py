"""The contract on the five reactors: the poller, stdio, and Twisted's own transports."""

from halfclose.testing import ContractSuite


class TestSelect(ContractSuite):
    backend = "twisted+select"


class TestPoll(ContractSuite):
    backend = "twisted+poll"


class TestEpoll(ContractSuite):
    backend = "twisted+epoll"


class TestAsyncio(ContractSuite):
    backend = "twisted+asyncio"


class TestUvloop(ContractSuite):
    backend = "twisted+uvloop"
