"""Cards that stay with a customer at Stripe: kept by a charge, paid with, detached."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateways.port import CallbackRequest, Outcome, OutcomeStatus, StoredMethod
from gateways.stripe import StripeAdapter
from gateways.stripe.mapping import intent_outcome
from gateways.stripe.webhooks import parse_events
from tests.gateways.builders import an_account
from tests.gateways.stripe.builders import body
from tests.gateways.stripe.faults import Fault
from tests.gateways.stripe.till import Till, a_till

ANNA: dict[str, Any] = {"store_method": True, "customer_id": "anna"}


@pytest.fixture
def till() -> Iterator[Till]:
    with a_till() as opened:
        yield opened


async def kept(till: Till, kind: str = "SALE", **changes: Any) -> StoredMethod:
    outcome = await till.do(kind, **{**ANNA, **changes})
    assert outcome.stored_method is not None
    return outcome.stored_method


async def detach(till: Till, method: StoredMethod, key: str) -> bool:
    return await till.bench.dispatcher.detach(till.account, method, key)


@pytest.mark.parametrize("kind", ["SALE", "AUTHORIZE"])
async def test_a_charge_keeps_the_card_with_a_customer(till: Till, kind: str) -> None:
    method = await kept(till, kind)

    (customer,) = till.fake.cards.customers.values()
    assert customer["metadata"] == {"customer_id": "anna"}
    assert method.provider_customer == customer["id"]
    assert till.fake.cards.methods[method.token]["customer"] == customer["id"]
    shown = (method.brand, method.last4, method.exp_month, method.exp_year)
    assert shown == ("visa", "4242", 8, 2031)


async def test_nothing_is_kept_unasked(till: Till) -> None:
    outcome = await till.do("SALE", customer_id="anna")

    assert outcome.stored_method is None
    assert till.fake.cards.customers == {}


async def test_a_refused_charge_keeps_nothing(till: Till) -> None:
    outcome = await till.do("SALE", token="pm_card_visa_chargeDeclined", **ANNA)

    assert (outcome.status, outcome.stored_method) == (OutcomeStatus.DECLINED, None)
    assert till.fake.cards.methods == {}


async def test_each_request_has_a_key_of_its_own(till: Till) -> None:
    operation = till.an_operation("SALE", **ANNA)

    await till.send(operation)

    (_, _, made), (_, _, charged) = till.fake.requests
    assert charged == f"{operation.idempotency_key}.1"
    assert made is not None
    assert made.startswith("customer.")
    assert "anna" not in made


async def test_tries_in_a_row_make_one_customer(till: Till) -> None:
    await till.do("SALE", token="pm_card_visa_chargeDeclined", **ANNA)
    await kept(till)
    await kept(till, customer_id="bert")

    assert len(till.fake.cards.customers) == 2


async def test_a_customer_stripe_knows_is_not_made_again(till: Till) -> None:
    first = await kept(till)
    till.bench.clock.pass_(48 * 3600)

    second = await kept(till, provider_customer=first.provider_customer)

    assert second.provider_customer == first.provider_customer
    assert len(till.fake.cards.customers) == 1


async def test_without_a_customer_the_payment_is_made_all_the_same(till: Till) -> None:
    till.faults.append(Fault.FAILED_BEFORE)

    outcome = await till.do("SALE", **ANNA)

    assert (outcome.status, outcome.stored_method) == (OutcomeStatus.SUCCEEDED, None)


async def test_a_kept_card_is_charged_with_its_customer_only(till: Till) -> None:
    method = await kept(till)

    paid = await till.do("SALE", token=method.token, provider_customer=method.provider_customer)
    alone = await till.do("SALE", token=method.token)

    assert (paid.status, paid.stored_method) == (OutcomeStatus.SUCCEEDED, None)
    assert alone.status is OutcomeStatus.DECLINED


async def test_a_lost_answer_is_found_with_what_was_kept(till: Till) -> None:
    operation = till.an_operation("SALE", **ANNA)
    till.faults.extend([None, Fault.DROPPED_AFTER])

    said = await till.send(operation)
    found = await till.find_out(operation, said)
    by_id = await till.look(replace(operation, provider_ref=found.provider_ref))

    assert said.status is OutcomeStatus.UNKNOWN
    for outcome in (found, by_id.outcome):
        assert isinstance(outcome, Outcome)
        assert outcome.stored_method is not None
        assert outcome.stored_method.last4 == "4242"
    assert len(till.fake.done(operation.id)) == 1


async def test_a_repeat_sends_the_very_same_charge(till: Till) -> None:
    operation = till.an_operation("SALE", **ANNA)
    till.faults.extend([None, Fault.DROPPED_AFTER])
    said = await till.send(operation)

    found = await till.find_out(operation, said, repeat_first=True)

    assert found.stored_method is not None
    assert len(till.fake.cards.customers) == len(till.fake.cards.methods) == 1
    assert len(till.fake.done(operation.id)) == 1


async def test_an_event_tells_of_the_card_without_its_digits(till: Till) -> None:
    method = await kept(till)
    event = next(e for e in till.fake.events if e["type"] == "payment_intent.succeeded")

    [fact] = parse_events(_callback(till, event))

    assert fact.outcome is not None
    assert fact.outcome.stored_method == StoredMethod(method.token, method.provider_customer)


def _callback(till: Till, event: dict[str, Any]) -> CallbackRequest:
    return CallbackRequest({}, {}, orjson.dumps(event), till.bench.clock.now())


@pytest.mark.parametrize("card", [None, "card", {"last4": 4242}, {"exp_year": "2031", "brand": []}])
def test_strange_details_do_not_put_a_charge_in_doubt(card: Any) -> None:
    intent = body(
        "api_payment_intent_succeeded_automatic",
        customer="cus_1",
        setup_future_usage="off_session",
        payment_method={"id": "pm_1", "card": card},
    )

    outcome = intent_outcome(intent, "SALE")

    assert outcome.status is OutcomeStatus.SUCCEEDED
    assert outcome.stored_method == StoredMethod("pm_1", "cus_1")


async def test_a_detached_card_is_worth_nothing(till: Till) -> None:
    method = await kept(till)

    assert await detach(till, method, "sm_1.1")

    refused = await till.do("SALE", token=method.token, provider_customer=method.provider_customer)
    assert refused.status is OutcomeStatus.DECLINED
    assert till.fake.cards.methods[method.token]["customer"] is None


async def test_detaching_twice_is_detaching_once(till: Till) -> None:
    method = await kept(till)

    assert await detach(till, method, "sm_1.1")
    assert await detach(till, method, "sm_1.2")
    assert await detach(till, StoredMethod("pm_nobody_knows"), "sm_2.1")


@pytest.mark.parametrize("fault", list(Fault))
async def test_what_became_of_a_detachment_is_never_guessed(till: Till, fault: Fault) -> None:
    method = await kept(till)
    till.faults.extend([fault, fault])

    said = await detach(till, method, "sm_1.1")
    attached = till.fake.cards.methods[method.token]["customer"] is not None
    till.faults.clear()

    assert not (said and attached)
    assert await detach(till, method, "sm_1.2")
    assert till.fake.cards.methods[method.token]["customer"] is None


def test_detaching_moves_no_money() -> None:
    account = an_account("stripe").credentials()
    flow = StripeAdapter().detach(account, StoredMethod("pm_1/../x"), "sm_1.1")

    call = next(flow)

    assert call.effect.value == "none"
    assert call.url.endswith("/v1/payment_methods/pm_1%2F..%2Fx/detach")
