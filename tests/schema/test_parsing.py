"""Inputs become commands only when every field is right; what is wrong is named by its path."""

from typing import Any

import pytest

from core.identifiers import decode, encode, new_id
from core.money import MINOR_UNITS_MAX, Money
from payments.commands import CaptureMode
from schema import commands
from schema.enums import Direction
from schema.inputs import (
    MoneyInput,
    PaymentMethodInput,
    RoutingInput,
    SplitInput,
    StoreCreditInput,
)
from tests.schema.inputs import (
    ACCOUNT_ID,
    KEY,
    MUTATIONS,
    PAYMENT_ID,
    Mutation,
    a_leg,
    made,
    metadata,
    money,
)

CARD = "4242 4242 4242 4242"

BAD_AMOUNTS: list[tuple[MoneyInput, str, str]] = [
    (made(MoneyInput, currency="USD"), "", "ONE_OF"),
    (made(MoneyInput, amount_minor=1, decimal="0.01", currency="USD"), "", "ONE_OF"),
    (money(0), "amountMinor", "NOT_POSITIVE"),
    (money(-1), "amountMinor", "NOT_POSITIVE"),
    (money(-MINOR_UNITS_MAX), "amountMinor", "NOT_POSITIVE"),
    (money(MINOR_UNITS_MAX + 1), "amountMinor", "BAD_AMOUNT"),
    (money(10**30), "amountMinor", "BAD_AMOUNT"),
    *[
        (money(decimal), "decimal", code)
        for decimal, code in [
            ("0", "NOT_POSITIVE"),
            ("0.00", "NOT_POSITIVE"),
            ("-0", "NOT_POSITIVE"),
            ("-0.01", "NOT_POSITIVE"),
            ("-12.30", "NOT_POSITIVE"),
            ("", "BAD_AMOUNT"),
            (" ", "BAD_AMOUNT"),
            (" 1", "BAD_AMOUNT"),
            ("1 ", "BAD_AMOUNT"),
            ("1\n", "BAD_AMOUNT"),
            ("+1", "BAD_AMOUNT"),
            ("--1", "BAD_AMOUNT"),
            ("01", "BAD_AMOUNT"),
            ("00.10", "BAD_AMOUNT"),
            (".5", "BAD_AMOUNT"),
            ("5.", "BAD_AMOUNT"),
            ("1,00", "BAD_AMOUNT"),
            ("1,000.00", "BAD_AMOUNT"),
            ("1.000,00", "BAD_AMOUNT"),
            ("1_000", "BAD_AMOUNT"),
            ("1e3", "BAD_AMOUNT"),
            ("1E3", "BAD_AMOUNT"),
            ("0x10", "BAD_AMOUNT"),
            ("NaN", "BAD_AMOUNT"),
            ("Infinity", "BAD_AMOUNT"),
            ("-Infinity", "BAD_AMOUNT"),
            ("1.2.3", "BAD_AMOUNT"),
            ("$1", "BAD_AMOUNT"),
            ("1 USD", "BAD_AMOUNT"),
            ("0.001", "BAD_AMOUNT"),
            ("12.345", "BAD_AMOUNT"),
            ("12.3000000", "BAD_AMOUNT"),
            ("92233720368547758.08", "BAD_AMOUNT"),
            ("99999999999999999999", "BAD_AMOUNT"),
            ("9" * 400, "BAD_AMOUNT"),
            ("\u0661\u0662", "BAD_AMOUNT"),
            ("1\u00a0000", "BAD_AMOUNT"),
            ("\u22121", "BAD_AMOUNT"),
            ("1\x00", "BAD_AMOUNT"),
            ("null", "BAD_AMOUNT"),
            ("true", "BAD_AMOUNT"),
        ]
    ],
    (money("10.5", "JPY"), "decimal", "BAD_AMOUNT"),
    (money("10.0", "JPY"), "decimal", "BAD_AMOUNT"),
    (money("1.2345", "KWD"), "decimal", "BAD_AMOUNT"),
    (money("1.00001", "CLF"), "decimal", "BAD_AMOUNT"),
    *[
        (money(100, currency), "currency", "UNKNOWN_CURRENCY")
        for currency in [
            "",
            "US",
            "USDX",
            "usd",
            "Usd",
            " USD",
            "USD ",
            "XXX",
            "XAU",
            "XTS",
            "BTC",
            "DEM",
            "ZZZ",
            "840",
            "$",
            "\u20ac",
            "U\u200bSD",
            "USD\x00",
        ]
    ],
]

