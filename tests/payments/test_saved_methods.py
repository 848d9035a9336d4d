"""Methods that customers keep: by evidence only, for their owner only, until they are removed."""

import asyncio
from dataclasses import replace

import pytest

from core.identifiers import encode, new_id
from core.money import Money
from gateways.port import OutcomeStatus
from payments import Method, Routing, SavedMethod, create
from payments.errors import (
    IdempotencyKeyReused,
    NoProviderAvailable,
    NotFound,
    ValidationFailed,
)
from payments.model import PaymentStatus
from payments.saved_methods import open_token
from tests.conftest import add_tenant
from tests.payments.keeping import (
    ANNA,
    a_browser,
    confirm_as,
    kept,
    pay_with,
    remove,
    saved,
    says_kept,
)
from tests.payments.world import VAULT, World, a_key, a_payment, a_world
from tests.simulator.process import SimulatorProcess

CREATED = "saved_method.created"

# ---- keeping one


async def test_a_method_is_kept_once_the_provider_charged_it(world: World) -> None:
    payment_id = await world.pay(customer_id=ANNA, save_method=True)

    (row,) = await saved(world)
    assert (row["customer_id"], row["payment_id"]) == (ANNA, payment_id)
    assert row["provider_account_id"] == world.accounts[0]
    assert (row["brand"], row["exp_year"]) == ("visa", 2040)
    assert len(row["last4"]) == 4
    assert row["token_sealed"] is not None
    assert (await world.events(payment_id)).count(CREATED) == 1
    await world.check()


async def test_an_authorization_keeps_it_as_well(world: World) -> None:
    await world.authorize(customer_id=ANNA, save_method=True)

    assert len(await saved(world)) == 1


async def test_a_method_nobody_asked_to_keep_is_not_kept(world: World) -> None:
    await world.pay(customer_id=ANNA)

    assert await saved(world) == []


@pytest.mark.parametrize("token", ["tok_decline_hard", "tok_requires_action", "tok_pending"])
async def test_what_was_not_charged_is_not_kept(world: World, token: str) -> None:
    await world.pay(token, customer_id=ANNA, save_method=True)

    assert await saved(world) == []


@pytest.mark.parametrize("status", [s for s in OutcomeStatus if s is not OutcomeStatus.SUCCEEDED])
async def test_no_other_word_than_success_keeps_it(world: World, status: OutcomeStatus) -> None:
    payment_id = await world.pay("tok_pending", customer_id=ANNA, save_method=True)
    operation = await world.operation(payment_id)
    fact = says_kept(operation, "WEBHOOK", "w:1")

    await world.tell(operation.id, replace(fact, outcome=replace(fact.outcome, status=status)))

    assert await saved(world) == []


async def test_a_late_word_of_an_earlier_stage_keeps_nothing(world: World) -> None:
    payment_id = await world.pay("tok_pending", customer_id=ANNA, save_method=True)
    operation = await world.operation(payment_id)
    fact = says_kept(operation, "WEBHOOK", "w:1")
    done = replace(fact, outcome=replace(fact.outcome, stored_method=None))
    pending = replace(fact.outcome, status=OutcomeStatus.PENDING)

    await world.tell(operation.id, done, replace(fact, outcome=pending, dedup_key="w:2"))

    assert (await world.operation(payment_id)).status == "SUCCEEDED"
    assert await saved(world) == []


async def test_a_wrong_amount_keeps_nothing(world: World) -> None:
    payment_id = await world.pay("tok_pending", customer_id=ANNA, save_method=True)
    operation = await world.operation(payment_id)
    fact = says_kept(operation, "WEBHOOK", "w:1")

    await world.tell(
        operation.id, replace(fact, outcome=replace(fact.outcome, amount=Money(999, "EUR")))
    )

    assert await saved(world) == []


async def test_an_unknown_outcome_keeps_nothing_until_it_is_found_out(world: World) -> None:
    payment_id = await world.pay("tok_timeout_after", customer_id=ANNA, save_method=True)
    assert await saved(world) == []

    await world.later(payment_id, rounds=2)

    (row,) = await saved(world)
    assert row["payment_id"] == payment_id
    assert (await world.events(payment_id)).count(CREATED) == 1


async def test_a_shopper_who_authenticated_keeps_it_then(world: World) -> None:
    payment_id = await world.pay("tok_requires_action", customer_id=ANNA, save_method=True)
    seen = await world.see(payment_id)
    assert seen.payment.next_action is not None
    world.simulator.client.post(seen.payment.next_action["url"], data={"decision": "approve"})

    await world.sync(payment_id)

    assert [row["customer_id"] for row in await saved(world)] == [ANNA]


