"""Payments through the API: made, read, paged, replayed."""

import base64

import orjson

from core.identifiers import encode, new_id
from tests.payments.world import World, a_key
from tests.resolvers.asking import Api

PAY = """
mutation Pay($input: PaymentCreateInput!) {
  paymentCreate(input: $input) {
    __typename
    ... on PaymentPayload {
      replayed
      payment {
        id status version reference captureMode customerId clientSecret allowedActions
        amount { amountMinor currency exponent decimal formatted(locale: "de-DE") }
        amountAuthorized { decimal } amountCapturable { decimal } amountCaptured { decimal }
        amountRefundable { decimal } amountRefunded { decimal } amountDisputed { decimal }
        fees { decimal } net { decimal }
        method { type fingerprint }
        metadata { key value }
        lastDecline {
          kind code customerMessage(locale: "de") providerCode retryableWithSameMethod
        }
        nextAction { kind url fields { key value } expiresAt }
        attempts {
          id number status createdAt
          provider { id name }
          routing { strategy decidedAt candidates { provider { name } rank verdict reason } }
          operations {
            id kind status providerRef amount { decimal } fee { decimal }
            idempotencyKey sentAt completedAt latencyMs nextResolutionAt resolutionTries
            evidence { id source says amount { decimal } applied receivedAt occurredAt }
            transcript
          }
        }
        transactions {
          nodes {
            id kind hash postedAt
            payment { id }
            entries {
              direction layer amount { decimal } account { path } runningBalance { decimal }
            }
          }
        }
      }
    }
    ... on Error { code message retryable correlationId }
    ... on ValidationError { fields { path code message } }
    ... on NotFoundError { id }
  }
}
"""


def an_input(token: str | None = "tok_success", decimal: str = "49.90", **more: object) -> object:
    return {
        "idempotencyKey": a_key(),
        "amount": {"decimal": decimal, "currency": "EUR"},
        **({"method": {"token": token}} if token else {}),
        **more,
    }


async def test_a_payment_is_shown_with_everything_that_happened(api: Api, world: World) -> None:
    input = an_input(
        reference="order 1", customerId="c-1", metadata=[{"key": "colour", "value": "grün"}]
    )

    answer = (await api.ask(PAY, input=input))["paymentCreate"]

    assert answer["__typename"] == "PaymentPayload"
    assert answer["replayed"] is False
    payment = answer["payment"]
    assert payment["status"] == "CAPTURED"
    assert payment["amount"] == {
        "amountMinor": "4990",
        "currency": "EUR",
        "exponent": 2,
        "decimal": "49.90",
        "formatted": "49,90\xa0€",
    }
    assert payment["amountCaptured"]["decimal"] == "49.90"
    assert payment["amountRefundable"]["decimal"] == "49.90"
    assert payment["amountCapturable"]["decimal"] == "0.00"
    assert payment["fees"]["decimal"] == "1.75"
    assert payment["net"]["decimal"] == "48.15"
    assert payment["metadata"] == [{"key": "colour", "value": "grün"}]
    assert payment["allowedActions"] == ["REFUND"]
    assert payment["lastDecline"] is None
    (attempt,) = payment["attempts"]
    assert attempt["status"] == "CAPTURED"
    assert attempt["routing"]["strategy"] == "PRIORITY"
    assert [line["verdict"] for line in attempt["routing"]["candidates"]] == ["CHOSEN", "FALLBACK"]
    (operation,) = attempt["operations"]
    assert (operation["kind"], operation["status"]) == ("SALE", "SUCCEEDED")
    assert operation["evidence"][-1]["says"] == "SUCCEEDED"
    assert operation["evidence"][-1]["applied"] is True
    kinds = {node["kind"] for node in payment["transactions"]["nodes"]}
    assert {"sale", "psp_fee"} <= kinds
    for transaction in payment["transactions"]["nodes"]:
        assert transaction["payment"]["id"] == payment["id"]
        assert len(transaction["hash"]) == 64
    await world.check()


async def test_the_same_key_answers_with_the_same_payment(api: Api, world: World) -> None:
    input = an_input()

    first = (await api.ask(PAY, input=input))["paymentCreate"]
    again = (await api.ask(PAY, input=input))["paymentCreate"]

    assert again["payment"]["id"] == first["payment"]["id"]
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert len(world.effects()) == 1


