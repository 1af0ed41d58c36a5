"""What a connection with TLS holds while it is idle and after a burst (TLS-21)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from core.support import python

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and glibc")

SCRIPT = """
    import json, resource, subprocess, sys, threading

    sys.path.insert(0, {tests!r})
    import halfclose
    from halfclose import ConnectionOptions, HalfCloseableProtocol, TLSOptions
    from core.support import until
    from tls.measuring import held
    from tls.support import server_context

    MANY, FEW, BURST = 100, 5, 64 << 20
    live = []

    class Counting(HalfCloseableProtocol):
        def connectionMade(self):
            self.count = 0
            live.append(self)
        def dataReceived(self, data):
            self.count += len(data)
        def readConnectionLost(self):
            self.transport.loseConnection()
        def writeConnectionLost(self):
            pass
        def connectionLost(self, reason):
            live.remove(self)

    async def main(backend):
        own = ConnectionOptions(tls=TLSOptions(server_context()))
        listener = await backend.listen("tls:127.0.0.1:0", Counting, own)
        command = [sys.executable, "-c", {clients!r}, str(listener.endpoint.port), {version!r}]
        clients = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        answers = []
        def note():
            for line in clients.stdout:
                answers.append(line)
        threading.Thread(target=note, daemon=True).start()

        async def do(*words):
            before = len(answers)
            print(*words, file=clients.stdin, flush=True)
            await until(backend, lambda: len(answers) > before, 300)

        async def opened():
            await do("open", MANY)
            await until(backend, lambda: len(live) == MANY)
            # The tickets were handed over, and the loop has nothing to do.
            await do("ping", FEW)
            await until(backend, lambda: sum(each.count for each in live) == FEW)

        async def closed():
            await do("close")
            await until(backend, lambda: not live and not len(backend.lingering))

        await opened()
        await closed()
        told = {{}}
        at_first = before = held()
        await opened()
        told["idle"] = (held() - before) // MANY
        before = held()
        await do("send", FEW, BURST)
        await until(backend, lambda: sum(each.count for each in live) == FEW * (BURST + 1), 300)
        told["received"] = (held() - before) // FEW
        before = held()
        for each in [each for each in live if each.count]:
            each.transport.write(bytes(BURST))
        await do("receive", FEW, BURST)
        told["sent"] = (held() - before) // FEW
        await closed()
        told["left"] = held() - at_first
        clients.stdin.close()
        clients.stdout.close()
        clients.wait()
        listener.close()
        print(json.dumps(told))

    halfclose.run(main, backend={variant!r})
"""

CLIENTS = """
import socket, ssl, sys

port, version = int(sys.argv[1]), getattr(ssl.TLSVersion, sys.argv[2])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.minimum_version = context.maximum_version = version
clients = []
for line in sys.stdin:
    verb, *sizes = line.split()
    sizes = [int(size) for size in sizes]
    if verb == "open":
        for _ in range(sizes[0]):
            sock = socket.create_connection(("127.0.0.1", port))
            clients.append(context.wrap_socket(sock))
    elif verb == "close":
        while clients:
            clients.pop().close()
    for client in clients[:sizes[0]] if sizes else ():
        if verb == "ping":
            client.sendall(b"x")
        elif verb == "send":
            for _ in range(sizes[1] >> 16):
                client.sendall(bytes(1 << 16))
        elif verb == "receive":
            count = 0
            while count < sizes[1]:
                count += len(client.recv(1 << 16))
    print("done", flush=True)
"""


@linux
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("variant", ["anyio+asyncio", "anyio+trio", "twisted+epoll"])
def test_what_connections_hold(variant: str, version: str) -> None:
    tests = str(Path(__file__).parents[1])
    script = SCRIPT.format(tests=tests, clients=CLIENTS, version=version, variant=variant)
    told = json.loads(python(script, env={"PYTHONMALLOC": "malloc"}, limit=400))
    assert told["idle"] < 20 << 10, told
    assert told["idle"] + told["received"] + told["sent"] < 100 << 10, told
    assert told["left"] < 1 << 20, told
