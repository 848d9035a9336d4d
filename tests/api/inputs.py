"""A right input of each mutation, and the ways into it: read from the schema, field by field."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    is_non_null_type,
)

from core.identifiers import encode
from schema import build
from tests.api import bad_values as bad
from tests.api.gateway import MUTATIONS, Json, Shop, a_key

SCHEMA: Final = build()[0]._schema
Step = str | int
Way = tuple[Step, ...]
"""From the input to one of its fields: ("splits", 0, "amount")."""

EUR_10: Final = {"amountMinor": "1000", "currency": "EUR"}


def _create(shop: Shop) -> Json:
    """With every field filled in."""
    income = shop.account_id("income:sales")
    return {
        "amount": EUR_10,
        "reference": f"order-{a_key()}",
        "method": {"token": "tok_success"},
        "captureMode": "AUTOMATIC",
        "confirm": True,
        "returnUrl": "https://shop.example/thanks",
        "customerId": "customer-1",
        "merchantAccountId": income,
        "splits": [{"accountId": income, "amount": {"amountMinor": "100", "currency": "EUR"}}],
        "storeCredit": {
            "accountId": shop.grant(f"customer:{shop.name}:wallet", 1000),
            "amount": {"amountMinor": "200", "currency": "EUR"},
        },
        "routing": {
            "provider": encode("prv", shop.accounts[0].id),
            "excludeProviders": [encode("prv", shop.accounts[1].id)],
            "allowFailover": False,
        },
        "statementDescriptor": "SHOP 1",
        "metadata": [{"key": "cart", "value": "17"}],
        "saveMethod": True,
    }


def _confirm(shop: Shop) -> Json:
    prepared = shop.pay(confirm=False, customerId="customer-1")
    return {
        "paymentId": prepared["id"],
        "method": {"token": "tok_success"},
        "returnUrl": "https://shop.example/thanks",
        "saveMethod": False,
    }


def _forget(shop: Shop) -> Json:
    return {"id": shop.keep("customer-1")}


def _capture(shop: Shop) -> Json:
    authorized = shop.pay(captureMode="MANUAL")
    return {
        "paymentId": authorized["id"],
        "amount": EUR_10,
        "final": True,
        "expectedVersion": authorized["version"],
    }


def _cancel(shop: Shop) -> Json:
    authorized = shop.pay(captureMode="MANUAL")
    return {
        "paymentId": authorized["id"],
        "reason": "out of stock",
        "expectedVersion": authorized["version"],
    }


def _refund(shop: Shop) -> Json:
    return {
        "paymentId": shop.pay()["id"],
        "amount": EUR_10,
        "reason": "REQUESTED_BY_CUSTOMER",
        "note": "broken",
        "metadata": [{"key": "case", "value": "9"}],
    }


def _resolve(shop: Shop) -> Json:
    operation_id, reference = shop.riddle()
    return {
        "operationId": operation_id,
        "outcome": "SUCCEEDED",
        "providerRef": reference,
        "evidenceNote": "seen in the dashboard",
    }


def _account(shop: Shop) -> Json:
    return {"path": f"customer:{a_key()}:wallet", "kind": "LIABILITY", "currency": "EUR"}


def _transfer(shop: Shop) -> Json:
    wallet = shop.grant(f"customer:{shop.name}:wallet", 1000)
    expense = shop.account_id("expense:store_credit")
    return {
        "kind": "store_credit_grant",
        "legs": [
            {"accountId": expense, "direction": "DEBIT", "amount": EUR_10},
            {"accountId": wallet, "direction": "CREDIT", "amount": EUR_10},
        ],
        "description": "sorry for the wait",
        "metadata": [{"key": "case", "value": "9"}],
    }


RIGHT: Final[Mapping[str, Callable[[Shop], Json]]] = {
    "paymentCreate": _create,
    "paymentConfirm": _confirm,
    "savedMethodRemove": _forget,
    "paymentCapture": _capture,
    "paymentCancel": _cancel,
    "refundCreate": _refund,
    "operationResolve": _resolve,
    "accountCreate": _account,
    "transferCreate": _transfer,
}
"""By mutation with an input object: one input that would be carried out."""

BARE: Final[Mapping[str, tuple[str, str]]] = {
    "paymentSync": ("pay", "mutation($id: ID!) { paymentSync(paymentId: $id) { __typename } }"),
    "inboundWebhookReplay": (
        "whk",
        "mutation($id: [ID!]!) { inboundWebhookReplay(ids: $id) { __typename } }",
    ),
}
"""Mutations that take ids and nothing else: the kind of id, and a document."""

KEYLESS: Final = {"customerTokenCreate"}
"""Mutations that make nothing that could be made twice: tests/api/test_customers.py has them."""

IDS: Final = {
    "paymentId": "pay",
    "merchantAccountId": "acc",
    "accountId": "acc",
    "operationId": "op",
    "savedMethodId": "sm",
    "id": "sm",
    "provider": "prv",
    "excludeProviders": "prv",
}
ALTERNATIVES: Final = {"savedMethodId"}
"""Fields that stand in an input instead of its others."""
LISTS_MAX: Final = {"splits": 50, "metadata": 50, "legs": 50}


def mutations() -> Mapping[str, GraphQLField]:
    """Root fields by name."""
    assert SCHEMA.mutation_type is not None
    found: Mapping[str, GraphQLField] = SCHEMA.mutation_type.fields
    return found


def input_type(mutation: str) -> GraphQLInputObjectType:
    found: GraphQLInputObjectType = _unwrapped(mutations()[mutation].args["input"].type)
    return found


def _unwrapped(type: Any) -> Any:
    while isinstance(type, GraphQLNonNull | GraphQLList):
        type = type.of_type
    return type


@dataclass(frozen=True)
class Field:
    """One field of an input and what it must refuse."""

    way: Way
    bad: Mapping[str, Any]

    @property
    def label(self) -> str:
        return ".".join(map(str, self.way))


def fields(mutation: str) -> Iterator[Field]:
    """Every field of the input, however deep; the first member of each list."""
    yield from _fields_of(input_type(mutation), ())


def _fields_of(type: GraphQLInputObjectType, way: Way) -> Iterator[Field]:
    for name, field in type.fields.items():
        inner, here = _unwrapped(field.type), (*way, name)
        if _is_list(field.type):
            yield Field(here, _bad_lists(name, inner))
            here = (*here, 0)
        if inner.name == "MoneyInput":
            yield Field(here, bad.AMOUNTS)
        elif isinstance(inner, GraphQLInputObjectType):
            yield from _fields_of(inner, here)
        else:
            yield Field(here, _bad_leaves(name, inner, way, nullable=not _required(field.type)))


def _required(type: Any) -> bool:
    return bool(is_non_null_type(type))


def _is_list(type: Any) -> bool:
    return isinstance(type.of_type if _required(type) else type, GraphQLList)


def _bad_lists(name: str, inner: Any) -> Mapping[str, Any]:
    found = bad.lists(_a_member(name, inner), LISTS_MAX.get(name, 10_000))
    if name not in LISTS_MAX:
        del found["too many"]
    if name in IDS:
        del found["list inside"]  # a list of ids inside is refused as a malformed one anyway
    return found


def _a_member(name: str, inner: Any) -> Any:
    if name == "metadata":
        return {"key": "k", "value": "v"}
    return {} if isinstance(inner, GraphQLInputObjectType) else "x"


def _bad_leaves(name: str, inner: Any, way: Way, *, nullable: bool) -> Mapping[str, Any]:
    found: dict[str, Any]
    if isinstance(inner, GraphQLEnumType):
        found = dict(bad.ENUMS)
    elif inner.name == "ID":
        found = bad.ids(IDS[name])
    else:
        found = dict(_BY_SCALAR[inner.name])
    if nullable:
        found.pop("null", None)
    if way[-2:-1] == ("metadata",) and name == "value":
        del found["empty"]  # a metadata value may be empty
    return found


_BY_SCALAR: Final[Mapping[str, Mapping[str, Any]]] = {
    "String": bad.TEXTS,
    "Boolean": bad.BOOLEANS,
    "Int": bad.INTEGERS,
    "IdempotencyKey": bad.KEYS,
    "Url": bad.URLS,
    "CurrencyCode": bad.CURRENCIES,
}


def changed(input: Any, way: Way, value: Any) -> Any:
    """A copy of the input with one field replaced."""
    if not way:
        return value
    step, rest = way[0], way[1:]
    if step in ALTERNATIVES:
        return {str(step): value}
    if isinstance(input, list):
        assert isinstance(step, int)
        return [*input[:step], changed(input[step], rest, value), *input[step + 1 :]]
    return {**input, str(step): changed(input.get(str(step)), rest, value)}


def document_of(mutation: str) -> str:
    return MUTATIONS[mutation]
