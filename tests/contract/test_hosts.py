"""The contract in loops that somebody else has started, where nothing of `halfclose.run` is."""

from halfclose.testing import ContractSuite


class TestAsyncioRun(ContractSuite):
    backend = "anyio+asyncio"
    host = "asyncio.run"


class TestUvloopRun(ContractSuite):
    backend = "anyio+uvloop"
    host = "uvloop.run"


class TestTrioRun(ContractSuite):
    backend = "anyio+trio"
    host = "trio.run"


class TestSelectReactorRun(ContractSuite):
    backend = "twisted+select"
    host = "reactor.run"


class TestPollReactorRun(ContractSuite):
    backend = "twisted+poll"
    host = "reactor.run"


class TestEpollReactorRun(ContractSuite):
    backend = "twisted+epoll"
    host = "reactor.run"


class TestAsyncioReactorRun(ContractSuite):
    backend = "twisted+asyncio"
    host = "reactor.run"


class TestUvloopReactorRun(ContractSuite):
    backend = "twisted+uvloop"
    host = "reactor.run"
