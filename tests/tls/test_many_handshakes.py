"""A thousand handshakes that never end: each costs little, and all is given back."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from core.support import python

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and glibc")

SCRIPT = """
    import json, logging, resource, socket, ssl, sys, threading

    sys.path.insert(0, {tests!r})
    import halfclose
    from halfclose import ConnectionOptions, TLSOptions
    from core.support import until
    from tls.blocking import BlockingPeer, dialed
    from tls.measuring import held, open_descriptors
    from tls.support import Told, client_context, server_context

    MANY = 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    lines = []
    class Counting(logging.Handler):
        def emit(self, record):
            assert record.exc_info is None
            lines.append(record.args[0])
    logging.getLogger("halfclose").addHandler(Counting())
    logging.getLogger("halfclose").propagate = False

    hello = ssl.MemoryBIO()
    tls = client_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = hello.read()
    STOPS = {{"nothing": b"", "a part": hello[:200], "a whole flight": hello}}

    def good(endpoint):
        with BlockingPeer(endpoint) as peer:
            peer.end_write()
            assert peer.read_all()

    async def served(backend, endpoint):
        thread = threading.Thread(target=good, args=(endpoint,))
        thread.start()
        await until(backend, lambda: not thread.is_alive())

    async def listening(backend, seconds):
        tls = TLSOptions(server_context(), handshake_timeout=seconds)
        own = ConnectionOptions(tls=tls)
        return await backend.listen("tls:127.0.0.1:0", Told, own)

    async def opened(backend, listener, data):
        before = open_descriptors()
        peers = []
        for number in range(MANY):
            peer = dialed(listener.endpoint)
            peer.sendall(data)
            peers.append(peer)
            if number % 50 == 0:
                await backend.sleep(0)
        return peers

    async def main(backend):
        told = {{}}
        patient = await listening(backend, 600)
        hasty = await listening(backend, 0.2)
        await served(backend, patient.endpoint)
        for name, data in STOPS.items():
            del lines[:]
            before, base = held(), open_descriptors()
            peers = await opened(backend, patient, data)
            await until(backend, lambda: open_descriptors() == base + 2 * MANY)
            await served(backend, patient.endpoint)
            each = (held() - before) // MANY
            for peer in peers:
                peer.close()
            await until(backend, lambda: open_descriptors() == base)
            assert len(lines) == MANY, len(lines)
            told[name] = each, held() - before
        before, base = held(), open_descriptors()
        peers = await opened(backend, hasty, hello)
        # The ends of our side are given back, whatever the peers do.
        await until(backend, lambda: open_descriptors() == base + MANY)
        await served(backend, patient.endpoint)
        for peer in peers:
            peer.close()
        await until(backend, lambda: open_descriptors() == base)
        told["by the timeout"] = 0, held() - before
        print(json.dumps(told))

    halfclose.run(main, backend={variant!r})
"""


@linux
@pytest.mark.parametrize("variant", ["anyio+asyncio", "anyio+trio", "twisted+epoll"])
def test_a_thousand_handshakes_that_never_end(variant: str) -> None:
    tests = str(Path(__file__).parents[1])
    said = python(
        SCRIPT.format(tests=tests, variant=variant), env={"PYTHONMALLOC": "malloc"}, limit=400
    )
    for name, (each, left) in json.loads(said).items():
        assert each < 100 << 10, f"{name}: {each} bytes for each"
        assert left < 1 << 20, f"{name}: {left} bytes are left"