async def test_the_same_key_with_another_input_is_refused_by_name(api: Api) -> None:
    input = {**an_input(), "reference": "a"}  # type: ignore[dict-item] # a JSON object
    await api.ask(PAY, input=input)

    answer = (await api.ask(PAY, input={**input, "reference": "b"}))["paymentCreate"]

    assert answer["__typename"] == "IdempotencyKeyReusedError"
    assert answer["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert answer["correlationId"] == "req-test"


async def test_a_decline_is_a_payment_not_an_error(api: Api) -> None:
    answer = (await api.ask(PAY, input=an_input("tok_decline_insufficient_funds")))["paymentCreate"]

    payment = answer["payment"]
    assert payment["status"] == "REQUIRES_PAYMENT_METHOD"
    assert payment["lastDecline"]["kind"] == "INSUFFICIENT_FUNDS"
    assert payment["lastDecline"]["retryableWithSameMethod"] is True
    assert "Konto" in payment["lastDecline"]["customerMessage"]
    assert payment["allowedActions"] == ["CONFIRM", "CANCEL"]


async def test_a_card_number_is_refused_and_nothing_is_written(api: Api, world: World) -> None:
    for field in ("reference", "customerId", "statementDescriptor"):
        answer = await api.ask(PAY, input=an_input(**{field: "4242 4242 4242 4242"}))
        problem = answer["paymentCreate"]
        assert problem["__typename"] == "ValidationError"
        assert problem["fields"][0]["path"] == ["input", field]
        assert problem["fields"][0]["code"] == "CARD_NUMBER"

    assert await world.rows("SELECT 1 FROM payment WHERE tenant_id = $1", world.tenant_id) == []
    assert world.effects() == []


async def test_an_account_that_does_not_exist_is_not_found(api: Api) -> None:
    missing = encode("acc", new_id())

    answer = (await api.ask(PAY, input=an_input(merchantAccountId=missing)))["paymentCreate"]

    assert (answer["__typename"], answer["id"]) == ("NotFoundError", missing)


LIST = """
query List($first: Int, $after: String, $last: Int, $before: String,
           $filter: PaymentFilter, $sort: PaymentSort) {
  payments(first: $first, after: $after, last: $last, before: $before,
           filter: $filter, sort: $sort) {
    nodes { id }
    edges { cursor node { id } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    totalCount
  }
}
"""


async def test_pages_follow_each_other_in_both_directions(api: Api, world: World) -> None:
    made = [encode("pay", await world.pay(None, reference=f"r{n}")) for n in range(5)]
    newest_first = made[::-1]

    page = (await api.ask(LIST, first=2))["payments"]
    after = page["pageInfo"]["endCursor"]
    following = (await api.ask(LIST, first=2, after=after))["payments"]
    end = (await api.ask(LIST, first=2, after=following["pageInfo"]["endCursor"]))["payments"]
    before = following["pageInfo"]["startCursor"]
    back = (await api.ask(LIST, last=2, before=before))["payments"]

    seen = [node["id"] for part in (page, following, end) for node in part["nodes"]]
    assert seen == newest_first
    assert back["nodes"] == page["nodes"]
    assert [page["pageInfo"][k] for k in ("hasNextPage", "hasPreviousPage")] == [True, False]
    assert [following["pageInfo"][k] for k in ("hasNextPage", "hasPreviousPage")] == [True, True]
    assert [end["pageInfo"][k] for k in ("hasNextPage", "hasPreviousPage")] == [False, True]
    assert [back["pageInfo"][k] for k in ("hasNextPage", "hasPreviousPage")] == [True, False]
    assert page["totalCount"] == 5
    assert [edge["node"]["id"] for edge in page["edges"]] == newest_first[:2]


async def test_filters_find_exactly_what_they_say(api: Api, world: World) -> None:
    card = encode("pay", await world.pay("tok_success", 1000, reference="a", customer_id="c"))
    lost = encode("pay", await world.pay("tok_timeout_after", 2000, metadata={"k": "v"}))
    operation = await world.operation(
        (
            await world.rows(
                "SELECT id FROM payment WHERE tenant_id = $1 AND reference = 'a'", world.tenant_id
            )
        )[0]["id"]
    )
    first_account = encode("prv", world.accounts[0])

    async def found(**filter: object) -> set[str]:
        nodes = (await api.ask(LIST, filter=filter))["payments"]["nodes"]
        return {node["id"] for node in nodes}

    assert await found() == {card, lost}
    assert await found(status=["CAPTURED"]) == {card}
    assert await found(status=["CAPTURED", "PROCESSING"]) == {card, lost}
    assert await found(reference="a") == {card}
    assert await found(customerId="c") == {card}
    assert await found(customerId="C") == set()
    assert await found(metadata=[{"key": "k", "value": "v"}]) == {lost}
    assert await found(metadata=[{"key": "k", "value": "x"}]) == set()
    assert await found(hasUnknownOperation=True) == {lost}
    assert await found(hasUnknownOperation=False) == {card}
    assert await found(providerRef=operation.provider_ref) == {card}
    assert await found(provider=[first_account]) == {card, lost}
    assert await found(provider=[encode("prv", new_id())]) == set()
    assert await found(amount={"currency": "EUR", "gte": "1001"}) == {lost}
    assert await found(amount={"currency": "EUR", "lte": 1000}) == {card}
    assert await found(amount={"currency": "USD", "gte": 0}) == set()
    assert await found(createdAt={"lt": "2020-01-01T00:00:00Z"}) == set()
    assert await found(updatedAt={"gte": "2020-01-01T00:00:00Z"}) == {card, lost}


async def test_payments_are_sorted_as_asked(api: Api, world: World) -> None:
    amounts = [300, 100, 200]
    made = {n: encode("pay", await world.pay(None, n)) for n in amounts}

    async def order(key: str, direction: str) -> list[str]:
        seen: list[str] = []
        after = None
        while True:
            sort = {"key": key, "direction": direction}
            page = (await api.ask(LIST, first=1, after=after, sort=sort))["payments"]
            seen += [node["id"] for node in page["nodes"]]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                return seen

    assert await order("AMOUNT", "ASC") == [made[n] for n in (100, 200, 300)]
    assert await order("AMOUNT", "DESC") == [made[n] for n in (300, 200, 100)]
    assert await order("CREATED_AT", "ASC") == [made[n] for n in amounts]


async def test_a_bad_cursor_or_page_size_is_refused(api: Api, world: World) -> None:
    await world.pay(None)
    cursor = (await api.ask(LIST, sort={"key": "AMOUNT"}))["payments"]["pageInfo"]["endCursor"]

    for bad in ("", "x", "AAAA", "=", "☃", cursor[:-3], cursor * 40, "W10", "bnVsbA", "WzFd"):
        if bad:
            assert await api.refused(LIST, after=bad) == "BAD_CURSOR"
    assert await api.refused(LIST, after=cursor) == "BAD_CURSOR"
    by_update = (await api.ask(LIST, sort={"key": "UPDATED_AT"}))["payments"]
    assert await api.refused(LIST, after=by_update["pageInfo"]["endCursor"]) == "BAD_CURSOR"
    name, _, id = orjson.loads(base64.urlsafe_b64decode(by_update["pageInfo"]["endCursor"] + "=="))
    for time in ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2026-01-01T00:00:00"):
        forged = base64.urlsafe_b64encode(orjson.dumps([name, time, id])).decode().rstrip("=")
        found = await api.refused(LIST, after=forged, sort={"key": "UPDATED_AT"})
        assert found == "BAD_CURSOR", time
    for size in (-1, 101, 2**31 - 1):
        assert await api.refused(LIST, first=size) == "BAD_PAGE_SIZE"
        assert await api.refused(LIST, last=size) == "BAD_PAGE_SIZE"


async def test_a_key_answers_whether_a_timed_out_call_worked(api: Api) -> None:
    input = an_input()
    key = input["idempotencyKey"]  # type: ignore[index] # a JSON object
    made = (await api.ask(PAY, input=input))["paymentCreate"]["payment"]
    document = """query ($mutation: String!, $key: IdempotencyKey!) {
      operationByIdempotencyKey(mutation: $mutation, key: $key) {
        key mutation state firstSeenAt resource { id ... on Payment { status } }
      }
    }"""

    found = await api.ask(document, mutation="paymentCreate", key=key)
    other = await api.ask(document, mutation="refundCreate", key=key)

    assert found["operationByIdempotencyKey"]["state"] == "COMPLETED"
    assert found["operationByIdempotencyKey"]["resource"]["id"] == made["id"]
    assert other["operationByIdempotencyKey"] is None
