"""A handler of aiohttp that asks a TCP server, which answers once it has read all of a question.

The environment variable UPSTREAM names the server, such as tcp:127.0.0.1:8000.
"""

import os
import socket
from collections.abc import AsyncIterator

import halfclose
from aiohttp import web
from halfclose.examples import Ask

BACKEND = web.AppKey("BACKEND", halfclose.Backend)
OPTIONS = halfclose.ConnectionOptions(half_close_timeout=10)


async def backend(app: web.Application) -> AsyncIterator[None]:
    async with halfclose.open_backend() as app[BACKEND]:
        yield


async def ask(request: web.Request) -> web.Response:
    question = await request.read()
    try:
        return web.Response(body=await exchange(request.app[BACKEND], question))
    except halfclose.HalfCloseTimeout as error:
        raise web.HTTPGatewayTimeout(text="the server did not answer in time") from error
    except (halfclose.ConnectError, halfclose.ConnectionLost) as error:
        raise web.HTTPBadGateway(text=str(error)) from error


async def exchange(backend: halfclose.Backend, question: bytes) -> bytes:
    server = os.environ["UPSTREAM"]
    client = await backend.connect(server, lambda: Ask(question), timeout=5, options=OPTIONS)
    try:
        reason = await client.transport.whenClosed()
    finally:
        client.transport.abortConnection()  # where the request is cancelled meanwhile
    if not isinstance(reason, halfclose.ConnectionDone):
        raise reason  # what has come may be a part of the answer only
    return bytes(client.answer)


app = web.Application()
app.cleanup_ctx.append(backend)
app.router.add_post("/ask", ask)

if __name__ == "__main__":
    web.run_app(app, sock=socket.create_server(("127.0.0.1", 0)))
