"""What can still be captured and refunded: one place, for use cases and for the API."""

from payments.model import (
    Aggregate,
    Operation,
    OperationKind,
    OperationStatus,
    Payment,
    PaymentStatus,
    opening_of,
)

_FAILED = (OperationStatus.DECLINED, OperationStatus.NOT_EXECUTED)


def capturable(aggregate: Aggregate) -> int:
    """Minor units authorized, and neither captured nor on the way to be."""
    attempt = aggregate.current_attempt
    waits = (PaymentStatus.AUTHORIZED, PaymentStatus.PARTIALLY_CAPTURED)
    if attempt is None or aggregate.payment.status not in waits:
        return 0
    operations = aggregate.operations_of(attempt)
    opening = opening_of(operations)
    steps = [o for o in operations if o.kind in _STEPS and o.status not in _FAILED]
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


def free_position(taken: list[tuple[int, int]], size: int) -> int:
    """Where a part of `size` lies in the whole: the first gap it fits in, else behind the last.

    Parts that do not overlap get shares that sum to the shares of the whole. `taken` are
    (position, size) of the parts that stand.
    """
    position = 0
    for start, length in sorted(taken):
        if start - position >= size:
            return position
        position = max(position, start + length)
    return position
