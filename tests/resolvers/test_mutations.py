"""What mutations answer: the state after all, or a problem that says what is wrong."""

from typing import Any

import pytest

from core.identifiers import encode, new_id
from tests.payments.world import World, a_key
from tests.resolvers.asking import Api
from tests.resolvers.test_ledger import grant

ERROR = """... on Error { code message retryable correlationId }
  ... on ValidationError { fields { path code message } } ... on NotFoundError { id }
  ... on IdempotencyKeyReusedError { firstUsedAt differingPaths }
  ... on InvalidStateError { current allowed }"""
PAYMENT = """... on PaymentPayload { replayed payment { id status version
  amountCaptured { decimal } amountCapturable { decimal } amountAuthorized { decimal }
  allowedActions } }"""
CAPTURE = f"""mutation ($input: PaymentCaptureInput!) {{ answer: paymentCapture(input: $input) {{
  __typename {PAYMENT} {ERROR}
  ... on AmountExceededError {{ requested {{ decimal }} available {{ decimal }} }}
  ... on VersionConflictError {{ expected actual }} }} }}"""
CANCEL = f"""mutation ($input: PaymentCancelInput!) {{ answer: paymentCancel(input: $input) {{
  __typename {PAYMENT} {ERROR} }} }}"""
REFUND = f"""mutation ($input: RefundCreateInput!) {{ answer: refundCreate(input: $input) {{
  __typename {ERROR}
  ... on RefundPayload {{ replayed
    refund {{ id status reason note amount {{ decimal }} metadata {{ key value }} failureMessage
      payment {{ id }} operations {{ kind status provider {{ name }} }} }}
    payment {{ id amountRefunded {{ decimal }} amountRefundable {{ decimal }}
      refunds {{ nodes {{ id }} }} }} }}
  ... on AmountExceededError {{ requested {{ decimal }} available {{ decimal }} }} }} }}"""
SYNC = f"""mutation ($id: ID!) {{ answer: paymentSync(paymentId: $id) {{
  __typename {PAYMENT} ... on NotFoundError {{ id }} }} }}"""
CREATE = """mutation ($input: PaymentCreateInput!) { answer: paymentCreate(input: $input) {
  __typename ... on PaymentPayload { payment { id status } } ... on Error { code retryable }
  ... on ValidationError { fields { path code } }
  ... on NoProviderAvailableError { candidates { provider { name } rank verdict reason } }
  ... on InsufficientFundsError { available { decimal } account { path } }
} }"""


async def answer(api: Api, document: str, **input: object) -> dict[str, Any]:
    given = {"idempotencyKey": a_key(), **input}
    found: dict[str, Any] = (await api.ask(document, input=given))["answer"]
    return found


async def test_a_reserved_amount_is_captured_in_parts(api: Api, world: World) -> None:
    payment = encode("pay", await world.authorize(1000))
    part = {"amountMinor": "400", "currency": "EUR"}

    first = await answer(api, CAPTURE, paymentId=payment, amount=part, final=False)
    second = await answer(api, CAPTURE, paymentId=payment)

    assert first["payment"]["status"] == "PARTIALLY_CAPTURED"
    assert first["payment"]["amountCapturable"]["decimal"] == "6.00"
    assert first["payment"]["allowedActions"] == ["CAPTURE", "CANCEL", "REFUND"]
    assert second["payment"]["status"] == "CAPTURED"
    assert second["payment"]["amountCaptured"]["decimal"] == "10.00"
    await world.check()


async def test_what_cannot_be_captured_is_named(api: Api, world: World) -> None:
    payment = encode("pay", await world.authorize(1000))
    too_much = {"decimal": "10.01", "currency": "EUR"}

    exceeded = await answer(api, CAPTURE, paymentId=payment, amount=too_much)
    conflict = await answer(api, CAPTURE, paymentId=payment, expectedVersion=99)
    foreign = await answer(
        api, CAPTURE, paymentId=payment, amount={"decimal": "1.00", "currency": "USD"}
    )

    assert exceeded["__typename"] == "AmountExceededError"
    assert exceeded["requested"]["decimal"] == "10.01"
    assert exceeded["available"]["decimal"] == "10.00"
    assert exceeded["retryable"] is False
    assert conflict["__typename"] == "VersionConflictError"
    assert conflict["expected"] == "99"
    assert foreign["__typename"] == "ValidationError"


