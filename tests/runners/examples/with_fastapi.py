"""A backend that lives as long as an application of FastAPI: its lifespan."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import halfclose
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient
from halfclose.examples import Ask, Logged, Upper


class State(TypedDict):
    backend: halfclose.AbstractBackend
    server: halfclose.Endpoint


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    async with halfclose.open_backend() as backend:
        listener = await backend.listen("tcp:127.0.0.1:0", Upper)
        # Left open, as the listener is: leaving the backend closes both.
        await backend.connect(listener.endpoint, Logged)
        yield {"backend": backend, "server": listener.endpoint}


app = FastAPI(lifespan=lifespan)


@app.get("/upper")
async def upper(request: Request, question: str) -> Response:
    state = request.state
    client = await state.backend.connect(state.server, lambda: Ask(question.encode()))
    return Response(await client.whole())


def test_upper() -> None:
    with TestClient(app) as client:
        answer = client.get("/upper", params={"question": "hello, world"})
        assert answer.content == b"HELLO, WORLD"
