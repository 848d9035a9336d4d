"""Whole stories against the simulator: command, token → state, entries, what really happened."""

import psycopg
import pytest

from core.money import Money
from payments import StoreCredit, create
from payments.commands import Split
from payments.errors import (
    AmountExceeded,
    InsufficientFunds,
    InvalidState,
    OutcomeUnknown,
    RiskRejected,
    ValidationFailed,
)
from payments.tables import PaymentRow
from resolvers.reading import shown_columns
from tests.payments.world import World, a_payment, move


async def test_a_sale_is_charged_once_and_booked(world: World) -> None:
    payment_id = await world.pay()

    seen = await world.see(payment_id)
    assert seen.payment.status == "CAPTURED"
    assert (seen.payment.captured_gross, seen.payment.fees) == (1000, 59)
    assert world.effects() == [("charge", 1000)]
    assert await world.balance("income:sales") == (-1000, 0)
    assert await world.events(payment_id) == ["payment.initiated", "payment.captured"]
    await world.check()


@pytest.mark.parametrize("token", ["tok_success", "tok_decline_hard", "tok_requires_action"])
async def test_what_a_sale_answers_is_the_payment_as_it_stands_in_the_table(
    world: World, token: str
) -> None:
    result = await create(a_payment(token), world.actor, world.services)

    assert result.row is not None
    answered = dict(result.row)
    async with world.database.unit_of_work(world.tenant_id) as tx:
        stands = await tx.fetchrow("SELECT * FROM payment WHERE id = $1", result.payment_id)
    assert stands is not None
    assert answered == {name: stands[name] for name in answered}
    assert {column.name for column in shown_columns(PaymentRow)} <= answered.keys()


@pytest.mark.parametrize(
    ("token", "status", "kind"),
    [
        ("tok_decline_hard", "REQUIRES_PAYMENT_METHOD", "HARD"),
        ("tok_decline_insufficient_funds", "REQUIRES_PAYMENT_METHOD", "INSUFFICIENT_FUNDS"),
        ("tok_decline_fraud", "REQUIRES_PAYMENT_METHOD", "FRAUD"),
    ],
)
async def test_a_decline_is_a_state_not_an_error(
    world: World, token: str, status: str, kind: str
) -> None:
    payment_id = await world.pay(token)

    seen = await world.see(payment_id)
    assert seen.payment.status == status
    assert seen.payment.last_decline is not None
    assert seen.payment.last_decline["kind"] == kind
    assert seen.payment.token_sealed is None
    assert len(seen.attempts) == 1, "the scheme's advice forbids another provider"
    assert world.effects() == []
    assert await world.balance("income:sales") == (0, 0)
    assert await world.events(payment_id) == ["payment.initiated", "payment.declined"]
    await world.check()


async def test_a_confirmed_payment_is_told_of_while_it_is_under_way(world: World) -> None:
    payment_id = await world.pay(confirm=False)

    await world.confirm(payment_id, "tok_success")

    assert await world.events(payment_id) == [
        "payment.initiated",
        "payment.processing",
        "payment.captured",
    ]


async def test_a_declined_payment_is_tried_again_with_another_method(world: World) -> None:
    payment_id = await world.pay("tok_decline_hard")

    await world.confirm(payment_id, "tok_success")

    seen = await world.see(payment_id)
    assert seen.payment.status == "CAPTURED"
    assert [a.status for a in seen.attempts] == ["DECLINED", "CAPTURED"]
    assert world.effects() == [("charge", 1000)]
    await world.check()


async def test_a_payment_fails_when_its_attempts_are_used_up(world: World) -> None:
    payment_id = await world.pay("tok_decline_hard")
    for _ in range(4):
        await world.confirm(payment_id, "tok_decline_hard")

    assert (await world.see(payment_id)).payment.status == "FAILED"
    with pytest.raises(InvalidState):
        await world.confirm(payment_id, "tok_success")
    assert world.effects() == []
    await world.check()


async def test_a_prepared_payment_charges_nothing_until_it_is_confirmed(world: World) -> None:
    payment_id = await world.pay(confirm=False)
    assert (await world.see(payment_id)).payment.status == "REQUIRES_CONFIRMATION"
    assert world.effects() == []

    await world.confirm(payment_id)

    assert (await world.see(payment_id)).payment.status == "CAPTURED"
    await world.check()


async def test_a_payment_without_a_method_waits_for_one(world: World) -> None:
    payment_id = await world.pay(None)
    assert (await world.see(payment_id)).payment.status == "REQUIRES_PAYMENT_METHOD"
    with pytest.raises(ValidationFailed):
        await world.confirm(payment_id)

    await world.confirm(payment_id, "tok_success")

    assert (await world.see(payment_id)).payment.status == "CAPTURED"


