"""A handler of aiohttp that asks a TCP server, which answers once it has read all of a question.

The environment variable UPSTREAM names the server, such as tcp:127.0.0.1:8000.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import halfclose
from aiohttp import web
from halfclose.examples import Ask

BACKEND = web.AppKey("BACKEND", halfclose.AbstractBackend)
LIMIT = 10.0
"""Seconds that the server may take for all of it."""


async def backend(app: web.Application) -> AsyncIterator[None]:
    async with halfclose.open_backend() as app[BACKEND]:
        yield


async def ask(request: web.Request) -> web.Response:
    question = await request.read()
    try:
        async with asyncio.timeout(LIMIT):
            return web.Response(body=await exchange(request.app[BACKEND], question))
    except TimeoutError as error:
        raise web.HTTPGatewayTimeout(text="the server did not answer in time") from error
    except (halfclose.ConnectError, ConnectionError) as error:
        raise web.HTTPBadGateway(text=str(error)) from error


async def exchange(backend: halfclose.AbstractBackend, question: bytes) -> bytes:
    client = await backend.connect(os.environ["UPSTREAM"], lambda: Ask(question))
    try:
        return await client.whole()
    finally:
        client.transport.abortConnection()  # where it was too late, or the request was cancelled


app = web.Application()
app.cleanup_ctx.append(backend)
app.router.add_post("/ask", ask)

if __name__ == "__main__":
    web.run_app(app, sock=socket.create_server(("127.0.0.1", 0)))
