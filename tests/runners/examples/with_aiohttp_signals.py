"""A backend that lives as long as an application of aiohttp, by its signals."""

import socket

import halfclose
from aiohttp import web
from halfclose.examples import Ask, Logged, Upper

BACKEND = web.AppKey("BACKEND", halfclose.Backend)
SERVER = web.AppKey("SERVER", str)


async def start(app: web.Application) -> None:
    app[BACKEND] = await halfclose.open_backend().__aenter__()
    listener = await app[BACKEND].listen("tcp:127.0.0.1:0", Upper)
    app[SERVER] = str(listener.endpoint)
    # Left open, as the listener is: leaving the backend closes both.
    await app[BACKEND].connect(listener.endpoint, Logged)


async def stop(app: web.Application) -> None:
    await app[BACKEND].__aexit__(None, None, None)


async def upper(request: web.Request) -> web.Response:
    question = request.query["question"].encode()
    client = await request.app[BACKEND].connect(request.app[SERVER], lambda: Ask(question))
    return web.Response(body=await client.whole())


app = web.Application()
app.on_startup.append(start)
app.on_cleanup.append(stop)
app.router.add_get("/upper", upper)

if __name__ == "__main__":
    web.run_app(app, sock=socket.create_server(("127.0.0.1", 0)))