async def test_an_authorization_is_held_and_then_captured(world: World) -> None:
    payment_id = await world.authorize()
    seen = await world.see(payment_id)
    assert (seen.payment.status, seen.payment.authorized) == ("AUTHORIZED", 1000)
    assert await world.balance("income:sales") == (0, -1000)

    await world.capture(payment_id)

    assert (await world.see(payment_id)).payment.status == "CAPTURED"
    assert await world.balance("income:sales") == (-1000, 0)
    assert world.effects() == [("authorization", 1000), ("capture", 1000)]
    await world.check()


async def test_parts_are_captured_one_by_one(world: World) -> None:
    payment_id = await world.authorize()

    await world.capture(payment_id, 300, final=False)
    seen = await world.see(payment_id)
    assert (seen.payment.status, seen.payment.captured_gross) == ("PARTIALLY_CAPTURED", 300)
    assert await world.balance("income:sales") == (-300, -700)
    with pytest.raises(AmountExceeded):
        await world.capture(payment_id, 701)
    await world.capture(payment_id, 200, final=True)

    seen = await world.see(payment_id)
    assert (seen.payment.status, seen.payment.captured_gross) == ("CAPTURED", 500)
    assert await world.balance("income:sales") == (-500, 0)
    with pytest.raises(InvalidState):
        await world.capture(payment_id)
    await world.check()


async def test_a_cancel_voids_and_is_done_when_the_provider_says_so(world: World) -> None:
    payment_id = await world.authorize()

    await world.cancel(payment_id)

    seen = await world.see(payment_id)
    assert (seen.payment.status, seen.attempts[0].status) == ("CANCELED", "VOIDED")
    assert world.effects() == [("authorization", 1000), ("void", 1000)]
    assert await world.balance("income:sales") == (0, 0)
    assert (await world.events(payment_id))[-1] == "payment.canceled"
    await world.check()


async def test_the_rest_of_a_partly_captured_payment_can_be_cancelled(world: World) -> None:
    payment_id = await world.authorize()
    await world.capture(payment_id, 400, final=False)

    await world.cancel(payment_id)

    seen = await world.see(payment_id)
    assert (seen.payment.status, seen.payment.captured_gross) == ("CAPTURED", 400)
    assert await world.balance("income:sales") == (-400, 0)
    await world.check()


async def test_a_cancel_before_any_try_needs_no_provider(world: World) -> None:
    payment_id = await world.pay(confirm=False)

    await world.cancel(payment_id)

    seen = await world.see(payment_id)
    assert (seen.payment.status, seen.operations) == ("CANCELED", ())
    with pytest.raises(InvalidState):
        await world.confirm(payment_id, "tok_success")
    await world.check()


async def test_a_refund_gives_money_back_and_books_it(world: World) -> None:
    payment_id = await world.pay()

    await world.refund(payment_id, 300)

    seen = await world.see(payment_id)
    assert (seen.payment.refunded, seen.payment.status) == (300, "CAPTURED")
    assert seen.refunds[0].status == "SUCCEEDED"
    assert world.effects() == [("charge", 1000), ("refund", 300)]
    assert await world.balance("income:sales") == (-700, 0)
    assert (await world.events(payment_id))[-2:] == ["refund.created", "refund.succeeded"]
    await world.check()


async def test_a_refund_is_never_of_the_wrong_payment(world: World) -> None:
    payments = [await world.pay() for _ in range(3)]

    for payment_id in payments:
        await world.refund(payment_id, 100)

    for payment_id in payments:
        charged = (await world.operation(payment_id)).provider_ref
        refunded = [
            effect["payment"]
            for effect in world.merchants[0].effects()
            if effect["object"] == (await world.operation(payment_id, "REFUND")).provider_ref
        ]
        assert refunded == [charged]
    await world.check()


async def test_a_refund_cannot_exceed_the_capture(world: World) -> None:
    payment_id = await world.pay()
    await world.refund(payment_id, 600)

    with pytest.raises(AmountExceeded) as refused:
        await world.refund(payment_id, 401)

    assert refused.value.available == Money(400, "EUR")
    await world.refund(payment_id)
    assert (await world.see(payment_id)).payment.refunded == 1000
    with pytest.raises(AmountExceeded):
        await world.refund(payment_id)
    await world.check()


async def test_shares_of_parts_add_up_to_the_whole(world: World) -> None:
    splits = (
        Split("merchant:anna:payable", Money(333, "EUR")),
        Split("income:platform_fee", Money(100, "EUR")),
    )
    payment_id = await world.authorize(999, splits=splits)
    for part in (100, 100, 799):
        await world.capture(payment_id, part, final=part == 799)
    assert await world.balance("merchant:anna:payable") == (-333, 0)
    assert await world.balance("income:platform_fee") == (-100, 0)

    for part in (1, 998):
        await world.refund(payment_id, part)

    assert await world.balance("merchant:anna:payable") == (0, 0)
    assert await world.balance("income:sales") == (0, 0)
    await world.check()