async def test_a_canceled_payment_cannot_be_captured(api: Api, world: World) -> None:
    payment = encode("pay", await world.authorize(1000))

    canceled = await answer(api, CANCEL, paymentId=payment, reason="sold out")
    refused = await answer(api, CAPTURE, paymentId=payment)

    assert canceled["payment"]["status"] == "CANCELED"
    assert refused["__typename"] == "InvalidStateError"
    assert refused["current"] == "CANCELED"
    assert refused["allowed"]


async def test_a_refund_comes_back_with_its_payment(api: Api, world: World) -> None:
    payment = encode("pay", await world.pay(amount=1000))
    amount = {"decimal": "3.00", "currency": "EUR"}

    made = await answer(
        api,
        REFUND,
        paymentId=payment,
        amount=amount,
        reason="DEFECTIVE",
        note="broken",
        metadata=[{"key": "k", "value": "v"}],
    )
    too_much = await answer(
        api, REFUND, paymentId=payment, amount={"decimal": "7.01", "currency": "EUR"}
    )

    assert made["refund"]["status"] == "SUCCEEDED"
    assert made["refund"]["reason"] == "DEFECTIVE"
    assert made["refund"]["metadata"] == [{"key": "k", "value": "v"}]
    assert made["refund"]["operations"][0]["kind"] == "REFUND"
    assert made["payment"]["amountRefunded"]["decimal"] == "3.00"
    assert made["payment"]["amountRefundable"]["decimal"] == "7.00"
    assert made["payment"]["refunds"]["nodes"] == [{"id": made["refund"]["id"]}]
    assert too_much["__typename"] == "AmountExceededError"
    assert too_much["available"]["decimal"] == "7.00"


async def test_a_lost_answer_is_processing_until_it_is_synced(api: Api, world: World) -> None:
    id = await world.pay("tok_timeout_after")
    payment = encode("pay", id)
    document = """query ($id: ID!) { payment(id: $id) { status allowedActions
      attempts { operations { status nextResolutionAt resolutionTries } } } }"""

    before = (await api.ask(document, id=payment))["payment"]
    refused = await answer(api, CANCEL, paymentId=payment)
    await world.make_due(id)
    synced = (await api.ask(SYNC, id=payment))["answer"]

    operation = before["attempts"][0]["operations"][0]
    assert before["status"] == "PROCESSING"
    assert operation["status"] == "UNKNOWN"
    assert operation["nextResolutionAt"] is not None
    assert refused["__typename"] == "OutcomeUnknownError"
    assert synced["payment"]["status"] == "CAPTURED"
    assert len(world.effects()) == 1


async def test_nobody_who_can_take_it_is_explained(api: Api, world: World) -> None:
    excluded = [encode("prv", id) for id in world.accounts]

    refused = await answer(
        api,
        CREATE,
        amount={"decimal": "1.00", "currency": "EUR"},
        method={"token": "tok_success"},
        routing={"excludeProviders": excluded},
    )

    assert refused["__typename"] == "NoProviderAvailableError"
    assert refused["retryable"] is True
    assert {each["verdict"] for each in refused["candidates"]} == {"SKIPPED_RULE"}
    assert [each["rank"] for each in refused["candidates"]] == [1, 2]
    assert world.effects() == []


TRANSFER = f"""mutation ($input: TransferCreateInput!) {{ answer: transferCreate(input: $input) {{
  __typename {ERROR}
  ... on InsufficientFundsError {{ available {{ decimal }} account {{ path }} }}
  ... on TransactionPayload {{ replayed transaction {{ id kind description
    metadata {{ key value }} entries {{ direction amount {{ decimal }} account {{
      path balance {{ available {{ decimal }} }} }} }} }} }} }} }}"""
ACCOUNT = """mutation ($input: AccountCreateInput!) { answer: accountCreate(input: $input) {
  __typename ... on Error { code message } ... on ValidationError { fields { path code } }
  ... on AccountPayload { replayed account { id path kind currency } } } }"""


