"""Two tenants on one gateway: what is somebody else's is the same as what does not exist."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import httpx
import psycopg
import pytest

from core.identifiers import encode, new_id
from tests.api.gateway import Gateway, Shop, a_key, assert_typed

pytestmark = pytest.mark.timeout(120)

EVERYTHING: Final = """query($customer: String!) {
  payments(first: 1) { nodes { id attempts { id operations { id } }
    refunds(first: 1) { nodes { id } } transactions(first: 1) { nodes { id entries { id } } } } }
  account(path: "income:sales") { id }
  holds(first: 1) { nodes { id } }
  providers { id }
  inboundWebhooks(first: 1) { nodes { id } }
  discrepancies(first: 1) { nodes { id } }
  auditLog(first: 1) { nodes { id } }
  savedMethods(customerId: $customer) { nodes { id } }
}"""


@dataclass(frozen=True)
class Owned:
    """A shop and one id of each kind of thing it has, by prefix."""

    shop: Shop
    ids: dict[str, str]
    client_secret: str
    reference: str
    key: str


def _owner(gateway: Gateway, name: str) -> Owned:
    shop = gateway.shop()
    key, reference = a_key(), f"order-of-{name}"
    shop.pay(captureMode="MANUAL")
    shop.keep(reference)
    paid = shop.pay(reference=reference, idempotencyKey=key)
    shop.do("refundCreate", paymentId=paid["id"])
    _add_discrepancy(shop, paid["id"])
    gateway.settle()
    found = shop.ask(EVERYTHING, customer=reference)
    payment = found["payments"]["nodes"][0]
    transaction = payment["transactions"]["nodes"][0]
    ids = {
        "pay": payment["id"],
        "att": payment["attempts"][0]["id"],
        "op": payment["attempts"][0]["operations"][0]["id"],
        "ref": payment["refunds"]["nodes"][0]["id"],
        "txn": transaction["id"],
        "ent": transaction["entries"][0]["id"],
        "acc": found["account"]["id"],
        "prv": found["providers"][0]["id"],
    }
    for prefix, root in [
        ("hld", "holds"),
        ("whk", "inboundWebhooks"),
        ("dis", "discrepancies"),
        ("aud", "auditLog"),
        ("sm", "savedMethods"),
    ]:
        ids[prefix] = found[root]["nodes"][0]["id"]
    assert payment["id"] == paid["id"]
    return Owned(shop, ids, paid["clientSecret"], reference, key)


def _add_discrepancy(shop: Shop, payment_id: str) -> None:
    async def work(tx: Any) -> None:
        await tx.execute(
            """INSERT INTO discrepancy (tenant_id, id, kind, note, subject_key)
               VALUES ($1, $2, 'ORPHAN_WEBHOOK', 'for the test', $3)""",
            shop.tenant_id,
            new_id(),
            payment_id,
        )

    shop.inside(work)


@pytest.fixture(scope="module")
def mine(gateway: Gateway) -> Owned:
    return _owner(gateway, "mine")


@pytest.fixture(scope="module")
def theirs(gateway: Gateway) -> Owned:
    return _owner(gateway, "theirs")


@dataclass(frozen=True)
class Question:
    """A request about one thing; `prefix` says what kind of thing `$id` names."""

    label: str
    prefix: str
    document: str

    def ask(self, shop: Shop, id: str) -> httpx.Response:
        return shop.send(self.document, {"id": id, "ids": [id], "key": a_key()})


def _reads() -> Iterator[Question]:
    for root, prefix in [
        ("payment", "pay"),
        ("refund", "ref"),
        ("account", "acc"),
        ("transaction", "txn"),
        ("provider", "prv"),
    ]:
        yield Question(root, prefix, f"query($id: ID!) {{ {root}(id: $id) {{ id }} }}")
    for prefix in (
        "pay",
        "att",
        "op",
        "ref",
        "sm",
        "acc",
        "txn",
        "ent",
        "hld",
        "prv",
        "whk",
        "dis",
        "aud",
    ):
        yield Question(f"node-{prefix}", prefix, "query($id: ID!) { node(id: $id) { id } }")
        yield Question(f"nodes-{prefix}", prefix, "query($ids: [ID!]!) { nodes(ids: $ids) { id } }")
    for root, prefix, condition in [
        ("payments", "prv", "provider: [$id]"),
        ("accounts", "acc", "ids: [$id]"),
        ("transactions", "acc", "accountId: $id"),
        ("transactions", "pay", "paymentId: $id"),
        ("inboundWebhooks", "prv", "provider: [$id]"),
        ("discrepancies", "prv", "provider: [$id]"),
        ("auditLog", "key", "subjectId: $id"),
    ]:
        document = f"query($id: ID!) {{ {root}(filter: {{{condition}}}) {{ nodes {{ id }} }} }}"
        yield Question(f"{root}-{prefix}", prefix, document)


PROBLEM: Final = "__typename ... on Error { code message retryable correlationId }"
MONEY: Final = '{amountMinor: "1", currency: "EUR"}'


def _writes() -> Iterator[Question]:
    for name, type, fields in [
        ("paymentConfirm", "PaymentConfirmInput", 'paymentId: $id, method: {token: "tok_success"}'),
        ("paymentCapture", "PaymentCaptureInput", "paymentId: $id"),
        ("paymentCancel", "PaymentCancelInput", "paymentId: $id"),
        ("refundCreate", "RefundCreateInput", f"paymentId: $id, amount: {MONEY}"),
    ]:
        document = (
            f"mutation($id: ID!, $key: IdempotencyKey!) {{ {name}(input:"
            f" {{idempotencyKey: $key, {fields}}}) {{ {PROBLEM} ... on NotFoundError {{ id }} }} }}"
        )
        yield Question(f"{name}-{type}", "pay", document)
    for label, prefix, fields in [
        ("merchant", "acc", "merchantAccountId: $id"),
        ("split", "acc", f"splits: [{{accountId: $id, amount: {MONEY}}}]"),
        ("credit", "acc", f"storeCredit: {{accountId: $id, amount: {MONEY}}}"),
        ("provider", "prv", "routing: {provider: $id}"),
    ]:
        document = (
            "mutation($id: ID!, $key: IdempotencyKey!) { paymentCreate(input: {idempotencyKey:"
            f' $key, amount: {MONEY}, method: {{token: "tok_success"}}, confirm: true, {fields}}})'
            f" {{ {PROBLEM} ... on NotFoundError {{ id }} }} }}"
        )
        yield Question(f"paymentCreate-{label}", prefix, document)
    saved = (
        "mutation($id: ID!, $key: IdempotencyKey!) { paymentCreate(input: {idempotencyKey: $key,"
        f' amount: {MONEY}, customerId: "order-of-theirs", method: {{savedMethodId: $id}}}})'
        f" {{ {PROBLEM} ... on NotFoundError {{ id }} }} }}"
    )
    yield Question("paymentCreate-saved", "sm", saved)
    remove = (
        "mutation($id: ID!, $key: IdempotencyKey!) { savedMethodRemove(input: {idempotencyKey:"
        f" $key, id: $id}}) {{ {PROBLEM} ... on NotFoundError {{ id }} }} }}"
    )
    yield Question("savedMethodRemove", "sm", remove)
    resolve = (
        "mutation($id: ID!, $key: IdempotencyKey!) { operationResolve(input: {idempotencyKey: $key,"
        f' operationId: $id, outcome: DECLINED, evidenceNote: "x"}}) {{ {PROBLEM} }} }}'
    )
    yield Question("operationResolve", "op", resolve)
    sync = f"mutation($id: ID!) {{ paymentSync(paymentId: $id) {{ {PROBLEM} }} }}"
    yield Question("paymentSync", "pay", sync)
    replay = f"mutation($ids: [ID!]!) {{ inboundWebhookReplay(ids: $ids) {{ {PROBLEM} }} }}"
    yield Question("inboundWebhookReplay", "whk", replay)
    transfer = (
        "mutation($id: ID!, $key: IdempotencyKey!) { transferCreate(input: {idempotencyKey: $key,"
        f' kind: "move", legs: [{{accountId: $id, direction: DEBIT, amount: {MONEY}}},'
        f" {{accountId: $id, direction: CREDIT, amount: {MONEY}}}]}}) {{ {PROBLEM} }} }}"
    )
    yield Question("transferCreate", "acc", transfer)


def same(answer: httpx.Response, id: str) -> tuple[int, bytes]:
    """The answer without what may differ: its correlation id and the id that was asked for."""
    correlation = answer.headers["x-correlation-id"]
    body = answer.content.replace(correlation.encode(), b"<correlation>")
    return answer.status_code, body.replace(id.encode(), b"<id>")


QUESTIONS = [pytest.param(one, id=one.label) for one in (*_reads(), *_writes())]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_foreign_id_is_answered_like_a_missing_one(
    question: Question, mine: Owned, theirs: Owned
) -> None:
    foreign = theirs.ids.get(question.prefix) or encode(question.prefix, new_id())
    missing = encode(question.prefix, new_id())

    if question.prefix == "ent":
        missing = "ent_7zzzzzzzzzzzzzzzzzzzzzzzzz"
    told = [same(question.ask(mine.shop, id), id) for id in (foreign, missing)]

    assert told[0] == told[1]
    assert told[0][0] == 200
    assert b"Payload" not in told[0][1]


def test_foreign_ids_of_mutations_write_nothing(mine: Owned, theirs: Owned) -> None:
    """Except the payment that could not be routed: it is ours, and kept for another try."""
    before = theirs.shop.rows("SELECT count(*), max(updated_at) FROM payment WHERE tenant_id = %s")
    effects = theirs.shop.effects()

    for question in _writes():
        if question.label != "paymentCreate-provider":
            untouched = mine.shop.gateway.state()
            question.ask(mine.shop, theirs.ids[question.prefix])
            assert mine.shop.gateway.state() == untouched, question.label

    assert theirs.shop.effects() == effects
    assert (
        theirs.shop.rows("SELECT count(*), max(updated_at) FROM payment WHERE tenant_id = %s")
        == before
    )


TEXTS: Final[dict[str, tuple[str, Callable[[Owned], str]]]] = {
    "reference": (
        "query($x: String!) { paymentByReference(reference: $x) { id } }",
        lambda owned: owned.reference,
    ),
    "reference filter": (
        "query($x: String!) { payments(filter: {reference: $x}) { nodes { id } } }",
        lambda owned: owned.reference,
    ),
    "client secret": (
        "query($x: String!) { paymentByClientSecret(clientSecret: $x) { id } }",
        lambda owned: owned.client_secret,
    ),
    "idempotency key": (
        """query($x: IdempotencyKey!) {
          operationByIdempotencyKey(mutation: "paymentCreate", key: $x) { state } }""",
        lambda owned: owned.key,
    ),
    "customer": (
        "query($x: String!) { savedMethods(customerId: $x) { nodes { id } } }",
        lambda owned: owned.reference,
    ),
    "account path": (
        "query($x: String!) { accounts(filter: {pathPrefix: $x}) { nodes { id } } }",
        lambda owned: f"customer:{owned.shop.name}",
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_others_call_their_things_finds_nothing(name: str, mine: Owned, theirs: Owned) -> None:
    document, value_of = TEXTS[name]
    foreign = value_of(theirs)
    missing = f"{foreign[:-1]}{'a' if foreign[-1] != 'a' else 'b'}"

    told = [same(mine.shop.send(document, {"x": text}), text) for text in (foreign, missing)]
    own = theirs.shop.send(document, {"x": foreign})

    assert told[0] == told[1]
    assert name == "account path" or same(own, foreign) != told[0]


@pytest.mark.parametrize(
    "root", ["payments", "accounts", "transactions", "holds", "inboundWebhooks", "auditLog"]
)
def test_a_cursor_of_another_tenant_opens_no_door(root: str, mine: Owned, theirs: Owned) -> None:
    document = f"""query($after: String) {{ {root}(first: 2, after: $after) {{
      nodes {{ id }} pageInfo {{ endCursor }} }} }}"""
    whole = f"{{ {root}(first: 100) {{ nodes {{ id }} }} }}"
    cursor = theirs.shop.ask(document, after=None)[root]["pageInfo"]["endCursor"]
    own_ids = {node["id"] for node in mine.shop.ask(whole)[root]["nodes"]}

    page = mine.shop.ask(document, after=cursor)[root]["nodes"]

    assert {node["id"] for node in page} <= own_ids
    assert own_ids


def test_two_tenants_at_once_never_see_each_other(mine: Owned, theirs: Owned) -> None:
    """Interleaved on the same few database connections."""
    listed = '{ payments(first: 5) { nodes { id } } account(path: "income:sales") { id } }'
    own = {
        one.shop.name: re.findall(r"\w+_[0-9a-z]{26}", one.shop.send(listed).text)
        for one in (mine, theirs)
    }
    assert not set(own[mine.shop.name]) & set(own[theirs.shop.name])

    def ask(number: int) -> list[str]:
        one, other = (mine, theirs) if number % 2 else (theirs, mine)
        both = "query($id: ID!) { payments(first: 5) { nodes { id } } node(id: $id) { id } }"
        answer = one.shop.send(both, {"id": other.ids["pay"]})
        assert_typed(answer)
        found = re.findall(r"pay_[0-9a-z]{26}", answer.text)
        assert answer.json()["data"]["node"] is None
        return [id for id in found if id not in own[one.shop.name]]

    with ThreadPoolExecutor(16) as pool:
        leaked = [id for ids in pool.map(ask, range(400)) for id in ids]

    assert leaked == []


def test_a_browser_reaches_only_its_own_shop(mine: Owned, theirs: Owned) -> None:
    see = "query($s: String!) { paymentByClientSecret(clientSecret: $s) { id } }"

    told = mine.shop.send(see, {"s": theirs.client_secret}, key=mine.client_secret)
    nothing = mine.shop.send(see, {"s": "nothing"}, key=mine.client_secret)

    assert same(told, theirs.client_secret) == same(nothing, "nothing")
    assert told.json()["data"]["paymentByClientSecret"] is None


def test_without_a_tenant_the_product_sees_no_row(gateway: Gateway, mine: Owned) -> None:
    with psycopg.connect(gateway.app_url) as app:
        app.execute("SET ROLE cf_app")
        seen = {
            table: count
            for table in gateway.tables()
            if (count := _count(app, table)) and table not in {"account_type", "alembic_version"}
        }

    assert seen == {}


def _count(app: "psycopg.Connection[Any]", table: str) -> int:
    try:
        with app.transaction():
            row = app.execute(f'SELECT count(*) FROM "{table}"'.encode()).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return 0
    return 0 if row is None else int(row[0])
