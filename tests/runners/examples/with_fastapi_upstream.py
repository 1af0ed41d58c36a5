"""An endpoint of FastAPI that asks a TCP server, which answers once it has read all of a question.

The environment variable UPSTREAM names the server, such as tcp:127.0.0.1:8000.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import halfclose
from fastapi import FastAPI, HTTPException, Request, Response
from halfclose.examples import Ask

LIMIT = 10.0
"""Seconds that the server may take for all of it."""


class State(TypedDict):
    backend: halfclose.AbstractBackend


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    async with halfclose.open_backend() as backend:
        yield {"backend": backend}


app = FastAPI(lifespan=lifespan)


@app.post("/ask")
async def ask(request: Request) -> Response:
    question = await request.body()
    try:
        async with asyncio.timeout(LIMIT):
            return Response(await exchange(request.state.backend, question))
    except TimeoutError as error:
        raise HTTPException(504, "the server did not answer in time") from error
    except (halfclose.ConnectError, ConnectionError) as error:
        raise HTTPException(502, str(error)) from error


async def exchange(backend: halfclose.AbstractBackend, question: bytes) -> bytes:
    client = await backend.connect(os.environ["UPSTREAM"], lambda: Ask(question))
    try:
        return await client.whole()
    finally:
        client.transport.abortConnection()  # where it was too late, or the request was cancelled
