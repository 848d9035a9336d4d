"""Each recipe against its worked example in docs/accounting.md, and what holds for all of them.

The guide's tables are the golden files: a recipe that writes other entries than the guide says
fails here, and so does an example whose recipe is gone.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.money import Money
from ledger import AccountRef, Direction, Layer, Leg, Posting, chart
from payments import recipes
from payments.amounts import left_of, shares_of_part
from payments.recipes import Cause, HoldPart, Part, Share, Split

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "accounting.md"
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OPERATION, PAYMENT, HOLD = UUID(int=1), UUID(int=2), UUID(int=3)
CAUSE = Cause("stripe", "corr", AT, "tests", operation_id=OPERATION, payment_id=PAYMENT)

MERCHANT = chart.payable("m1", "USD")
WALLET = chart.wallet("c1", "USD")
SPLIT: Split = (
    Share(MERCHANT, 8_200),
    Share(chart.platform_fee("USD"), 1_000),
    Share(chart.tax("us-ny", "USD"), 800),
)


def usd(minor_units: int) -> Money:
    return Money(minor_units, "USD")


def a_part(minor_units: int, split: Split = SPLIT) -> Part:
    """The first part of a price."""
    return next(parts_of(split, [minor_units]))


def parts_of(split: Split, sizes: Sequence[int]) -> Iterator[Part]:
    whole = left = [share.weight for share in split]
    for size in sizes:
        shares = shares_of_part(size, left, whole)
        left = [all - part for all, part in zip(left, shares, strict=True)]
        yield Part(shares)


EXAMPLES: dict[str, Callable[[], Posting | Sequence[Posting]]] = {
    "authorise": lambda: recipes.authorise(CAUSE, MERCHANT, usd(10_000), HOLD),
    "sale": lambda: recipes.sale(CAUSE, SPLIT, a_part(10_000)),
    "capture in full": lambda: recipes.capture(
        CAUSE, SPLIT, a_part(10_000), merchant=MERCHANT, hold=HoldPart(HOLD, 10_000)
    ),
    "capture of a part": lambda: recipes.capture(
        CAUSE, SPLIT, a_part(6_000), merchant=MERCHANT, hold=HoldPart(HOLD, 6_000)
    ),
    "final capture of a part": lambda: recipes.capture(
        CAUSE,
        SPLIT,
        a_part(2_500),
        merchant=MERCHANT,
        hold=HoldPart(HOLD, 2_500, 1_500),
    ),
    "capture without its hold": lambda: recipes.capture(
        CAUSE, SPLIT, a_part(10_000), merchant=MERCHANT, hold=None
    ),
    "void": lambda: recipes.void(CAUSE, MERCHANT, HoldPart(HOLD, 0, 4_000)),
    "refund_request": lambda: recipes.refund_request(CAUSE, SPLIT, a_part(10_000), HOLD),
    "refund": lambda: recipes.refund(CAUSE, SPLIT, a_part(10_000), hold_id=HOLD),
    "refund of a part": lambda: recipes.refund(CAUSE, SPLIT, a_part(2_500), hold_id=HOLD),
    "refund without a hold": lambda: recipes.refund(CAUSE, SPLIT, a_part(2_500), hold_id=None),
    "refund_release": lambda: recipes.refund_release(CAUSE, SPLIT, a_part(2_500), HOLD),
    "refund_returned": lambda: recipes.refund_returned(CAUSE, SPLIT, a_part(2_500)),
    "refund_external": lambda: recipes.refund_external(CAUSE, SPLIT, a_part(2_500)),
    "capture_reversed": lambda: recipes.capture_reversed(CAUSE, SPLIT, a_part(10_000)),
    "psp_fee": lambda: recipes.psp_fee(CAUSE, usd(320)),
    "psp_fee_correction, more": lambda: recipes.psp_fee_correction(CAUSE, usd(320), usd(350), 1),
    "psp_fee_correction, less": lambda: recipes.psp_fee_correction(CAUSE, usd(320), usd(300), 1),
    "store_credit_grant": lambda: recipes.store_credit_grant(CAUSE, WALLET, usd(5_000)),
    "store_credit_reserve": lambda: recipes.store_credit_reserve(
        CAUSE, WALLET, MERCHANT, usd(3_000), HOLD
    ),
    "store_credit_spend": lambda: recipes.store_credit_spend(
        CAUSE, WALLET, MERCHANT, SPLIT, a_part(3_000), HOLD
    ),
    "store_credit_release": lambda: recipes.store_credit_release(
        CAUSE, WALLET, MERCHANT, usd(3_000), HOLD
    ),
    "store_credit_refund": lambda: recipes.store_credit_refund(CAUSE, WALLET, SPLIT, a_part(3_000)),
    "wrong_amount": lambda: recipes.wrong_amount(CAUSE, usd(9_900)),
    "wrong_refund": lambda: recipes.wrong_refund(CAUSE, usd(1_900)),
    "orphan_capture": lambda: recipes.orphan_capture(CAUSE, usd(10_000)),
    "adopt": lambda: recipes.adopt(CAUSE, SPLIT, a_part(10_000)),
    "orphan_returned": lambda: recipes.orphan_returned(CAUSE, usd(10_000)),
}
"""Example in the guide and the call it shows."""


def postings_of(example: str) -> list[Posting]:
    made = EXAMPLES[example]()
    return [made] if isinstance(made, Posting) else list(made)


def table_of(postings: Iterable[Posting]) -> list[str]:
    """The lines of an example's table, as the guide writes them."""
    return [line_of(posting, leg) for posting in postings for leg in posting.legs]


