"""Protocols behind Twisted's own endpoints, on both sides of a connection."""

from typing import Any

from halfclose.examples import Ask, Upper
from halfclose_twisted import as_factory
from twisted.internet.defer import ensureDeferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.task import react


async def main(reactor: Any) -> None:
    server = serverFromString(reactor, "tcp:0:interface=127.0.0.1")
    port = await server.listen(as_factory(Upper))

    client = clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}")
    connected = await client.connect(as_factory(Ask))
    ask = connected.protocol
    answer = await ask.whole()
    print(answer.decode())

    await port.stopListening()


if __name__ == "__main__":
    react(lambda reactor: ensureDeferred(main(reactor)))