WITH_AMOUNT = [name for name, mutation in MUTATIONS.items() if mutation.takes_amount]
WITH_METADATA = [name for name, mutation in MUTATIONS.items() if mutation.takes_metadata]


def test_there_are_at_least_sixty_bad_amounts() -> None:
    assert len(BAD_AMOUNTS) >= 60


@pytest.mark.parametrize("name", WITH_AMOUNT)
@pytest.mark.parametrize(
    ("amount", "field", "code"), BAD_AMOUNTS, ids=lambda value: repr(value)[:60]
)
def test_a_bad_amount_is_refused_at_its_field(
    name: str, amount: MoneyInput, field: str, code: str
) -> None:
    (problem,) = MUTATIONS[name].problems(amount=amount)

    assert problem.path == ("input", "amount", *([field] if field else []))
    assert problem.code == code
    assert problem.message


@pytest.mark.parametrize("name", WITH_AMOUNT)
@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (money(1), Money(1, "USD")),
        (money(MINOR_UNITS_MAX), Money(MINOR_UNITS_MAX, "USD")),
        (money("12.3"), Money(1230, "USD")),
        (money("12.30"), Money(1230, "USD")),
        (money("92233720368547758.07"), Money(MINOR_UNITS_MAX, "USD")),
        (money("7", "JPY"), Money(7, "JPY")),
        (money("0.001", "KWD"), Money(1, "KWD")),
        (money("0.0001", "CLF"), Money(1, "CLF")),
    ],
)
def test_a_good_amount_is_taken_exactly(name: str, amount: MoneyInput, expected: Money) -> None:
    assert MUTATIONS[name].command(amount=amount).amount == expected


@pytest.mark.parametrize("name", WITH_AMOUNT)
def test_both_forms_of_an_amount_are_one_input(name: str) -> None:
    minor, decimal = (MUTATIONS[name].command(amount=money(form)) for form in (1230, "12.3"))

    assert minor.canonical_input == decimal.canonical_input


TEXTS = [
    ("paymentCreate", "reference", "reference", 255),
    ("paymentCreate", "customer_id", "customerId", 255),
    ("paymentCreate", "statement_descriptor", "statementDescriptor", 22),
    ("paymentCancel", "reason", "reason", 500),
    ("refundCreate", "note", "note", 1000),
    ("operationResolve", "evidence_note", "evidenceNote", 1000),
    ("operationResolve", "provider_ref", "providerRef", 255),
]


@pytest.mark.parametrize(("name", "field", "path", "longest"), TEXTS)
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "BAD_LENGTH"),
        ("too long", "BAD_LENGTH"),
        ("a\x00b", "BAD_TEXT"),
        ("\x00", "BAD_TEXT"),
        ("a\ud800b", "BAD_TEXT"),
        ("\udfff", "BAD_TEXT"),
        (CARD, "CARD_NUMBER"),
        ("4242424242424242", "CARD_NUMBER"),
        ("x378282246310005y", "CARD_NUMBER"),
    ],
)
def test_bad_text_is_refused_at_its_field(
    *, name: str, field: str, path: str, longest: int, text: str, code: str
) -> None:
    given = "x" * (longest + 1) if text == "too long" else text

    (problem,) = MUTATIONS[name].problems(**{field: given})

    assert (problem.path, problem.code) == (("input", path), code)