async def test_an_answer_a_look_and_callbacks_at_once_keep_it_once(world: World) -> None:
    payment_id = await world.pay("tok_pending", customer_id=ANNA, save_method=True)
    operation = await world.operation(payment_id)
    facts = [
        says_kept(operation, source, f"{source}:{number}")
        for number in range(5)
        for source in ("WEBHOOK", "LOOKUP", "RESPONSE")
    ]

    await asyncio.gather(*(world.tell(operation.id, fact) for fact in facts))

    assert len(await saved(world)) == 1
    assert (await world.events(payment_id)).count(CREATED) == 1


async def test_the_details_may_come_with_a_later_report(world: World) -> None:
    payment_id = await world.pay("tok_pending", customer_id=ANNA, save_method=True)
    operation = await world.operation(payment_id)

    await world.tell(operation.id, says_kept(operation, "WEBHOOK", "w:1"))
    (short,) = await saved(world)
    details = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2031}
    await world.tell(operation.id, says_kept(operation, "RESPONSE", "r:1", **details))

    (full,) = await saved(world)
    assert (short["id"], short["last4"]) == (full["id"], None)
    assert {name: full[name] for name in details} == details
    assert (await world.events(payment_id)).count(CREATED) == 1


async def test_details_that_make_no_sense_are_left_out_and_the_payment_stands(
    world: World,
) -> None:
    payment_id = await world.pay("tok_pending", customer_id=ANNA, save_method=True)
    operation = await world.operation(payment_id)
    nonsense = {"brand": "4242424242424242", "last4": "424", "exp_month": 13, "exp_year": 31}

    await world.tell(operation.id, says_kept(operation, "WEBHOOK", "w:1", **nonsense))

    (row,) = await saved(world)
    assert {name: row[name] for name in nonsense} == dict.fromkeys(nonsense)
    assert (await world.see(payment_id)).payment.status is PaymentStatus.CAPTURED


@pytest.mark.parametrize("token", ["4242424242424242", "", "card\x00"])
async def test_a_token_that_may_not_be_stored_is_not_kept(world: World, token: str) -> None:
    payment_id = await world.pay("tok_pending", customer_id=ANNA, save_method=True)
    operation = await world.operation(payment_id)

    await world.tell(operation.id, says_kept(operation, "WEBHOOK", "w:1", token=token))

    assert await saved(world) == []
    assert (await world.see(payment_id)).payment.status is PaymentStatus.CAPTURED


async def test_a_method_of_one_customer_never_becomes_anothers(world: World) -> None:
    for customer in (ANNA, "bert"):
        payment_id = await world.pay("tok_pending", customer_id=customer, save_method=True)
        operation = await world.operation(payment_id)
        await world.tell(operation.id, says_kept(operation, "WEBHOOK", "w:1", last4="4242"))

    assert [row["customer_id"] for row in await saved(world)] == [ANNA]


async def test_a_method_is_kept_for_somebody(world: World) -> None:
    with pytest.raises(ValidationFailed) as refused:
        await world.pay(save_method=True)
    prepared = await world.pay(None)
    with pytest.raises(ValidationFailed):
        await confirm_as(
            world.actor, world, prepared, method=Method("tok_success"), save_method=True
        )

    assert [field.path for field in refused.value.fields] == [("input", "saveMethod")]
    assert (await world.see(prepared)).operations == ()
    assert world.effects() == []


async def test_the_page_has_the_last_word_on_keeping(world: World) -> None:
    for wished, said, count in ((True, None, 1), (True, False, 1), (False, True, 2)):
        payment_id = await world.pay(None, customer_id=ANNA, save_method=wished)
        page = a_browser(world, payment_id)
        await confirm_as(page, world, payment_id, method=Method("tok_success"), save_method=said)

        assert len(await saved(world)) == count


# ---- paying with one


async def test_a_server_pays_with_a_customers_method(world: World) -> None:
    id = await kept(world)

    payment_id = await pay_with(world, id)

    payment = (await world.see(payment_id)).payment
    (row,) = await saved(world)
    assert payment.status is PaymentStatus.CAPTURED
    assert (payment.method["last4"], payment.method["brand"]) == (row["last4"], "visa")
    assert payment.saved_method_id == id
    await world.check()


async def test_paying_with_a_kept_method_keeps_no_second_one(world: World) -> None:
    id = await kept(world)

    await pay_with(world, id, save_method=True)

    assert [row["id"] for row in await saved(world)] == [id]


async def test_only_the_account_that_holds_it_charges_it(world: World) -> None:
    """Neither a smaller priority nor a failover sends it elsewhere."""
    holder, mine = world.accounts[1], Routing(provider_account_id=world.accounts[1])
    paid = await world.pay(customer_id=ANNA, save_method=True, routing=mine)
    (row,) = await saved(world, payment_id=paid)

    payment_id = await pay_with(world, row["id"])
    world.simulator.fault("refuse", match={"account": world.merchants[1].name})
    with pytest.raises(NoProviderAvailable):
        await pay_with(world, row["id"])

    attempts = await world.rows(
        "SELECT payment_id, provider_account_id FROM payment_attempt WHERE tenant_id = $1",
        world.tenant_id,
    )
    assert len(attempts) == 3
    assert {attempt["provider_account_id"] for attempt in attempts} == {holder}
    assert (await world.see(payment_id)).payment.status is PaymentStatus.CAPTURED