async def open_account(api: Api, path: str, kind: str, currency: str = "EUR") -> str:
    made = await answer(api, ACCOUNT, path=path, kind=kind, currency=currency)
    id: str = made["account"]["id"]
    return id


def legs(debit: str, credit: str, decimal: str, currency: str = "EUR") -> list[object]:
    amount = {"decimal": decimal, "currency": currency}
    return [
        {"accountId": debit, "direction": "DEBIT", "amount": amount},
        {"accountId": credit, "direction": "CREDIT", "amount": amount},
    ]


async def test_an_operator_grants_store_credit_that_then_pays(api: Api, world: World) -> None:
    wallet = await open_account(api, "customer:ann:wallet", "LIABILITY")
    expense = await open_account(api, "expense:store_credit", "EXPENSE")
    grant_key = a_key()
    input = {
        "idempotencyKey": grant_key,
        "kind": "store_credit_grant",
        "legs": legs(expense, wallet, "10.00"),
        "description": "sorry",
        "metadata": [{"key": "ticket", "value": "7"}],
    }

    granted = await answer(api, TRANSFER, **input)
    again = await answer(api, TRANSFER, **input)
    other = await answer(api, TRANSFER, **{**input, "description": "other"})
    paid = await answer(
        api,
        CREATE,
        amount={"decimal": "15.00", "currency": "EUR"},
        method={"token": "tok_success"},
        storeCredit={"accountId": wallet, "amount": {"decimal": "10.00", "currency": "EUR"}},
    )

    assert granted["transaction"]["kind"] == "store_credit_grant"
    assert granted["transaction"]["description"] == "sorry"
    credited = granted["transaction"]["entries"][1]
    assert credited["account"]["balance"]["available"]["decimal"] == "10.00"
    assert again["transaction"]["id"] == granted["transaction"]["id"]
    assert (granted["replayed"], again["replayed"]) == (False, True)
    assert other["__typename"] == "IdempotencyKeyReusedError"
    assert other["differingPaths"] == ["description"]
    assert paid["payment"]["status"] == "CAPTURED"
    assert world.effects()[-1] == ("charge", 500)
    audited = await api.ask(
        'query { auditLog(filter: { action: "transfer.create" }) {'
        " nodes { actor subject { id } } } }"
    )
    assert audited["auditLog"]["nodes"][0]["subject"]["id"] == granted["transaction"]["id"]


async def test_more_store_credit_than_there_is_pays_nothing(api: Api, world: World) -> None:
    await grant(world, "ann", 300)
    wallet = await open_account(api, "customer:ann:wallet", "LIABILITY")

    refused = await answer(
        api,
        CREATE,
        amount={"decimal": "15.00", "currency": "EUR"},
        method={"token": "tok_success"},
        storeCredit={"accountId": wallet, "amount": {"decimal": "3.01", "currency": "EUR"}},
    )

    assert refused["__typename"] == "InsufficientFundsError"
    assert refused["available"]["decimal"] == "3.00"
    assert refused["account"]["path"] == "customer:ann:wallet"
    assert world.effects() == []


@pytest.mark.parametrize(
    ("change", "path", "code"),
    [
        ({"kind": "sale"}, ["input", "kind"], "BAD_KIND"),
        ({"legs": "unbalanced"}, ["input", "legs"], "UNBALANCED"),
        ({"legs": "currency"}, ["input", "legs", "0", "amount", "currency"], "CURRENCY_MISMATCH"),
    ],
)
async def test_a_transfer_that_makes_no_sense_is_refused(
    api: Api, change: dict[str, Any], path: list[str], code: str
) -> None:
    wallet = await open_account(api, "customer:ann:wallet", "LIABILITY")
    expense = await open_account(api, "expense:store_credit", "EXPENSE")
    good = legs(expense, wallet, "1.00")
    wrong = {
        "unbalanced": [good[0], legs(expense, wallet, "2.00")[1]],
        "currency": legs(expense, wallet, "1", "JPY"),
    }
    input = {"kind": "grant", "legs": good, **change}
    input["legs"] = wrong.get(str(input["legs"]), good)

    refused = await answer(api, TRANSFER, **input)

    assert refused["__typename"] == "ValidationError"
    assert refused["fields"][0]["path"] == path
    assert refused["fields"][0]["code"] == code
    assert await api.ask("query { transactions { nodes { id } } }") == {
        "transactions": {"nodes": []}
    }


