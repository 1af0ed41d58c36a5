"""A backend that lives as long as an application of Starlette: its lifespan."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import halfclose
from halfclose.examples import Ask, Logged, Upper
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient


class State(TypedDict):
    backend: halfclose.AbstractBackend
    server: halfclose.Endpoint


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    async with halfclose.open_backend() as backend:
        listener = await backend.listen("tcp:127.0.0.1:0", Upper)
        # Left open, as the listener is: leaving the backend closes both.
        await backend.connect(listener.endpoint, Logged)
        yield {"backend": backend, "server": listener.endpoint}


async def upper(request: Request) -> Response:
    question = request.query_params["question"].encode()
    state = request.state
    client = await state.backend.connect(state.server, lambda: Ask(question))
    return Response(await client.whole())


app = Starlette(routes=[Route("/upper", upper)], lifespan=lifespan)


def test_upper() -> None:
    with TestClient(app) as client:
        answer = client.get("/upper", params={"question": "hello, world"})
        assert answer.content == b"HELLO, WORLD"
