"""Subscriptions of the endpoint without a server: deadlines, failures, endings."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from core.errors import Unavailable
from schema.endpoint import HttpRequest, Limits
from tests.endpoint.sample import KEY, Client, SampleCaller


@dataclass
class Wire:
    """Both ends of a WebSocket in this process."""

    to_server: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    to_client: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)

    def say(self, **message: Any) -> None:
        self.to_server.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

    def init(self, key: str = KEY) -> None:
        self.say(type="connection_init", payload={"Authorization": f"Bearer {key}"})

    def subscribe(self, query: str, id: str = "1", **variables: Any) -> None:
        payload = {"query": query, "variables": variables}
        self.say(type="subscribe", id=id, payload=payload)

    async def hear(self) -> dict[str, Any]:
        """The next message; a close is `{"closed": code}`."""
        async with asyncio.timeout(10):
            sent = await self.to_client.get()
        if sent["type"] == "websocket.close":
            self.to_server.put_nowait({"type": "websocket.disconnect", "code": sent["code"]})
            return {"closed": sent["code"]}
        heard: dict[str, Any] = json.loads(sent["text"])
        return heard


@asynccontextmanager
async def connected(client: Client) -> AsyncIterator[Wire]:
    wire = Wire()
    wire.to_server.put_nowait({"type": "websocket.connect"})
    connection = {
        "type": "websocket",
        "path": "/graphql",
        "headers": [],
        "subprotocols": ["graphql-transport-ws"],
    }

    async def send(message: Any) -> None:
        await wire.to_client.put(message)

    serving = asyncio.create_task(client.endpoint(connection, wire.to_server.get, send))
    accepted = await wire.to_client.get()
    assert accepted == {"type": "websocket.accept", "subprotocol": "graphql-transport-ws"}
    yield wire
    wire.to_server.put_nowait({"type": "websocket.disconnect", "code": 1000})
    async with asyncio.timeout(10):
        await serving


@asynccontextmanager
async def initialised(client: Client) -> AsyncIterator[Wire]:
    async with connected(client) as wire:
        wire.init()
        assert await wire.hear() == {"type": "connection_ack"}
        yield wire


async def test_who_says_nothing_is_shown_out() -> None:
    async with connected(Client(limits=Limits(init_seconds=0.05))) as wire:
        assert await wire.hear() == {"closed": 4408}


async def test_more_sockets_than_allowed_are_told_to_come_back() -> None:
    client = Client(limits=Limits(sockets=1))
    async with initialised(client), connected(client) as second:
        assert await second.hear() == {"closed": 1013}
    async with initialised(client):
        pass


async def test_while_nobody_can_be_identified_clients_are_told_to_come_back() -> None:
    class Away(Client):
        async def authenticate(self, request: HttpRequest) -> SampleCaller:
            raise Unavailable

    async with connected(Away()) as wire:
        wire.init()
        assert await wire.hear() == {"closed": 1013}


async def test_what_is_taken_back_before_it_began_leaves_nothing() -> None:
    async with initialised(Client()) as wire:
        tracemalloc.start()
        for number in range(20):
            wire.subscribe("subscription { count(to: 1) }", str(number), big="x" * 100_000)
            wire.say(type="complete", id=str(number))
        for _ in range(2):  # the second is heard once what was begun before the first has ended
            wire.say(type="ping")
            while (await wire.hear())["type"] != "pong":
                pass
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert kept < 1_000_000


async def test_events_come_in_order_and_then_the_end() -> None:
    async with initialised(Client()) as wire:
        wire.subscribe("subscription($n: Int!) { count(to: $n) }", n=3)

        heard = [await wire.hear() for _ in range(4)]

    assert [message["payload"]["data"]["count"] for message in heard[:3]] == [1, 2, 3]
    assert heard[3] == {"id": "1", "type": "complete"}


@pytest.mark.parametrize(
    ("how", "code"), [("rejected", "NO_SUCH_BOOK"), ("broken", "INTERNAL"), ("other", "INTERNAL")]
)
async def test_a_source_that_fails_ends_its_subscription_only(how: str, code: str) -> None:
    async with initialised(Client()) as wire:
        wire.subscribe(f'subscription {{ fail(how: "{how}") }}')
        assert (await wire.hear())["type"] == "next"
        failed = await wire.hear()
        wire.subscribe("subscription { count(to: 1) }", id="1")

        assert (await wire.hear())["payload"]["data"] == {"count": 1}

    assert failed["type"] == "error"
    assert failed["payload"][0]["extensions"]["code"] == code
    assert "4711" not in str(failed)


async def test_a_client_that_leaves_ends_its_subscriptions() -> None:
    client = Client()
    async with initialised(client) as wire:
        wire.subscribe("subscription { wait }")
        assert (await wire.hear())["payload"]["data"] == {"wait": "begun"}

    assert client.log == ["left"]
