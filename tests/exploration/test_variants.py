"""The exploration on every variant; `--hypothesis-profile=long` for hours of it."""

from __future__ import annotations

from halfclose.testing.exploration import ExplorationSuite


class TestAnyioAsyncio(ExplorationSuite):
    backend = "anyio+asyncio"


class TestAnyioUvloop(ExplorationSuite):
    backend = "anyio+uvloop"


class TestAnyioTrio(ExplorationSuite):
    backend = "anyio+trio"


class TestTwistedSelect(ExplorationSuite):
    backend = "twisted+select"


class TestTwistedPoll(ExplorationSuite):
    backend = "twisted+poll"


class TestTwistedEpoll(ExplorationSuite):
    backend = "twisted+epoll"


class TestTwistedAsyncio(ExplorationSuite):
    backend = "twisted+asyncio"


class TestTwistedUvloop(ExplorationSuite):
    backend = "twisted+uvloop"


class TestMemory(ExplorationSuite):
    backend = "memory"