async def test_a_wish_for_another_account_is_not_met(world: World) -> None:
    id = await kept(world)

    with pytest.raises(NoProviderAvailable) as refused:
        await pay_with(world, id, routing=Routing(provider_account_id=world.accounts[1]))

    reasons = {line["reason"] for line in refused.value.candidates}
    assert "the saved method is kept elsewhere" in reasons


async def test_what_is_not_the_customers_is_missing(world: World) -> None:
    id = await kept(world)

    for wrong, customer in ((id, "bert"), (id, None), (new_id(), ANNA)):
        with pytest.raises(NotFound) as refused:
            await pay_with(world, wrong, customer)
        assert refused.value.id == encode("sm", wrong)

    rows = await world.rows("SELECT id FROM payment WHERE tenant_id = $1", world.tenant_id)
    assert len(rows) == 1
    assert len(world.effects()) == 1


async def test_another_tenants_method_is_missing(
    world: World, admin_url: str, process: SimulatorProcess
) -> None:
    id = await kept(world)

    async with a_world(world.database, add_tenant(admin_url), process) as stranger:
        with pytest.raises(NotFound):
            await pay_with(stranger, id)
        with pytest.raises(NotFound):
            await remove(stranger, id)
        assert await stranger.rows("SELECT 1 FROM saved_method") == []

    assert (await saved(world))[0]["removed_at"] is None


async def test_a_client_secret_alone_spends_no_saved_method(world: World) -> None:
    id = await kept(world)
    payment_id = await world.pay(None, customer_id=ANNA)
    unknown = new_id()

    for wrong in (id, unknown):
        with pytest.raises(NotFound) as refused:
            page = a_browser(world, payment_id)
            await confirm_as(page, world, payment_id, method=SavedMethod(wrong))
        assert refused.value.id == encode("sm", wrong)

    assert (await world.see(payment_id)).operations == ()


async def test_a_customer_spends_only_their_own(world: World) -> None:
    mine, hers = await kept(world), await kept(world, "berta")
    payment_id = await world.pay(None, customer_id=ANNA)

    for actor, id in (
        (a_browser(world, payment_id, "berta"), mine),
        (a_browser(world, payment_id, "berta"), hers),
        (a_browser(world, payment_id, ANNA), hers),
    ):
        with pytest.raises(NotFound):
            await confirm_as(actor, world, payment_id, method=SavedMethod(id))
    page = a_browser(world, payment_id, ANNA)
    await confirm_as(page, world, payment_id, method=SavedMethod(mine))

    assert (await world.see(payment_id)).payment.status is PaymentStatus.CAPTURED


async def test_what_the_server_chose_a_client_secret_confirms(world: World) -> None:
    """The merchant's server said so; the page only says when."""
    id = await kept(world)
    payment_id = await pay_with(world, id, confirm=False)

    await confirm_as(a_browser(world, payment_id), world, payment_id)

    assert (await world.see(payment_id)).payment.status is PaymentStatus.CAPTURED


async def test_a_page_cannot_pass_a_saved_method_off_as_a_token(world: World) -> None:
    id = await kept(world)
    (row,) = await saved(world)
    token = open_token(VAULT, id, row["token_sealed"])
    payment_id = await world.pay(None, customer_id=ANNA)

    with pytest.raises(ValidationFailed) as refused:
        page = a_browser(world, payment_id)
        await confirm_as(page, world, payment_id, method=Method(token), save_method=True)

    assert [field.code for field in refused.value.fields] == ["SAVED"]
    assert (await world.see(payment_id)).operations == ()


async def test_the_saved_method_belongs_to_the_request(world: World) -> None:
    first, second, key = await kept(world), await kept(world), a_key()
    paid = await pay_with(world, first, key=key)

    assert await pay_with(world, first, key=key) == paid
    with pytest.raises(IdempotencyKeyReused) as refused:
        await pay_with(world, second, key=key)

    assert refused.value.differing_paths == ("method",)


async def test_a_replay_is_answered_although_the_method_was_removed(world: World) -> None:
    id, key = await kept(world), a_key()
    paid = await pay_with(world, id, key=key)
    await remove(world, id)

    again = await create(
        a_payment(None, key=key, customer_id=ANNA, method=SavedMethod(id)),
        world.actor,
        world.services,
    )

    assert (again.payment_id, again.replayed) == (paid, True)
    assert len(world.effects()) == 2


async def test_a_lost_answer_to_a_saved_method_is_found_out(world: World) -> None:
    id = await kept(world, token="tok_success")
    world.simulator.fault("drop_after", times=1)

    payment_id = await pay_with(world, id)
    await world.later(payment_id, rounds=2)

    assert (await world.see(payment_id)).payment.status is PaymentStatus.CAPTURED
    assert len(world.effects()) == 2
    await world.check()
