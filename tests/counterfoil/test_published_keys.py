"""Keys behind a URL: new ones are found, old ones kept, and nobody can make us ask all the time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Final

import httpx
import pytest
import respx

from counterfoil import published_keys
from counterfoil.published_keys import KeysUnavailable, PublishedKeys
from tenants import Bearer, Issuer, verify_token
from tests.gateways.builders import a_client
from tests.tenants.signing import AUDIENCE, ISSUER, Signer, good_claims, key_set

URL: Final = "https://id.example/keys"
NOW: Final = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
OLD, NEW = Signer.new("old"), Signer.new("new")


class SetClock:
    """Stands until it is set forward."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def issuer() -> Iterator[respx.Route]:
    with respx.mock(assert_all_called=False) as router:
        yield router.get(URL).respond(content=key_set(OLD.published()))


@pytest.fixture
async def keys(clock: SetClock) -> AsyncIterator[PublishedKeys]:
    async with a_client() as client:
        yield PublishedKeys(URL, client, clock)


async def holder(keys: PublishedKeys, signer: Signer) -> Bearer | None:
    token = signer.sign(good_claims(NOW.timestamp()))
    return await verify_token(token, Issuer(ISSUER, AUDIENCE), keys.find, NOW)


async def test_a_set_is_fetched_when_it_is_first_needed_and_then_kept(
    keys: PublishedKeys, issuer: respx.Route, clock: SetClock
) -> None:
    assert issuer.call_count == 0

    for seconds in range(0, int(published_keys.FRESH_SECONDS), 10):
        clock.seconds = seconds
        assert await holder(keys, OLD) is not None

    assert issuer.call_count == 1


async def test_while_keys_are_rotated_no_good_token_is_refused(
    keys: PublishedKeys, issuer: respx.Route, clock: SetClock
) -> None:
    """The usual way: both are published, then the new one signs, then the old one is taken away."""
    wrongly_refused = 0
    for second in range(0, 4_000, 20):
        clock.seconds = second
        if second == 1_000:
            issuer.respond(content=key_set(OLD.published(), NEW.published()))
        if second == 3_000:
            issuer.respond(content=key_set(NEW.published()))
        in_use = [OLD] if second < 1_000 else [OLD, NEW] if second < 3_000 else [NEW]
        for signer in in_use:
            wrongly_refused += await holder(keys, signer) is None

    assert wrongly_refused == 0
    assert issuer.call_count < 10
    assert await holder(keys, OLD) is None


async def test_a_key_that_signs_as_soon_as_it_is_published_is_found(
    keys: PublishedKeys, issuer: respx.Route, clock: SetClock
) -> None:
    await holder(keys, OLD)
    issuer.respond(content=key_set(OLD.published(), NEW.published()))
    clock.seconds += published_keys.PAUSE_SECONDS

    assert await holder(keys, NEW) is not None


async def test_made_up_key_ids_do_not_make_us_fetch(
    keys: PublishedKeys, issuer: respx.Route, clock: SetClock
) -> None:
    for number in range(1_000):
        clock.seconds = number / 100
        assert await keys.find(f"made-up-{number}") is None

    assert issuer.call_count == 1
    assert await holder(keys, OLD) is not None


async def test_many_at_once_wait_for_one_fetch(keys: PublishedKeys, issuer: respx.Route) -> None:
    asked: list[httpx.Request] = []

    async def not_at_once(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        await asyncio.sleep(0)
        return httpx.Response(200, content=key_set(OLD.published()))

    issuer.mock(side_effect=not_at_once)
    tokens = await asyncio.gather(*(holder(keys, OLD) for _ in range(100)))

    assert None not in tokens
    assert len(asked) == 1


async def test_whoever_has_a_known_key_does_not_wait_for_a_fetch(
    keys: PublishedKeys, issuer: respx.Route, clock: SetClock
) -> None:
    await holder(keys, OLD)
    asked, answered = asyncio.Event(), asyncio.Event()

    async def slowly(_request: httpx.Request) -> httpx.Response:
        asked.set()
        await answered.wait()
        return httpx.Response(200, content=key_set(OLD.published(), NEW.published()))

    issuer.mock(side_effect=slowly)
    clock.seconds += published_keys.FRESH_SECONDS
    waiting = asyncio.create_task(holder(keys, NEW))
    await asked.wait()

    assert await holder(keys, OLD) is not None
    assert not waiting.done()
    answered.set()
    assert await waiting is not None


BAD_ANSWERS: Final = {
    "no route": httpx.ConnectError("refused"),
    "cut off": httpx.RemoteProtocolError("cut off"),
    "error": httpx.Response(500, content=key_set(NEW.published())),
    "redirect": httpx.Response(302, headers={"Location": "https://evil.example/keys"}),
    "html": httpx.Response(200, content=b"<html>"),
    "too large": httpx.Response(200, content=b" " * 300_000 + key_set(NEW.published())),
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_what_we_have_is_kept_when_a_fetch_fails_but_not_for_ever(
    keys: PublishedKeys,
    issuer: respx.Route,
    clock: SetClock,
    answer: httpx.Response | httpx.HTTPError,
) -> None:
    await holder(keys, OLD)
    issuer.mock(side_effect=[answer] * 3)

    clock.seconds = published_keys.FRESH_SECONDS
    assert await holder(keys, OLD) is not None
    assert await holder(keys, NEW) is None
    assert issuer.call_count == 2

    clock.seconds = published_keys.KEPT_SECONDS + 1
    with pytest.raises(KeysUnavailable):
        await holder(keys, OLD)


async def test_an_issuer_that_does_not_answer_is_given_up(
    issuer: respx.Route, clock: SetClock
) -> None:
    asked: list[httpx.Request] = []

    async def never(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        await asyncio.Event().wait()
        raise AssertionError

    issuer.mock(side_effect=never)
    async with a_client() as client:
        impatient = PublishedKeys(URL, client, clock, fetch_seconds=0.05)
        for _ in range(3):
            with pytest.raises(KeysUnavailable):
                await holder(impatient, OLD)

    assert len(asked) == 1


async def test_a_request_that_is_cut_off_while_it_fetches_costs_nobody_the_keys(
    keys: PublishedKeys, issuer: respx.Route
) -> None:
    good = httpx.Response(200, content=key_set(OLD.published()))
    began = asyncio.Event()

    async def hang_once(_request: httpx.Request) -> httpx.Response:
        if not began.is_set():
            began.set()
            await asyncio.Event().wait()
        return good

    issuer.mock(side_effect=hang_once)
    first = asyncio.create_task(holder(keys, OLD))
    await began.wait()
    second = asyncio.create_task(holder(keys, OLD))
    first.cancel()

    assert await second is not None


async def test_keys_that_are_no_longer_published_are_no_longer_believed(
    keys: PublishedKeys, issuer: respx.Route, clock: SetClock
) -> None:
    await holder(keys, OLD)
    issuer.respond(content=key_set())
    clock.seconds = published_keys.FRESH_SECONDS

    assert await holder(keys, OLD) is None
