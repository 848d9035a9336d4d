"""What no table thinks of: card numbers in every place, and two thousand made-up bodies."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api import bad_values as bad
from tests.api import inputs
from tests.api.gateway import FULL, STOREFRONT, Json, Shop, assert_typed
from tests.api.sending import mutate, post

pytestmark = pytest.mark.timeout(120)
SETTINGS = {"COUNTERFOIL_LOG_LEVEL": "debug"}
BODIES_MIN = 600
CARD_NUMBERS = 80


def with_everywhere(mutation: str, right: Json, number: str) -> tuple[Json, set[str]]:
    """The input with a card number in every text, and the labels of those fields."""
    input, labels = right, set()
    for field in inputs.fields(mutation):
        if "card number" in field.bad and field.way[-1] not in inputs.ALTERNATIVES:
            value = f"https://shop.example/{number}" if field.way[-1] == "returnUrl" else number
            input = inputs.changed(input, field.way, value)
            labels.add(field.label)
    return input, labels


def test_card_numbers_are_refused_everywhere_and_leave_no_trace(
    shop: Shop, right: dict[str, Json]
) -> None:
    numbers = bad.card_numbers(CARD_NUMBERS)
    before = shop.gateway.state()

    for number in numbers:
        for mutation in inputs.RIGHT:
            input, labels = with_everywhere(mutation, right[mutation], number)
            answer = mutate(shop, mutation, input)
            assert_typed(answer)
            assert number not in answer.text
            result = answer.json()["data"][mutation]
            assert result["__typename"] == "ValidationError", f"{mutation}: {answer.text}"
            named = {".".join(problem["path"][1:]) for problem in result["fields"]}
            assert named & labels, f"{mutation}: {answer.text}"
    for number in numbers[::8]:
        for answer in unusual_places(shop, number):
            assert_typed(answer)
            assert number not in answer.text

    assert shop.gateway.state() == before
    assert_no_trace(shop, numbers)


@pytest.mark.parametrize("mutation", inputs.RIGHT)
def test_a_card_number_in_one_field_is_refused_in_the_name_of_that_field(
    mutation: str, shop: Shop, right: dict[str, Json]
) -> None:
    numbers = iter(bad.card_numbers(CARD_NUMBERS, seed=2))
    before = shop.gateway.state()

    for field in inputs.fields(mutation):
        if "card number" not in field.bad:
            continue
        for text in texts_with(next(numbers), str(field.way[-1])):
            answer = mutate(shop, mutation, inputs.changed(right[mutation], field.way, text))
            assert not assert_typed(answer)
            result = answer.json()["data"][mutation]
            assert result["__typename"] == "ValidationError", f"{field.label}: {answer.text}"
            assert ".".join(result["fields"][0]["path"]) == f"input.{field.label}", answer.text

    assert shop.gateway.state() == before
    assert_no_trace(shop, bad.card_numbers(CARD_NUMBERS, seed=2))


def texts_with(number: str, field: str) -> list[str]:
    """Texts that a field of this name would take, were it not for the card number."""
    in_url, spaced = f"https://shop.example/{number}", " ".join(number)
    if field == "returnUrl":
        return [in_url]
    if field == "idempotencyKey":
        return [number, in_url]
    return [number, f"paid by {number}!", spaced]


def assert_no_trace(shop: Shop, numbers: list[str]) -> None:
    """Neither in the database nor in the log."""
    trail = shop.gateway.dump() + shop.gateway.log()
    assert trail.count("provider_call") > 0, "the trail is being read"
    assert [number for number in numbers if number in trail] == []


def unusual_places(shop: Shop, number: str) -> Iterator[httpx.Response]:
    """Where a card number may stand in a request, besides inputs."""
    yield shop.send(f'{{ payment(id: "{number}") {{ id }} }}')
    yield shop.send(f"{{ card{number} }}")
    yield shop.send(
        "query($id: ID!) { node(id: $id) { id } }", {"id": number}, x_correlation_id=number
    )
    yield shop.send(
        "query($r: String!) { paymentByReference(reference: $r) { id } }", {"r": number}
    )
    yield post(shop, f'{{"query": "{{ viewer {{ tenantId }} }}", "{number}": 1, }}'.encode())


@settings(
    max_examples=BODIES_MIN,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def throw_bodies(shop: Shop, right: dict[str, Json], data: st.DataObject) -> None:
    """One made-up request. What it is made of is wrong in at least one place."""
    mutation = data.draw(st.sampled_from(sorted(right)))
    input = {**right[mutation], "idempotencyKey": "k" * 7}  # never right, so nothing is carried out
    kind = data.draw(st.sampled_from(["field", "bytes", "body", "raw"]))
    whole: Any = {"query": inputs.document_of(mutation), "variables": {"input": input}}
    match kind:
        case "field":
            name = data.draw(st.sampled_from(sorted(input)))
            if name != "idempotencyKey":
                whole["variables"]["input"] = {**input, name: data.draw(VALUES)}
        case "body":
            whole[data.draw(st.sampled_from(["query", "variables", "operationName", "x"]))] = (
                data.draw(VALUES)
            )
        case "bytes":
            body = bytearray(json.dumps(whole).encode())
            for _ in range(data.draw(st.integers(1, 5))):
                body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
            check(shop, bytes(body), data)
            return
        case _:
            check(shop, data.draw(st.binary(max_size=300)), data)
            return
    check(shop, json.dumps(whole).encode(), data)


def check(shop: Shop, body: bytes, data: st.DataObject) -> None:
    answer = post(shop, body, data.draw(st.sampled_from([FULL, STOREFRONT])))
    errors = assert_typed(answer, body)
    if not errors:
        results = answer.json()["data"].values()
        assert all(result["__typename"] != "PaymentPayload" for result in results), answer.text


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(), max_size=30)
    | st.sampled_from(["\x00", "\ud800", "1e3", "1_000", "9" * 30, "tok_success", "__proto__"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=10)
            | st.sampled_from(
                ["amountMinor", "decimal", "currency", "token", "accountId", "amount"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


def test_no_made_up_body_is_our_fault_or_writes_anything(
    shop: Shop, right: dict[str, Json]
) -> None:
    before = shop.gateway.state()

    throw_bodies(shop, right)

    assert shop.gateway.state() == before