async def test_a_transfer_cannot_overdraw_an_account(api: Api) -> None:
    wallet = await open_account(api, "customer:ann:wallet", "LIABILITY")
    sales = await open_account(api, "income:sales", "INCOME")

    refused = await answer(api, TRANSFER, kind="spend", legs=legs(wallet, sales, "0.01"))

    assert refused["__typename"] == "InsufficientFundsError"
    assert refused["available"]["decimal"] == "0.00"
    assert refused["account"]["path"] == "customer:ann:wallet"


async def test_accounts_open_by_the_chart_only(api: Api) -> None:
    unknown = await answer(api, ACCOUNT, path="made:up", kind="ASSET", currency="EUR")
    wrong = await answer(api, ACCOUNT, path="bank:main", kind="LIABILITY", currency="EUR")
    opened = await answer(api, ACCOUNT, path="bank:main", kind="ASSET", currency="EUR")
    once_more = await answer(api, ACCOUNT, path="bank:main", kind="ASSET", currency="EUR")

    assert unknown["fields"] == [{"path": ["input", "path"], "code": "UNKNOWN_ACCOUNT"}]
    assert wrong["fields"] == [{"path": ["input", "kind"], "code": "WRONG_KIND"}]
    assert opened["account"]["path"] == "bank:main"
    assert once_more["account"]["id"] == opened["account"]["id"]


REPLAY = """mutation ($ids: [ID!]!) { answer: inboundWebhookReplay(ids: $ids) {
  __typename ... on RequeuePayload { requeued } ... on NotFoundError { id } } }"""


async def a_webhook(world: World, event: str = "evt_1") -> str:
    rows = await world.rows(
        """INSERT INTO inbound_webhook (tenant_id, id, provider_account_id, provider_event_id, kind,
                                        payload, headers, body_sha256, correlation_id, status)
           VALUES ($1, $2, $3, $4, 'payment.captured', '{"a":[1]}', '{}', '', 'test', 'DEAD')
           RETURNING id""",
        world.tenant_id,
        new_id(),
        world.accounts[0],
        event,
    )
    return encode("whk", rows[0]["id"])


async def test_callbacks_are_replayed_all_or_none(api: Api, world: World) -> None:
    ids = [await a_webhook(world, f"evt_{n}") for n in range(2)]
    missing = encode("whk", new_id())
    status = "query { inboundWebhooks { nodes { status tries } } }"

    refused = (await api.ask(REPLAY, ids=[*ids, missing]))["answer"]
    untouched = (await api.ask(status))["inboundWebhooks"]["nodes"]
    done = (await api.ask(REPLAY, ids=[*ids, ids[0]]))["answer"]
    queued = (await api.ask(status))["inboundWebhooks"]["nodes"]

    assert refused == {"__typename": "NotFoundError", "id": missing}
    assert {each["status"] for each in untouched} == {"DEAD"}
    assert done == {"__typename": "RequeuePayload", "requeued": 2}
    assert {each["status"] for each in queued} == {"RECEIVED"}
    assert (await api.ask(REPLAY, ids=["rubbish"]))["answer"]["__typename"] == "NotFoundError"
    assert await api.refused(REPLAY, ids=[missing] * 101) == "BAD_PAGE_SIZE"


async def test_records_are_listed_and_filtered(api: Api, world: World) -> None:
    webhook = await a_webhook(world)
    document = """query ($filter: InboundWebhookFilter) { inboundWebhooks(filter: $filter) {
      nodes { id kind status tries error providerEventId payload provider { id }
              evidence { id } receivedAt processedAt } } }"""

    (found,) = (await api.ask(document))["inboundWebhooks"]["nodes"]
    assert (found["id"], found["payload"]) == (webhook, {"a": [1]})
    assert found["provider"]["id"] == encode("prv", world.accounts[0])
    for filter, count in (
        ({"status": ["DEAD"]}, 1),
        ({"status": ["PROCESSED"]}, 0),
        ({"provider": [encode("prv", world.accounts[0])]}, 1),
        ({"provider": [encode("prv", world.accounts[1])]}, 0),
        ({"provider": []}, 0),
        ({"providerEventId": "evt_1"}, 1),
        ({"providerEventId": "evt_2"}, 0),
        ({"receivedAt": {"lt": "2020-01-01T00:00:00Z"}}, 0),
    ):
        nodes = (await api.ask(document, filter=filter))["inboundWebhooks"]["nodes"]
        assert len(nodes) == count, filter


