"""Factories that cannot be called: connect and listen refuse them at once."""

from __future__ import annotations

from typing import Any

import pytest
from core.support import VARIANTS, Recorder, run
from halfclose import Backend

pytestmark = pytest.mark.parametrize("variant", [*VARIANTS, "memory"])


class NotCallable:
    """As a factory object of another library is."""

    def buildProtocol(self, address: object) -> Recorder:
        return Recorder()


@pytest.mark.parametrize(
    "factory", [None, "x", Recorder(), NotCallable()], ids=lambda given: type(given).__name__
)
def test_a_factory_that_cannot_be_called(variant: str, factory: Any) -> None:
    accepted: list[Recorder] = []

    def accept() -> Recorder:
        accepted.append(Recorder())
        return accepted[-1]

    async def main(backend: Backend) -> None:
        where = "memory:x" if variant == "memory" else "tcp:127.0.0.1:0"
        says = r"is not callable: pass the protocol's class, or a function that makes a protocol"
        with pytest.raises(TypeError, match=says):
            await backend.listen(where, factory)
        async with await backend.listen(where, accept) as listener:
            with pytest.raises(TypeError, match=says):
                await backend.connect(listener.endpoint, factory)
            # The first one that comes is this: the refused one did not connect.
            client = await backend.connect(listener.endpoint, Recorder)
            client.transport.loseConnection()
            await client.transport.whenClosed()
        assert len(accepted) == 1

    run(main, variant=variant)