def line_of(posting: Posting, leg: Leg) -> str:
    amount = f"{leg.minor_units:,}".replace(",", " ")
    debit, credit = (amount, "") if leg.direction is Direction.DEBIT else ("", amount)
    layer = "pending" if leg.layer is Layer.PENDING else "posted"
    path = leg.account.path + (f" (rest: {leg.spill.path})" if leg.spill else "")
    return f"| `{posting.recipe}` | {layer} | {path} | {debit} | {credit} |"


def examples_in_the_guide() -> dict[str, list[str]]:
    """Table lines under each heading "Example: …"."""
    found: dict[str, list[str]] = {}
    for section in re.split(r"^#+ Example: ", GUIDE.read_text(), flags=re.MULTILINE)[1:]:
        name, _, rest = section.partition("\n")
        body = re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0]
        found[name] = [line for line in body.splitlines() if line.startswith("| `")]
    return found


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_recipe_writes_what_the_guide_says(example: str) -> None:
    assert table_of(postings_of(example)) == examples_in_the_guide().get(example)


def test_the_guide_has_no_other_examples() -> None:
    assert set(examples_in_the_guide()) == set(EXAMPLES)


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_posting_carries_its_cause(example: str) -> None:
    for posting in postings_of(example):
        assert posting.key.startswith(f"{posting.recipe}:{OPERATION}")
        assert (posting.operation_id, posting.payment_id) == (OPERATION, PAYMENT)
        assert (posting.correlation_id, posting.effective_at) == ("corr", AT)
        assert posting.external_fact


def test_without_an_operation_the_providers_name_makes_the_key() -> None:
    account = UUID(int=9)
    cause = replace(CAUSE, operation_id=None, provider_account_id=account, provider_ref="re_1")

    assert recipes.sale(cause, SPLIT, a_part(1)).key == f"sale@1:{account}:re_1"


def test_each_correction_of_a_fee_has_a_key_of_its_own() -> None:
    first = recipes.psp_fee_correction(CAUSE, usd(320), usd(350), 1)
    second = recipes.psp_fee_correction(CAUSE, usd(350), usd(320), 2)

    assert first.key != second.key


FLOORLESS = ("psp:", "bank:", "suspense:", "tax:", "fx:", "income:", "expense:")


@pytest.mark.parametrize("example", ["refund_external", "capture_reversed"])
def test_a_withdrawal_touches_only_accounts_that_cannot_refuse(example: str) -> None:
    for leg in (leg for posting in postings_of(example) for leg in posting.legs):
        taken_from_floor = leg.direction is Direction.DEBIT and not leg.account.path.startswith(
            FLOORLESS
        )
        assert not taken_from_floor or leg.spill is not None


SHARES = st.lists(st.integers(0, 10_000), min_size=1, max_size=6).filter(any)


@st.composite
def splits_and_parts(draw: st.DrawFn) -> tuple[Split, list[int]]:
    """A split and cuts of its whole into parts."""
    weights = draw(SHARES)
    whole = sum(weights)
    cuts = sorted(draw(st.sets(st.integers(1, whole), max_size=5)) | {whole})
    parts = [after - before for before, after in zip([0, *cuts], cuts, strict=False)]
    split = tuple(
        Share(AccountRef(f"merchant:m{n}:payable", "USD"), weight)
        for n, weight in enumerate(weights)
    )
    return split, parts


