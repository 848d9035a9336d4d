"""The door: what is proven is kept once, what is not leaves nothing but a number."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from core.identifiers import encode, new_id
from gateways.store import load, save
from simulator.deliveries import sign
from tests.payments.world import VAULT
from tests.webhooks.desk import Desk, a_sale, an_event


async def rotate(desk: Desk, *secrets: str) -> None:
    tenant_id = desk.world.tenant_id
    async with desk.world.database.unit_of_work(tenant_id) as tx:
        account = await load(tx, VAULT, tenant_id, desk.world.accounts[0])
        await save(tx, VAULT, tenant_id, replace(account, secrets={"webhook_secret": secrets}))


async def test_a_proven_callback_is_kept_as_it_came(desk: Desk) -> None:
    event = an_event(data={"note": "Café ☕"})
    body = json.dumps(event, ensure_ascii=False, indent=1).encode()

    answer = await desk.deliver(body)

    row = await desk.only()
    assert (answer.status, answer.body) == (200, b'{"received":true}')
    assert bytes(row["payload"]) == body
    assert (row["status"], row["provider_event_id"], row["kind"]) == (
        "RECEIVED",
        event["id"],
        "payment.pinged",
    )
    assert row["correlation_id"] == "callback-1"
    assert desk.receiver.arrived.is_set()


@pytest.mark.parametrize(("secret", "status"), [("new", 200), ("old", 200), ("older", 401)])
async def test_every_active_secret_proves_and_no_other(
    desk: Desk, secret: str, status: int
) -> None:
    await rotate(desk, "new", "old")

    answer = await desk.deliver(an_event(), secret=secret)

    assert answer.status == status
    assert len(await desk.inbox()) == (status == 200)


async def test_an_empty_secret_proves_nothing(desk: Desk) -> None:
    await rotate(desk, "")

    answer = await desk.deliver(an_event(), secret="")

    assert answer.status == 401
    assert await desk.inbox() == []


async def test_the_secret_of_another_account_proves_nothing(desk: Desk) -> None:
    other = desk.world.merchants[1].webhook_secret

    answer = await desk.deliver(an_event(), account=0, secret=other)

    assert answer.status == 401
    assert await desk.inbox() == []


@pytest.mark.parametrize("headers", [{}, {"simulator-signature": "t=1,v1=00"}])
async def test_a_forgery_leaves_a_number_and_no_row(desk: Desk, headers: dict[str, str]) -> None:
    answer = await desk.post(desk.account_id(), headers, b"{}")

    assert (answer.status, desk.counted("forged")) == (401, 1)
    assert await desk.inbox() == []
    assert not desk.receiver.arrived.is_set()


@pytest.mark.parametrize(
    "altered",
    [
        lambda body: body.replace(b"1000", b"9000"),
        lambda body: body + b" ",
        lambda body: b"\n" + body,
        lambda body: body[:-1],
        lambda body: body.upper(),
        lambda _body: b"",
    ],
    ids=["amount", "space behind", "line before", "cut", "capitals", "nothing"],
)
async def test_an_altered_body_is_a_forgery(desk: Desk, altered: Callable[[bytes], bytes]) -> None:
    body = json.dumps(a_sale("sp_1")).encode()
    secret, now = desk.world.merchants[0].webhook_secret, desk.world.clock.now()
    headers = {"simulator-signature": sign(secret, body, int(now.timestamp()))}

    answer = await desk.post(desk.account_id(), headers, altered(body))

    assert answer.status == 401
    assert await desk.inbox() == []


@pytest.mark.parametrize("seconds", [-301, 301])
async def test_another_time_is_told_apart_from_a_forgery(desk: Desk, seconds: int) -> None:
    answer = await desk.deliver(an_event(), seconds=seconds)

    assert (answer.status, desk.counted("stale")) == (400, 1)
    assert await desk.inbox() == []


async def test_a_flood_of_forgeries_does_not_grow_the_database(desk: Desk) -> None:
    for _ in range(50):
        answers = await asyncio.gather(*(desk.deliver(an_event(), secret="x") for _ in range(4)))
        assert {answer.status for answer in answers} == {401}

    assert desk.counted("forged") == 200
    assert await desk.inbox() == []


async def test_one_event_delivered_fifty_times_at_once_is_one_row(desk: Desk) -> None:
    event = an_event()

    answers = await asyncio.gather(*(desk.deliver(event) for _ in range(50)))

    assert {answer.status for answer in answers} == {200}
    assert len(await desk.inbox()) == 1
    assert (desk.counted("accepted"), desk.counted("duplicate")) == (1, 49)


async def test_one_event_id_at_two_accounts_is_two_events(desk: Desk) -> None:
    event = an_event()

    await desk.deliver(event, account=0)
    await desk.deliver(event, account=1)

    assert len(await desk.inbox()) == 2


async def test_a_missing_account_looks_like_a_malformed_one(desk: Desk) -> None:
    missing = await desk.post(encode("prv", new_id()), {}, b"{}")
    malformed = [
        await desk.post(id, {}, b"{}")
        for id in ("", "nonsense", "prv_", "prv_\0", encode("pay", new_id()), "x" * 10_000)
    ]

    assert missing.status == 404
    assert {(answer.status, answer.body) for answer in malformed} == {(404, missing.body)}


async def test_each_event_of_a_batch_is_a_row_of_its_own(desk: Desk) -> None:
    events = [an_event() for _ in range(5)]

    first = await desk.deliver({"batch": events[:3]})
    second = await desk.deliver({"batch": events[::-1]})

    assert {first.status, second.status} == {200}
    kept = sorted(row["provider_event_id"] for row in await desk.inbox())
    assert kept == sorted(event["id"] for event in events)


async def test_overlapping_batches_at_once_do_not_block_each_other(desk: Desk) -> None:
    events = [an_event() for _ in range(20)]

    answers = await asyncio.gather(
        *(desk.deliver({"batch": events if number % 2 else events[::-1]}) for number in range(20))
    )

    assert {answer.status for answer in answers} == {200}
    assert len(await desk.inbox()) == 20


async def test_an_event_twice_in_one_batch_is_one_row(desk: Desk) -> None:
    event = an_event()

    await desk.deliver({"batch": [event, event]})

    assert len(await desk.inbox()) == 1


@pytest.mark.parametrize("id", ["evt_" + "x" * 5000, "evt_\0", "evt_\n", "ü" * 256])
async def test_an_event_id_the_index_cannot_hold_is_kept_as_its_digest(desk: Desk, id: str) -> None:
    event = an_event(id=id)

    answers = [await desk.deliver(event), await desk.deliver(event)]

    row = await desk.only()
    assert [answer.status for answer in answers] == [200, 200]
    assert row["provider_event_id"].startswith("sha256:")
    await desk.work()
    assert await desk.statuses() == ["IGNORED"]


async def test_long_event_ids_with_one_beginning_stay_two_events(desk: Desk) -> None:
    for end in "ab":
        await desk.deliver(an_event(id="x" * 300 + end))

    assert len(await desk.inbox()) == 2


async def test_a_kind_the_database_cannot_hold_is_kept_as_far_as_it_goes(desk: Desk) -> None:
    answer = await desk.deliver(an_event("moon\0phase" + "x" * 300))

    row = await desk.only()
    assert answer.status == 200
    assert row["kind"].startswith("moon?phase")
    assert len(row["kind"]) == 255


async def test_credentials_in_headers_are_not_kept(desk: Desk) -> None:
    sent = {
        "authorization": "Basic c2VjcmV0",
        "proxy-authorization": "Basic c2VjcmV0",
        "cookie": "session=secret",
        "x-trace": "kept",
    }
    await desk.deliver(an_event(), headers=sent)

    headers: Mapping[str, str] = (await desk.only())["headers"]
    assert set(headers) == {"simulator-signature", "x-trace"}
    assert "c2VjcmV0" not in str(headers)


async def test_a_flood_of_headers_is_not_kept(desk: Desk) -> None:
    await desk.deliver(an_event(), headers={f"x-{number}": "v" for number in range(500)})

    assert len((await desk.only())["headers"]) == 64


@pytest.mark.parametrize("body", [b"", b"no json", b'{"batch": []}', b"\xff", b"[]"])
async def test_what_is_proven_and_not_understood_is_kept_once(desk: Desk, body: bytes) -> None:
    answers = [await desk.deliver(body), await desk.deliver(body)]

    row = await desk.only()
    assert [answer.status for answer in answers] == [200, 200]
    assert (row["kind"], bytes(row["payload"])) == ("unparseable", body)


async def test_an_adapter_that_breaks_while_reading_loses_nothing(desk: Desk) -> None:
    desk.adapter.breaks_reading = KeyError("amount")

    answer = await desk.deliver(an_event())

    assert answer.status == 200
    assert (await desk.only())["kind"] == "unparseable"


async def test_an_adapter_that_breaks_while_proving_proves_nothing(desk: Desk) -> None:
    desk.adapter.breaks_proving = KeyError("signature")

    answer = await desk.deliver(an_event())

    assert answer.status == 401
    assert await desk.inbox() == []


async def test_what_cannot_be_kept_is_asked_for_again(desk: Desk) -> None:
    """No 2xx and no 4xx, so that the provider sends it once more."""
    await desk.world.database.pool.close()

    answer = await desk.deliver(an_event())

    assert answer.status == 503
