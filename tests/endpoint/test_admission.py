"""Load is shed before work starts, quickly, and nothing that was begun is cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from schema.endpoint import Admission, HttpRequest, Limits, Overloaded
from tests.endpoint.sample import Client, SampleCaller, codes
from tests.endpoint.test_sockets import initialised

SLOW = "mutation { slowAdd(seconds: 0.2) }"
HANGING = '{ fail(how: "slow") }'


class Counting(Client):
    """Says how often somebody was to be identified."""

    identified = 0

    async def authenticate(self, request: HttpRequest) -> SampleCaller:
        self.identified += 1
        return await super().authenticate(request)


@asynccontextmanager
async def full(client: Client) -> AsyncIterator[None]:
    """Every place is taken by a query that hangs."""
    admission = client.admission
    assert admission is not None
    hanging = [asyncio.create_task(client.query(HANGING)) for _ in range(admission.places)]
    while admission.running < admission.places:  # noqa: ASYNC110 - nothing there to wait on
        await asyncio.sleep(0.001)
    try:
        yield
    finally:
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


def a_client(*, places: int = 2, waiting: int = 0, seconds: float = 0.05) -> Counting:
    admission = Admission(places=places, waiting_max=waiting, waiting_seconds=seconds)
    return Counting(admission=admission)


def assert_overloaded(response: httpx.Response) -> None:
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert codes(response) == ["OVERLOADED"]
    assert response.json()["errors"][0]["extensions"]["retryable"] is True
    assert "data" not in response.json()


@pytest.mark.parametrize("waiting", [0, 5])
async def test_beyond_its_places_a_process_refuses_before_anything_is_asked(waiting: int) -> None:
    client = a_client(waiting=waiting)
    async with full(client):
        before = client.identified
        response = await client.query('mutation { add(input: {title: "x", price: 1}) { id } }')

        assert client.identified == before

    assert_overloaded(response)
    assert client.log == []


async def test_a_full_queue_refuses_before_the_body_is_read() -> None:
    client = a_client()
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield b"{}"

    async with full(client):
        response = await client.request(
            "POST", {"content-type": "application/json"}, content=body()
        )

    assert_overloaded(response)
    assert read == 0


async def test_whoever_waits_gets_the_next_place() -> None:
    client = a_client(places=1, waiting=3, seconds=5)

    answers = await asyncio.gather(
        *(client.query("mutation { slowAdd(seconds: 0.01) }") for _ in range(4))
    )

    assert [answer.status_code for answer in answers] == [200] * 4
    assert client.log == ["slow_add"] * 4


async def test_a_place_is_given_back_however_a_request_ends() -> None:
    client = a_client(places=1)

    for query in ("{ hello }", "{ nope }", "{", HANGING, '{ fail(how: "x") }', "{ failHard }"):
        task = asyncio.create_task(client.query(query))
        await asyncio.wait([task], timeout=0.2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    stranger = await client.request("POST", {"authorization": "x"}, json={"query": "{ hello }"})

    assert stranger.status_code == 401
    assert client.admission is not None
    assert (client.admission.running, client.admission.waiting) == (0, 0)
    assert (await client.query("{ hello }")).status_code == 200


async def test_a_mutation_keeps_its_place_after_its_request_has_gone() -> None:
    client = a_client(places=1)
    task = asyncio.create_task(client.query(SLOW))
    while not client.endpoint._mutations:  # noqa: ASYNC110 - nothing there to wait on
        await asyncio.sleep(0.001)

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert_overloaded(await client.query("{ hello }"))
    await client.endpoint.drain()
    assert client.log == ["slow_add"]
    assert (await client.query("{ hello }")).status_code == 200


async def test_a_mutation_that_is_answered_late_keeps_its_place() -> None:
    client = Client(
        admission=Admission(places=1, waiting_max=0), limits=Limits(mutation_seconds=0.01)
    )

    late = await client.query(SLOW)

    assert codes(late) == ["DEADLINE_EXCEEDED"]
    assert_overloaded(await client.query("{ hello }"))
    await client.endpoint.drain()
    assert (await client.query("{ hello }")).status_code == 200


async def test_a_slow_sender_takes_no_place() -> None:
    client = a_client(places=1)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def receive() -> dict[str, object]:
        begun.set()
        await go_on.wait()
        return {"type": "http.disconnect"}

    async def send(_message: object) -> None:
        pytest.fail("nobody is there to be answered")

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    dripping = asyncio.create_task(client.endpoint(scope, receive, send))
    await begun.wait()

    assert (await client.query("{ hello }")).status_code == 200
    go_on.set()
    await dripping


async def test_when_the_queue_stands_newcomers_wait_a_tenth() -> None:
    admission = Admission(places=1, waiting_max=100, waiting_seconds=0.4)
    loop = asyncio.get_running_loop()
    waited: list[float] = []

    async def enter() -> None:
        began = loop.time()
        with pytest.raises(Overloaded):
            async with admission.place():
                pytest.fail("there was a place")
        waited.append(loop.time() - began)

    async with admission.place():
        first = [asyncio.create_task(enter())]
        while loop.time() < admission._queue_was_empty + 0.4:
            await asyncio.sleep(0.05)
            first.append(asyncio.create_task(enter()))
        last = asyncio.create_task(enter())
        await asyncio.gather(*first, last)

    assert max(waited) >= 0.39
    assert min(waited) < 0.2
    assert admission.waiting == 0


async def test_a_subscription_is_refused_like_a_request() -> None:
    client = a_client()
    async with full(client), initialised(client) as wire:
        wire.subscribe("subscription { count(to: 1) }")
        refused = await wire.hear()

    assert refused["payload"][0]["extensions"]["code"] == "OVERLOADED"
