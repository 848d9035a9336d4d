"""What can still be captured and refunded, and on whose account: for use cases and for the API."""

from collections.abc import Iterable, Iterator, Sequence

from core.money import allocate
from payments.model import (
    OPERATION_REFUSED,
    REFUND_FREED,
    Aggregate,
    Operation,
    OperationKind,
    Payment,
    PaymentStatus,
    Refund,
    RefundStatus,
    opening_of,
)
from payments.projection import EXPECTED_RECIPES, is_orphan


def capturable(aggregate: Aggregate) -> int:
    """Minor units authorized, and neither captured nor on the way to be."""
    attempt = aggregate.current_attempt
    waits = (PaymentStatus.AUTHORIZED, PaymentStatus.PARTIALLY_CAPTURED)
    if attempt is None or aggregate.payment.status not in waits:
        return 0
    operations = aggregate.operations_of(attempt)
    opening = opening_of(operations)
    steps = [o for o in operations if o.kind in _STEPS and o.status not in OPERATION_REFUSED]
    if opening is None or any(o.kind is OperationKind.VOID or o.final for o in steps):
        return 0
    asked = sum(_size(o) for o in steps)
    return max(0, (opening.moved_amount or 0) - asked)


_STEPS = (OperationKind.CAPTURE, OperationKind.VOID)


def _size(operation: Operation) -> int:
    return operation.amount if operation.moved_amount is None else operation.moved_amount


def capturable_of_row(status: str, authorized: int, captured_gross: int) -> int:
    """The same from the payment alone: captures still on their way are not known there."""
    if status not in (PaymentStatus.AUTHORIZED, PaymentStatus.PARTIALLY_CAPTURED):
        return 0
    return max(0, authorized - captured_gross)


def refundable(payment: Payment) -> int:
    """Minor units captured, and neither refunded, on the way back, reversed nor disputed.

    Source: settled in the ledger's rules: what a provider took back or refunded without us counts.
    """
    return refundable_of_row(
        payment.captured_gross,
        payment.capture_reversed,
        payment.refund_reserved,
        payment.refunded_external,
        payment.disputed,
    )


def refundable_of_row(
    captured_gross: int,
    capture_reversed: int,
    refund_reserved: int,
    refunded_external: int,
    disputed: int,
) -> int:
    """The same from the columns of a payment."""
    gone = capture_reversed + refund_reserved + refunded_external + disputed
    return max(0, captured_gross - gone)


# ---- shares: minor units by account, in the order of Payment.shares


def shares_of_part(size: int, left: Sequence[int], whole: Sequence[int]) -> tuple[int, ...]:
    """What a part takes of each share: in proportion to what is left of it, hence never more.

    Largest remainder. Only a provider moves more than all that is left; that goes by the whole.
    """
    within = min(size, sum(left))
    beyond = allocate(size - within, whole)
    return tuple(map(sum, zip(allocate(within, left), beyond, strict=True)))


def left_of(whole: Sequence[int], parts: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """What parts leave of each share; nothing where they took more than it."""
    taken = sum_of(whole, parts)
    return tuple(max(0, share - gone) for share, gone in zip(whole, taken, strict=True))


def sum_of(whole: Sequence[int], parts: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """What parts of a whole take of each share together."""
    return tuple(map(sum, zip([0] * len(whole), *parts, strict=True)))


def shares_of_sale(payment: Payment) -> tuple[int, ...]:
    """What the card's part of the price takes of each share; store credit pays what it leaves."""
    return shares_of_part(payment.provider_amount, payment.shares, payment.shares)


def shares_of_capture(aggregate: Aggregate, size: int) -> tuple[int, ...]:
    """What a new capture takes of each share, others on their way counted as taken."""
    whole = aggregate.payment.shares
    return shares_of_part(size, left_of(whole, taken_parts(aggregate)), whole)


def shares_of_refund(aggregate: Aggregate, size: int) -> tuple[int, ...]:
    """What a new refund takes from each account: of what the payment brought it and left there.

    A refund made at the provider may be told before its capture: then of what that will bring.
    """
    whole, refunded = aggregate.payment.shares, tuple(refunded_parts(aggregate))
    left = left_of(sum_of(whole, taken_parts(aggregate, booked=True)), refunded)
    if size > sum(left):
        left = left_of(sum_of(whole, taken_parts(aggregate)), refunded)
    return shares_of_part(size, left, whole)


def shares_of_card(refund: Refund) -> tuple[int, ...]:
    """What of a refund's shares goes back through the provider; the rest is store credit's."""
    return tuple(allocate(refund.card_amount, refund.shares))


def taken_parts(aggregate: Aggregate, *, booked: bool = False) -> Iterator[Sequence[int]]:
    """Each part of the price that is taken and was not given back: those in the books, and unless
    `booked` those on their way.
    """
    payment = aggregate.payment
    if payment.paid_by_store_credit:
        yield payment.shares
    for operation in aggregate.operations:
        is_booked = not EXPECTED_RECIPES.isdisjoint(operation.posted)
        stands = operation.status not in OPERATION_REFUSED and not is_orphan(aggregate, operation)
        if not operation.shares or not (is_booked if booked else stands):
            continue
        if "capture_reversed" not in operation.posted:
            yield operation.shares
        if "store_credit_spend" in operation.posted:
            yield left_of(payment.shares, [operation.shares])


def refunded_parts(aggregate: Aggregate) -> Iterator[Sequence[int]]:
    """Each refund that stands; of one the bank returned, what went to store credit."""
    for refund in aggregate.refunds:
        if refund.status is RefundStatus.RETURNED:
            yield left_of(refund.shares, [shares_of_card(refund)])
        elif refund.status not in REFUND_FREED:
            yield refund.shares