async def test_providers_show_what_they_can_do_and_how_they_are(api: Api, world: World) -> None:
    await world.rows(
        """INSERT INTO provider_health (tenant_id, provider_account_id, kind, state, since)
           VALUES ($1, $2, 'SALE', 'OPEN', clock_timestamp()),
                  ($1, $2, 'REFUND', 'CLOSED', clock_timestamp()) RETURNING 1""",
        world.tenant_id,
        world.accounts[0],
    )
    document = """query { providers { id name adapter adapterVersion live enabled capabilities
      methods countries limits { currency min { decimal } max { decimal } } webhookUrl version
      health { level unknownOutcomes breakers { operation state since nextProbeAt reason } } } }"""

    first, second = (await api.ask(document))["providers"]

    assert first["adapter"] == "simulator"
    assert {"SALE", "REFUND"} <= set(first["capabilities"])
    assert first["webhookUrl"] == f"https://pay.test/webhooks/{first['id']}"
    assert first["health"]["level"] == "DEGRADED"
    assert [each["state"] for each in first["health"]["breakers"]] == ["CLOSED", "OPEN"]
    assert second["health"]["level"] == "HEALTHY"
    one = await api.ask(
        "query ($id: ID!) { provider(id: $id) { name } }", id=encode("prv", world.accounts[1])
    )
    assert one["provider"]["name"] == second["name"]


async def test_a_viewer_sees_itself(api: Api) -> None:
    document = "query { viewer { tenantId keyId live scopes apiVersion } }"

    seen = (await api.by(scopes=frozenset({"ADMIN"})).ask(document))["viewer"]

    assert seen["tenantId"].startswith("ten_")
    assert seen["scopes"] == ["ADMIN"]
    assert api.caller.key_id is not None
    assert seen["keyId"] == encode("key", api.caller.key_id)


async def test_discrepancies_are_listed_with_their_age(api: Api, world: World) -> None:
    payment = await world.pay()
    await world.rows(
        """INSERT INTO discrepancy (tenant_id, id, kind, subject_key, payment_id, expected, actual,
                                    currency, note, created_at)
           VALUES ($1, $2, 'AMOUNT_MISMATCH', 'x', $3, 100, 90, 'EUR', 'ten less',
                   clock_timestamp() - INTERVAL '5 hours') RETURNING id""",
        world.tenant_id,
        new_id(),
        payment,
    )
    document = """query ($filter: DiscrepancyFilter) { discrepancies(filter: $filter) { nodes {
      kind status ageHours note expected { decimal } actual { decimal } payment { id } refund { id }
      createdAt resolvedAt providerRef } } }"""

    (found,) = (await api.ask(document))["discrepancies"]["nodes"]
    assert found["payment"]["id"] == encode("pay", payment)
    assert (found["expected"]["decimal"], found["actual"]["decimal"]) == ("1.00", "0.90")
    assert 4.9 < found["ageHours"] < 5.2
    for filter, count in (
        ({"kind": ["AMOUNT_MISMATCH"]}, 1),
        ({"kind": ["ORPHAN_WEBHOOK"]}, 0),
        ({"status": ["OPEN"]}, 1),
        ({"status": ["RESOLVED_AUTO"]}, 0),
        ({"olderThanHours": 4}, 1),
        ({"olderThanHours": 6}, 0),
        ({"provider": [encode("prv", world.accounts[0])]}, 0),
    ):
        nodes = (await api.ask(document, filter=filter))["discrepancies"]["nodes"]
        assert len(nodes) == count, filter
    assert await api.refused(document, filter={"olderThanHours": -1}) == "VALIDATION"
    assert await api.refused(document, filter={"provider": ["x"]}) == "VALIDATION"