async def test_a_seller_who_was_paid_out_cannot_be_refunded_from(world: World) -> None:
    split = Split("merchant:berta:payable", Money(1000, "EUR"))
    payment_id = await world.pay(splits=(split,))
    await spend(world, "merchant:berta:payable", 900)
    key = "refund-of-a-seller"

    for _ in range(2):
        with pytest.raises(InsufficientFunds) as refused:
            await world.refund(payment_id, 200, key=key)

    assert refused.value.account == "merchant:berta:payable"
    assert world.effects() == [("charge", 1000)]
    assert (await world.see(payment_id)).refunds == ()
    await world.refund(payment_id, 100)


async def test_store_credit_pays_a_part_and_is_refunded_last(world: World) -> None:
    await grant(world, "customer:carl:wallet", 500)
    credit = StoreCredit("customer:carl:wallet", Money(300, "EUR"))

    payment_id = await world.pay(store_credit=credit)

    assert world.effects() == [("charge", 700)]
    assert (await world.see(payment_id)).payment.captured_gross == 1000
    assert await world.balance("customer:carl:wallet") == (-200, 0)
    assert await world.balance("income:sales") == (-1000, 0)

    await world.refund(payment_id, 800)

    assert world.effects()[-1] == ("refund", 700)
    assert await world.balance("customer:carl:wallet") == (-300, 0)
    await world.refund(payment_id)
    assert await world.balance("customer:carl:wallet") == (-500, 0)
    assert await world.balance("income:sales") == (0, 0)
    await world.check()


async def test_store_credit_is_released_when_the_card_is_refused(world: World) -> None:
    await grant(world, "customer:dora:wallet", 500)
    credit = StoreCredit("customer:dora:wallet", Money(300, "EUR"))

    payment_id = await world.pay("tok_decline_hard", store_credit=credit)
    assert await world.balance("customer:dora:wallet") == (-500, 0)

    await world.confirm(payment_id, "tok_success")
    assert await world.balance("customer:dora:wallet") == (-200, 0)
    await world.check()


async def test_store_credit_stays_reserved_while_the_card_is_unknown(world: World) -> None:
    await grant(world, "customer:emil:wallet", 500)
    credit = StoreCredit("customer:emil:wallet", Money(300, "EUR"))

    payment_id = await world.pay("tok_timeout_after", store_credit=credit)
    assert await world.balance("customer:emil:wallet") == (-500, 300)

    await world.later(payment_id)
    assert await world.balance("customer:emil:wallet") == (-200, 0)
    await world.check()


async def test_store_credit_alone_needs_no_provider(world: World) -> None:
    await grant(world, "customer:fred:wallet", 1000)
    credit = StoreCredit("customer:fred:wallet", Money(1000, "EUR"))

    payment_id = await world.pay(None, store_credit=credit)

    seen = await world.see(payment_id)
    assert (seen.payment.status, seen.operations) == ("CAPTURED", ())
    assert await world.balance("customer:fred:wallet") == (0, 0)
    await world.refund(payment_id, 250)
    assert await world.balance("customer:fred:wallet") == (-250, 0)
    assert world.effects() == []
    await world.check()


async def test_more_store_credit_than_there_is_is_refused_and_remembered(world: World) -> None:
    await grant(world, "customer:gina:wallet", 100)
    credit = StoreCredit("customer:gina:wallet", Money(300, "EUR"))

    for _ in range(2):
        with pytest.raises(InsufficientFunds) as refused:
            await world.pay(store_credit=credit, key="too-much-credit")

    assert refused.value.available == Money(100, "EUR")
    assert world.effects() == []
    assert await world.rows("SELECT id FROM payment WHERE tenant_id = $1", world.tenant_id) == []


async def test_a_payment_that_needs_an_action_goes_on_when_it_was_done(world: World) -> None:
    payment_id = await world.pay("tok_requires_action", return_url="https://shop.test/back")

    seen = await world.see(payment_id)
    assert seen.payment.status == "REQUIRES_ACTION"
    assert seen.payment.next_action is not None
    url = seen.payment.next_action["url"]
    world.simulator.client.post(url, data={"decision": "approve"})
    await world.sync(payment_id)

    seen = await world.see(payment_id)
    assert (seen.payment.status, seen.payment.next_action) == ("CAPTURED", None)
    await world.check()