def net(postings: Iterable[Posting], layer: Layer = Layer.POSTED) -> Counter[str]:
    """Debits less credits on each account."""
    total: dict[str, int] = defaultdict(int)
    for posting in postings:
        for leg in posting.legs:
            if leg.layer is layer:
                sign = 1 if leg.direction is Direction.DEBIT else -1
                total[leg.account.path] += sign * leg.minor_units
    return Counter({path: amount for path, amount in total.items() if amount})


@given(splits_and_parts())
def test_parts_of_a_capture_add_up_to_the_whole_on_every_leg(
    given_parts: tuple[Split, list[int]],
) -> None:
    split, sizes = given_parts

    parts = [recipes.sale(CAUSE, split, part) for part in parts_of(split, sizes)]

    assert net(parts) == net([recipes.sale(CAUSE, split, a_part(sum(sizes), split))])


@given(splits_and_parts())
def test_parts_of_a_refund_empty_every_leg(given_parts: tuple[Split, list[int]]) -> None:
    split, sizes = given_parts
    taken = recipes.sale(CAUSE, split, a_part(sum(sizes), split))

    back = [recipes.refund(CAUSE, split, part, hold_id=HOLD) for part in parts_of(split, sizes)]

    assert net([taken, *back]) == Counter()


@given(splits_and_parts(), st.booleans())
def test_a_refunds_reservation_is_undone_whole(
    given_parts: tuple[Split, list[int]], succeeds: bool
) -> None:
    split, sizes = given_parts

    for part in parts_of(split, sizes):
        request = recipes.refund_request(CAUSE, split, part, HOLD)
        end = (
            recipes.refund(CAUSE, split, part, hold_id=HOLD)
            if succeeds
            else recipes.refund_release(CAUSE, split, part, HOLD)
        )
        assert net([request, end], Layer.PENDING) == Counter()
        assert request.opens is not None
        assert end.settles is not None
        assert request.opens.minor_units == end.settles.captured + end.settles.released
        assert end.settles.captured == (part.minor_units if succeeds else 0)


@given(splits_and_parts(), st.data())
def test_captures_and_a_void_leave_nothing_pending(
    given_parts: tuple[Split, list[int]], data: st.DataObject
) -> None:
    split, sizes = given_parts
    whole, merchant = sum(sizes), split[0].account
    kept = list(parts_of(split, sizes))[: data.draw(st.integers(0, len(sizes)))]
    left = whole - sum(part.minor_units for part in kept)

    postings = [recipes.authorise(CAUSE, merchant, usd(whole), HOLD)]
    for part in kept:
        hold = HoldPart(HOLD, part.minor_units)
        postings.append(recipes.capture(CAUSE, split, part, merchant=merchant, hold=hold))
    if left:
        postings.append(recipes.void(CAUSE, merchant, HoldPart(HOLD, 0, left)))

    assert net(postings, Layer.PENDING) == Counter()
    assert net(postings)["psp:stripe:clearing"] == whole - left


@given(splits_and_parts())
def test_what_comes_back_undoes_what_went_out(given_parts: tuple[Split, list[int]]) -> None:
    split, sizes = given_parts
    for part in parts_of(split, sizes):
        taken = recipes.sale(CAUSE, split, part)
        withdrawn = recipes.capture_reversed(CAUSE, split, part)
        refunded = recipes.refund_external(CAUSE, split, part)
        returned = recipes.refund_returned(CAUSE, split, part)
        orphaned = recipes.orphan_capture(CAUSE, usd(part.minor_units))
        adopted = recipes.adopt(CAUSE, split, part)

        assert net([taken, *withdrawn]) == Counter()
        assert net([*refunded, returned]) == Counter()
        assert net([orphaned, adopted]) == net([taken])


@given(splits_and_parts(), st.data())
def test_card_and_store_credit_together_pay_the_whole_split(
    given_parts: tuple[Split, list[int]], data: st.DataObject
) -> None:
    split, sizes = given_parts
    whole, merchant = sum(sizes), split[0].account
    card = data.draw(st.integers(0, whole - 1))
    by_card = a_part(card, split)
    credit = Part(left_of([share.weight for share in split], [by_card.shares]))

    postings = [
        recipes.store_credit_reserve(CAUSE, WALLET, merchant, usd(credit.minor_units), HOLD),
        recipes.store_credit_spend(CAUSE, WALLET, merchant, split, credit, HOLD),
    ]
    if card:
        postings.append(recipes.sale(CAUSE, split, by_card))

    assert net(postings, Layer.PENDING) == Counter()
    paid = net(postings)
    assert {share.account.path: -paid[share.account.path] for share in split if share.weight} == {
        share.account.path: share.weight for share in split if share.weight
    }
