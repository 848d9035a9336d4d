"""A client that dribbles does not hold a connection; one that takes part in it does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from counterfoil.addresses import bound
from counterfoil.slow_clients import ImpatientProtocol, ImpatientSocket


class QuicklyImpatient(ImpatientProtocol):
    header_seconds = 0.3
    body_seconds = 0.6


async def echo(request: Request) -> PlainTextResponse:
    body = await request.body()
    await asyncio.sleep(float(request.query_params.get("think", "0")))
    return PlainTextResponse(body)


@asynccontextmanager
async def a_connection() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    app = Starlette(routes=[Route("/", echo, methods=["POST"])])
    config = uvicorn.Config(app, http=QuicklyImpatient, ws="none", log_config=None)
    async with a_served(config) as streams:
        yield streams


@asynccontextmanager
async def a_served(
    config: uvicorn.Config,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    server = uvicorn.Server(config)
    with bound("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        try:
            yield reader, writer
        finally:
            writer.close()
            server.should_exit = True
            await serving


async def is_cut(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(), timeout=5) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
    ],
    ids=["nothing", "half the headers", "half the body"],
)
async def test_a_request_that_does_not_come_is_cut(sent: bytes) -> None:
    async with a_connection() as (reader, writer):
        writer.write(sent)
        await writer.drain()

        assert await is_cut(reader)


async def test_the_answer_may_take_longer_than_the_question() -> None:
    async with a_connection() as (reader, writer):
        for _ in range(2):
            writer.write(b"POST /?think=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
            head = await reader.readuntil(b"\r\n\r\n")

            assert head.startswith(b"HTTP/1.1 200 ")
            assert await reader.readexactly(3) == b"abc"


class QuicklyImpatientSocket(ImpatientSocket):
    taking_seconds = 0.5


async def test_a_socket_that_does_not_read_is_cut_and_its_sender_told() -> None:
    sending_ended = asyncio.Event()

    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_text("x" * 100_000)
        except WebSocketDisconnect:
            sending_ended.set()

    app = Starlette(routes=[WebSocketRoute("/", talk)])
    config = uvicorn.Config(app, ws=QuicklyImpatientSocket, log_config=None)
    async with a_served(config) as (_reader, writer):
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )

        async with asyncio.timeout(20):
            await sending_ended.wait()