async def test_a_waiting_action_can_be_cancelled(world: World) -> None:
    payment_id = await world.pay("tok_requires_action")

    await world.cancel(payment_id)

    assert (await world.see(payment_id)).payment.status == "CANCELED"
    await world.later(payment_id)
    assert (await world.see(payment_id)).payment.status == "CANCELED"
    await world.check()


async def test_a_pending_payment_is_completed_by_the_worker(world: World) -> None:
    world.simulator.control("/_config", pending_delay_ms=1)
    payment_id = await world.pay("tok_pending")
    assert (await world.see(payment_id)).payment.status == "PROCESSING"

    await world.later(payment_id, rounds=3)

    assert (await world.see(payment_id)).payment.status == "CAPTURED"
    await world.check()


@pytest.mark.parametrize("token", ["tok_timeout_after", "tok_error_5xx", "tok_garbage"])
async def test_an_unknown_outcome_is_found_out_and_never_guessed(world: World, token: str) -> None:
    payment_id = await world.pay(token)
    operation = await world.operation(payment_id)
    assert operation.status == "UNKNOWN"
    assert (await world.see(payment_id)).payment.status == "PROCESSING"
    assert len((await world.see(payment_id)).attempts) == 1
    for step in (world.cancel, world.confirm, world.refund):
        with pytest.raises(OutcomeUnknown):
            await step(payment_id)

    await world.later(payment_id, rounds=2)

    seen = await world.see(payment_id)
    charged = world.effects().count(("charge", 1000))
    assert charged <= 1
    assert seen.payment.captured_gross == 1000 * charged
    await world.check()


async def test_a_request_the_provider_never_saw_is_repeated_with_its_key(world: World) -> None:
    world.simulator.fault("drop_before", times=1)
    payment_id = await world.pay()
    assert (await world.operation(payment_id)).status == "UNKNOWN"
    assert world.effects() == []

    await world.later(payment_id)

    assert (await world.see(payment_id)).payment.status == "CAPTURED"
    (effect,) = world.merchants[0].effects()
    assert effect["idempotency_key"] == (await world.operation(payment_id)).idempotency_key
    await world.check()


async def test_what_the_books_refuse_happened_all_the_same(world: World, admin_url: str) -> None:
    await grant(world, "customer:ines:wallet", 300)
    credit = StoreCredit("customer:ines:wallet", Money(300, "EUR"))
    payment_id = await world.pay(store_credit=credit)
    with psycopg.connect(admin_url) as admin:
        admin.execute(
            """UPDATE account_balance AS b SET max_balance = 0 FROM account AS a
                WHERE a.id = b.account_id AND a.tenant_id = b.tenant_id
                  AND a.tenant_id = %s AND a.path = 'customer:ines:wallet'""",
            [world.tenant_id],
        )

    await world.refund(payment_id)

    seen = await world.see(payment_id)
    assert seen.refunds[0].status == "SUCCEEDED"
    assert await world.balance("suspense:refused") == (700, 0)
    assert await world.discrepancies() == ["MISSING_IN_LEDGER"]
    assert world.effects()[-1] == ("refund", 700)


async def test_a_wrong_amount_is_quarantined_and_its_money_kept_in_suspense(world: World) -> None:
    payment_id = await world.pay("tok_wrong_amount")
    assert (await world.operation(payment_id)).status == "UNKNOWN"

    await world.later(payment_id)

    seen = await world.see(payment_id)
    assert (seen.payment.status, seen.payment.captured_gross) == ("IN_REVIEW", 0)
    assert await world.discrepancies() == ["AMOUNT_MISMATCH"]
    ((_, moved),) = world.effects()
    assert await world.balance(f"suspense:{world.merchants[0].name}") == (-moved, 0)
    assert await world.balance("income:sales") == (0, 0)


async def test_risk_rules_refuse_before_any_provider_hears_of_it(world: World) -> None:
    async with world.database.unit_of_work(world.tenant_id) as tx:
        await tx.execute(
            "UPDATE tenant SET risk_rules = $2 WHERE tenant_id = $1",
            world.tenant_id,
            {"amount_max": {"EUR": 5000}, "payments_per_customer_per_hour": 2},
        )

    for _ in range(2):
        with pytest.raises(RiskRejected):
            await world.pay(amount=5001, key="too-large")
    await world.pay(customer_id="hans")
    await world.pay(customer_id="hans")
    with pytest.raises(RiskRejected) as refused:
        await world.pay(customer_id="hans")

    assert refused.value.rule == "payments_per_customer_per_hour"
    assert len(world.effects()) == 2


async def grant(world: World, wallet: str, amount: int) -> None:
    """Give a customer store credit."""
    await move(world, "expense:store_credit", wallet, amount)


async def spend(world: World, account: str, amount: int) -> None:
    """Pay a seller out."""
    await move(world, account, "bank:house", amount)
