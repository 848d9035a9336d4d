"""Finding out at Stripe what happened to an operation."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import respx

from core.money import Money
from gateways.port import (
    LookupResult,
    OutcomeStatus,
)
from tests.gateways.stripe.builders import (
    API,
    INTENT,
    INTENTS,
    KINDS,
    REFUNDS,
    body,
    captured,
    intent,
    look,
)


@respx.mock
@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [
        ("succeeded_automatic", "SALE", "SUCCEEDED"),
        ("requires_capture_manual", "AUTHORIZE", "SUCCEEDED"),
        ("partial_capture_final", "AUTHORIZE", "SUCCEEDED"),
        ("multicapture_open", "AUTHORIZE", "SUCCEEDED"),
        ("canceled", "AUTHORIZE", "SUCCEEDED"),
        ("canceled", "SALE", "DECLINED"),
        ("declined_state", "SALE", "DECLINED"),
        ("processing_debit", "SALE", "PENDING"),
        ("requires_action_redirect", "SALE", "REQUIRES_ACTION"),
    ],
)
async def test_a_lookup_by_id(name: str, kind: str, status: str) -> None:
    respx.get(INTENT).mock(return_value=intent(name))

    looked = await look(kind, provider_ref="pi_3SAMPLEord1001")

    assert looked.answered
    assert looked.result.outcome is not None
    assert looked.result.outcome.status == status


@respx.mock
async def test_an_intent_that_was_never_confirmed_proves_nothing() -> None:
    respx.get(INTENT).mock(return_value=intent("created_unconfirmed"))

    looked = await look("SALE", provider_ref="pi_3SAMPLEord1001")

    assert looked.answered
    assert looked.result == LookupResult()


SENT_AT = datetime(2026, 11, 20, tzinfo=UTC)


def pages(*entries: list[dict[str, Any]]) -> list[httpx.Response]:
    last = len(entries) - 1
    return [
        httpx.Response(200, json={"data": page, "has_more": number != last})
        for number, page in enumerate(entries)
    ]


@respx.mock
async def test_a_lookup_without_id_searches_the_list_for_our_own() -> None:
    mine = body("api_payment_intent_succeeded_automatic", metadata={"operation_id": "op_1"})
    other = body("api_payment_intent_succeeded_automatic", id="pi_other")
    listing = respx.get(url__startswith=INTENTS).mock(side_effect=pages([other], [mine]))

    looked = await look("SALE", sent_at=SENT_AT)

    assert looked.result.outcome is not None
    assert looked.result.outcome.status is OutcomeStatus.SUCCEEDED
    first, second = (call.request.url.params for call in listing.calls)
    assert int(first["created[gte]"]) == int(SENT_AT.timestamp()) - 300
    assert second["starting_after"] == "pi_other"


@respx.mock
async def test_not_found_is_conclusive_only_when_the_whole_list_was_read() -> None:
    other = [body("api_payment_intent_succeeded_automatic")]
    listing = respx.get(url__startswith=INTENTS)

    listing.mock(side_effect=pages(other))
    whole = await look("SALE", sent_at=SENT_AT)
    listing.mock(side_effect=pages(*[other] * 9))
    part = await look("SALE", sent_at=SENT_AT)
    listing.mock(side_effect=pages(other))
    undated = await look("SALE")

    assert whole.result == LookupResult(not_found_is_conclusive=True)
    assert part.result == LookupResult(not_found_is_conclusive=False)
    assert undated.result == LookupResult(not_found_is_conclusive=False)


@respx.mock
async def test_a_lookup_of_a_capture_is_satisfied_only_by_our_own() -> None:
    get = respx.get(INTENT)

    get.mock(return_value=intent("requires_capture_manual"))
    open_ = await look("CAPTURE", amount=Money(3000, "EUR"))
    get.mock(return_value=intent("partial_capture_final", metadata={}))
    others = await look("CAPTURE", amount=Money(3000, "EUR"))
    get.mock(return_value=captured())
    ours = await look("CAPTURE", amount=Money(3000, "EUR"))

    assert open_.result == others.result == LookupResult(not_found_is_conclusive=True)
    assert ours.result.outcome is not None
    assert ours.result.outcome.status is OutcomeStatus.SUCCEEDED


@respx.mock
async def test_a_lookup_of_a_void() -> None:
    get = respx.get(INTENT)

    get.mock(return_value=intent("canceled"))
    done = await look("VOID")
    get.mock(return_value=intent("requires_capture_manual"))
    not_done = await look("VOID")

    assert done.result.outcome is not None
    assert done.result.outcome.status is OutcomeStatus.SUCCEEDED
    assert not_done.result == LookupResult(not_found_is_conclusive=True)


@respx.mock
async def test_a_lookup_of_a_refund_by_id_and_by_list() -> None:
    mine = body("api_refund_succeeded", metadata={"operation_id": "op_1"})
    respx.get(f"{REFUNDS}/re_1").respond(200, json=mine)
    respx.get(url__startswith=f"{REFUNDS}?").mock(side_effect=pages([mine]))

    by_id = await look("REFUND", provider_ref="re_1")
    by_list = await look("REFUND")

    for looked in (by_id, by_list):
        assert looked.result.outcome is not None
        assert looked.result.outcome.status is OutcomeStatus.SUCCEEDED


@respx.mock
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [401, 429, 500])
async def test_a_lookup_that_is_refused_proves_nothing(kind: str, status: int) -> None:
    respx.get(url__startswith=API).respond(status, json={"error": {"type": "api_error"}})

    looked = await look(kind, provider_ref="x_1")

    assert looked.result == LookupResult()
    assert not looked.answered
