"""Tests of a user's: a network in memory, and the contract for a backend."""

from __future__ import annotations

import asyncio

from halfclose.testing import ContractSuite, network
from protocols import Upper


async def exchange(data: bytes) -> bytes:
    async with network(seed=7, chunks=[1, 2], latency=0.5) as net:
        await net.backend.listen("memory:upper", Upper)
        with await net.raw("upper") as peer:
            await peer.send_all(data)
            peer.shutdown()
            return await peer.receive_all()


def test_upper() -> None:
    assert asyncio.run(exchange(b"hello")) == b"HELLO"


class TestContract(ContractSuite):
    backend = "memory"
