"""Real sockets, for what a fake transport cannot show."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from core.clock import SystemClock
from gateways.driver import (
    Health,
)
from gateways.port import (
    Flow,
    HttpCall,
    Operation,
    Outcome,
    OutcomeStatus,
)
from gateways.wire import RESPONSE_BYTES_MAX
from tests.gateways.builders import (
    an_operation,
    one_call,
)
from tests.gateways.driving import code_of, drive

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def a_server(handler: Handler) -> AsyncIterator[str]:
    """A real socket, for what a fake transport cannot show."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(16)


def an_operation_at(url: str) -> Operation:
    operation = an_operation()
    account = type(operation.account)(id="1", base_url=url)
    return an_operation(account=account)


async def test_an_answer_that_drips_is_cut_off_at_the_deadline() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"o")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with a_server(drip) as url:
        outcome, _ = await drive(one_call(an_operation_at(url)), seconds=0.3)

    assert (outcome.status, code_of(outcome)) == (OutcomeStatus.UNKNOWN, "timeout")


async def test_a_truncated_answer_leaves_it_unknown() -> None:
    async def truncate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nok")
        await writer.drain()

    async with a_server(truncate) as url:
        outcome, prepared = await drive(one_call(an_operation_at(url)))

    assert (outcome.status, code_of(outcome)) == (OutcomeStatus.UNKNOWN, "connection_lost")
    assert prepared.health is Health.BAD


async def test_a_connection_closed_without_an_answer_leaves_it_unknown() -> None:
    async def drop(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await read_request(reader)

    async with a_server(drop) as url:
        outcome, _ = await drive(one_call(an_operation_at(url)))

    assert outcome.status is OutcomeStatus.UNKNOWN


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2000000\r\n\r\n",
    ],
)
async def test_an_answer_of_any_size_is_not_read(head: bytes) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(head + b"ok" * 1_000_000)
        await writer.drain()

    async with a_server(flood) as url:
        outcome, prepared = await drive(one_call(an_operation_at(url)))

    assert (outcome.status, code_of(outcome)) == (OutcomeStatus.UNKNOWN, "unparseable")
    assert prepared.exchanges[0].response_body == ""
    assert RESPONSE_BYTES_MAX < 2_000_000


async def test_redirects_are_not_followed_and_cookies_not_kept() -> None:
    seen: list[bytes] = []

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(
            b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: session=1\r\n"
            b"Connection: close\r\nContent-Length: 0\r\n\r\n"
        )
        await writer.drain()

    def twice(operation: Operation) -> Flow[Outcome]:
        call = HttpCall("POST", f"{operation.account.base_url}/charge", body=b"x" * 16)
        first = yield call
        second = yield call
        assert (first.status, second.status) == (302, 302)
        return Outcome(OutcomeStatus.DECLINED)

    async with a_server(redirect) as url:
        outcome, _ = await drive(twice(an_operation_at(url)))

    assert outcome.status is OutcomeStatus.DECLINED
    assert [request.split(b" ")[1] for request in seen] == [b"/charge", b"/charge"]
    assert not any(b"cookie" in request.lower() for request in seen)


async def test_the_deadline_is_checked_once_more_when_the_connection_is_there() -> None:
    """The clock jumps while connecting: the bytes that follow would be late."""
    received: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(100))

    class JumpingClock(SystemClock):
        reads = 0

        def monotonic(self) -> float:
            self.reads += 1
            return super().monotonic() + (100.0 if self.reads > JUMP_AFTER else 0.0)

    async with a_server(note) as url:
        outcome, prepared = await drive(one_call(an_operation_at(url)), clock=JumpingClock())

    assert (outcome.status, code_of(outcome)) == (OutcomeStatus.NOT_EXECUTED, "budget_exhausted")
    assert received in ([], [b""])
    assert not prepared.money_began


JUMP_AFTER = 5
"""Readings of the clock up to the start of the connection: deadline, two checks, start, limit."""
