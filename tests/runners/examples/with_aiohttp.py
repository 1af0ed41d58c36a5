"""A backend that lives as long as an application of aiohttp."""

import socket
from collections.abc import AsyncIterator

import halfclose
from aiohttp import web
from halfclose.examples import Ask, Logged, Upper

BACKEND = web.AppKey("BACKEND", halfclose.AbstractBackend)
SERVER = web.AppKey("SERVER", str)


async def backend(app: web.Application) -> AsyncIterator[None]:
    async with halfclose.open_backend() as app[BACKEND]:
        listener = await app[BACKEND].listen("tcp:127.0.0.1:0", Upper)
        app[SERVER] = str(listener.endpoint)
        # Left open, as the listener is: leaving the backend closes both.
        await app[BACKEND].connect(listener.endpoint, Logged)
        yield


async def upper(request: web.Request) -> web.Response:
    question = request.query["question"].encode()
    client = await request.app[BACKEND].connect(request.app[SERVER], lambda: Ask(question))
    return web.Response(body=await client.whole())


app = web.Application()
app.cleanup_ctx.append(backend)
app.router.add_get("/upper", upper)

if __name__ == "__main__":
    web.run_app(app, sock=socket.create_server(("127.0.0.1", 0)))