@pytest.mark.parametrize(("name", "field", "path", "longest"), TEXTS)
def test_the_longest_text_is_accepted(name: str, field: str, path: str, longest: int) -> None:
    command = MUTATIONS[name].command(**{field: "ä" * longest})

    assert getattr(command, field) == "ä" * longest
    assert command.canonical_input[path] == "ä" * longest


@pytest.mark.parametrize("name", WITH_METADATA)
@pytest.mark.parametrize(
    ("entries", "path", "code"),
    [
        ([("", "v")], ("0", "key"), "BAD_LENGTH"),
        ([("k" * 41, "v")], ("0", "key"), "BAD_LENGTH"),
        ([("k", "v" * 501)], ("0", "value"), "BAD_LENGTH"),
        ([("a", "1"), ("a", "2")], ("1", "key"), "DUPLICATE_KEY"),
        ([("k\x00", "v")], ("0", "key"), "BAD_TEXT"),
        ([("k", "\ud83d")], ("0", "value"), "BAD_TEXT"),
        ([(CARD, "v")], ("0", "key"), "CARD_NUMBER"),
        ([("ok", "v"), ("k", f"pan {CARD}")], ("1", "value"), "CARD_NUMBER"),
        ([(f"k{index}", "v") for index in range(51)], (), "TOO_MANY"),
    ],
)
def test_bad_metadata_is_refused_at_its_entry(
    name: str, entries: list[tuple[str, str]], path: tuple[str, ...], code: str
) -> None:
    (problem,) = MUTATIONS[name].problems(metadata=metadata(*entries))

    assert (problem.path, problem.code) == (("input", "metadata", *path), code)


@pytest.mark.parametrize("name", WITH_METADATA)
def test_metadata_at_its_limits_is_accepted(name: str) -> None:
    entries = [(f"k{index}".ljust(40, "x"), "v" * 500) for index in range(50)]

    assert MUTATIONS[name].command(metadata=metadata(*entries)).metadata == dict(entries)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_card_number_as_idempotency_key_is_refused(name: str) -> None:
    (problem,) = MUTATIONS[name].problems(idempotency_key="4242424242424242")

    assert (problem.path, problem.code) == (("input", "idempotencyKey"), "CARD_NUMBER")


@pytest.mark.parametrize("name", ["paymentCreate", "paymentConfirm"])
@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("", "BAD_LENGTH"),
        ("t" * 501, "BAD_LENGTH"),
        ("tok\x00", "BAD_TEXT"),
        ("pm_card ", "BAD_TEXT"),
        ("pm_c\u00e4rd", "BAD_TEXT"),
        ("4242424242424242", "CARD_NUMBER"),
        ("4242 4242 4242 4242", "CARD_NUMBER"),
        ("5555-5555-5555-4444", "CARD_NUMBER"),
    ],
)
def test_a_bad_token_is_refused(name: str, token: str, code: str) -> None:
    (problem,) = MUTATIONS[name].problems(method=made(PaymentMethodInput, token=token))

    assert (problem.path, problem.code) == (("input", "method", "token"), code)


@pytest.mark.parametrize("name", ["paymentCreate", "paymentConfirm"])
@pytest.mark.parametrize(
    "written", ["4242424242424242", "4242%204242%204242%204242", "4242+4242+4242+4242"]
)
def test_a_return_url_with_a_card_number_is_refused(name: str, written: str) -> None:
    (problem,) = MUTATIONS[name].problems(return_url=f"https://shop.test/?pan={written}")

    assert (problem.path, problem.code) == (("input", "returnUrl"), "CARD_NUMBER")


