"""The contract on the five reactors: the lane, stdio, and Twisted's own transports."""

from halfclose.testing import ContractSuite, NativeTCP, NativeUnix
from halfclose_twisted.testing import TwistedTCP, TwistedUnix

KINDS = (*ContractSuite.kinds, TwistedTCP(), TwistedUnix(), NativeTCP(), NativeUnix())


class TestSelect(ContractSuite):
    backend = "twisted+select"
    kinds = KINDS


class TestPoll(ContractSuite):
    backend = "twisted+poll"
    kinds = KINDS


class TestEpoll(ContractSuite):
    backend = "twisted+epoll"
    kinds = KINDS


class TestAsyncio(ContractSuite):
    backend = "twisted+asyncio"
    kinds = KINDS


class TestUvloop(ContractSuite):
    backend = "twisted+uvloop"
    kinds = KINDS