IDS = ["paymentConfirm", "paymentCapture", "paymentCancel", "refundCreate"]


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize(
    "id",
    [
        "",
        "pay_",
        "pay",
        "42",
        "ref_01jabcdefghjkmnpqrstvwxyz0",
        "acc_01jabcdefghjkmnpqrstvwxyz0",
        "PAY_01JABCDEFGHJKMNPQRSTVWXYZ0",
        "pay_01jabcdefghjkmnpqrstvwxyz",
        "pay_01jabcdefghjkmnpqrstvwxyz00",
        "pay_81jabcdefghjkmnpqrstvwxyz0",
        "pay_01jabcdefghjkmnpqrstvwxyzu",
        "pay_01jabcdefghjkmnpqrstvwxyz\x00",
        "0190a0a0-0000-7000-8000-000000000000",
        "'; DROP TABLE payment; --",
        "4242424242424242",
        "\ud800",
        "p" * 10_000,
    ],
)
def test_a_malformed_payment_id_is_refused(name: str, id: str) -> None:
    problems = MUTATIONS[name].problems(payment_id=id)

    assert problems[0].path == ("input", "paymentId")
    assert problems[0].code == "MALFORMED_ID"
    assert id == "" or id not in problems[0].message


@pytest.mark.parametrize("name", ["paymentCapture", "paymentCancel"])
@pytest.mark.parametrize("version", [0, -1, 2**31, -(2**31)])
def test_a_version_out_of_range_is_refused(name: str, version: int) -> None:
    (problem,) = MUTATIONS[name].problems(expected_version=version)

    assert (problem.path, problem.code) == (("input", "expectedVersion"), "BAD_VERSION")


def test_every_problem_is_named_at_once() -> None:
    problems = MUTATIONS["paymentCreate"].problems(
        amount=money("1e3"),
        reference="",
        metadata=metadata(("k", CARD)),
        routing=made(RoutingInput, provider="nobody"),
    )

    assert {problem.path for problem in problems} == {
        ("input", "amount", "decimal"),
        ("input", "reference"),
        ("input", "metadata", "0", "value"),
        ("input", "routing", "provider"),
    }


def test_a_header_with_another_key_is_refused() -> None:
    mutation = MUTATIONS["paymentCapture"]

    input = mutation.make(**mutation.required)

    assert commands.capture_payment(input, KEY).idempotency_key == KEY
    with pytest.raises(Exception, match="breaks a rule") as refused:
        commands.capture_payment(input, "another-key")
    assert refused.value.fields[0].code == "KEYS_DIFFER"  # type: ignore[attr-defined] # ValidationFailed


def test_a_confirmation_names_its_payment_in_exactly_one_way() -> None:
    confirm = MUTATIONS["paymentConfirm"]

    for named in ({"payment_id": None}, {"client_secret": "pay_x_secret_y"}):
        (problem,) = confirm.problems(**named)
        assert (problem.path, problem.code) == (("input",), "ONE_OF")


def test_defaults_are_the_same_input_as_saying_them() -> None:
    create = MUTATIONS["paymentCreate"]

    silent = create.command()
    explicit = create.command(reference=None, splits=[], metadata=[], routing=RoutingInput())

    assert silent.canonical_input == explicit.canonical_input
    assert silent.capture_mode is CaptureMode.AUTOMATIC
    assert silent.confirm


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_canonical_input_does_not_hold_the_key(name: str) -> None:
    command = MUTATIONS[name].command()

    assert KEY not in repr(command.canonical_input)
    assert command.idempotency_key == KEY


def test_a_token_is_not_in_the_representation_of_a_command() -> None:
    command = MUTATIONS["paymentCreate"].command(
        method=made(PaymentMethodInput, token="tok_secret")
    )

    assert command.method.token == "tok_secret"
    assert "tok_secret" not in repr(command.method)


def test_accounts_become_the_paths_that_were_looked_up() -> None:
    command = MUTATIONS["paymentCreate"].command(
        merchant_account_id=ACCOUNT_ID,
        splits=[made(SplitInput, account_id=ACCOUNT_ID, amount=money(10))],
        store_credit=made(StoreCreditInput, account_id=ACCOUNT_ID, amount=money("0.05")),
    )
    path = f"path:{decode('acc', ACCOUNT_ID)}"

    assert command.merchant_account == path
    assert [(split.account, split.amount) for split in command.splits] == [(path, Money(10, "USD"))]
    assert command.store_credit.account == path
    assert command.store_credit.amount == Money(5, "USD")


@pytest.mark.parametrize(
    "fields",
    [
        {"merchant_account_id": "x"},
        {"splits": [made(SplitInput, account_id=PAYMENT_ID, amount=money(1))]},
        {"store_credit": made(StoreCreditInput, account_id="", amount=money(1))},
    ],
)
def test_a_malformed_account_id_is_refused(fields: dict[str, Any]) -> None:
    (problem,) = MUTATIONS["paymentCreate"].problems(**fields)

    assert problem.code == "MALFORMED_ID"
    assert problem.path[-1] in {"merchantAccountId", "accountId"}


def test_bad_amounts_of_shares_are_named_by_their_place() -> None:
    good, bad = (made(SplitInput, account_id=ACCOUNT_ID, amount=money(each)) for each in (1, "1e3"))

    (problem,) = MUTATIONS["paymentCreate"].problems(splits=[good, bad])

    assert problem.path == ("input", "splits", "1", "amount", "decimal")


def test_routing_is_read_exactly() -> None:
    one, other = new_id(), new_id()

    command = MUTATIONS["paymentCreate"].command(
        routing=made(
            RoutingInput,
            provider=encode("prv", one),
            exclude_providers=[encode("prv", other)],
            allow_failover=False,
        )
    )

    assert command.routing.provider_account_id == one
    assert command.routing.exclude == {other}
    assert command.routing.allow_failover is False


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_a_uuid_and_our_own_ids_are_not_taken_for_card_numbers(mutation: Mutation) -> None:
    for _ in range(50):
        assert mutation.command(idempotency_key=str(new_id())).idempotency_key


@pytest.mark.parametrize(
    ("amount", "field", "code"), BAD_AMOUNTS, ids=lambda value: repr(value)[:60]
)
def test_a_bad_amount_of_a_leg_is_refused_at_its_field(
    amount: MoneyInput, field: str, code: str
) -> None:
    legs = [a_leg(Direction.DEBIT), a_leg(Direction.CREDIT, amount)]

    (problem,) = MUTATIONS["transferCreate"].problems(legs=legs)

    assert problem.path == ("input", "legs", "1", "amount", *([field] if field else []))
    assert problem.code == code


@pytest.mark.parametrize("count", [0, 1, 51, 1000])
def test_a_transfer_has_from_two_to_fifty_legs(count: int) -> None:
    problems = MUTATIONS["transferCreate"].problems(legs=[a_leg(Direction.DEBIT)] * count)

    assert problems[-1].path == ("input", "legs")


@pytest.mark.parametrize(
    "kind", ["", "sale", "refund", "Sale", "a-b", "a1", "a b", "_a", "x" * 61, "a@1", "gr\x00ant"]
)
def test_a_transfer_cannot_pass_itself_off_as_something_else(kind: str) -> None:
    problems = MUTATIONS["transferCreate"].problems(kind=kind)

    assert {problem.path for problem in problems} == {("input", "kind")}


@pytest.mark.parametrize("currency", ["", "usd", "XXX", "EURO", "E\x00R", "DEM"])
def test_an_account_is_in_a_currency_that_is_booked(currency: str) -> None:
    (problem,) = MUTATIONS["accountCreate"].problems(currency=currency)

    assert (problem.path, problem.code) == (("input", "currency"), "UNKNOWN_CURRENCY")


@pytest.mark.parametrize("path", ["", "x" * 256, "customer:4242424242424242:wallet", "a\x00b"])
def test_an_account_path_is_text_within_bounds(path: str) -> None:
    (problem,) = MUTATIONS["accountCreate"].problems(path=path)

    assert problem.path == ("input", "path")
