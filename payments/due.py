"""Which recipes the evidence of an operation requires and that were not posted yet."""

from typing import Final

from payments.model import (
    ATTEMPT_ENDED,
    OPERATION_OPEN,
    Aggregate,
    AttemptStatus,
    Operation,
    OperationKind,
    OperationStatus,
    Origin,
    opening_of,
)
from payments.projection import ORPHAN_RECIPE, is_orphan

REQUESTED: Final = "refund_request"
"""Posted in unit of work A: it reserves what we already owe."""
CREDIT_HELD: Final = "store_credit_reserve"
"""Posted in unit of work A: store credit of the customer is reserved."""


def required(aggregate: Aggregate, operation: Operation) -> tuple[str, ...]:
    """Recipes not posted yet that the operation's evidence demands, in order of posting."""
    wanted = _RULES[operation.kind](aggregate, operation)
    return tuple(name for name in wanted if name not in operation.posted)


def _sale(aggregate: Aggregate, operation: Operation) -> list[str]:
    held = CREDIT_HELD in operation.posted
    taken = _taken(aggregate, operation, "sale")
    settled = ["store_credit_spend"] if held and ORPHAN_RECIPE not in taken else []
    match operation.status:
        case OperationStatus.SUCCEEDED:
            return [*taken, *settled, *_fee(operation)]
        case OperationStatus.REVERSED:
            return [*taken, *settled, *_fee(operation), *_given_back(taken)]
        case OperationStatus.DECLINED | OperationStatus.NOT_EXECUTED:
            return ["store_credit_release"] if held else []
        case OperationStatus.IN_REVIEW:
            return _mismatch(operation)
        case _:
            return []


def _authorize(aggregate: Aggregate, operation: Operation) -> list[str]:
    if operation.status is OperationStatus.SUCCEEDED and not is_orphan(aggregate, operation):
        return ["authorise"]
    return []


def _capture(aggregate: Aggregate, operation: Operation) -> list[str]:
    taken = _taken(aggregate, operation, "capture")
    match operation.status:
        case OperationStatus.SUCCEEDED:
            return [*taken, *_fee(operation)]
        case OperationStatus.REVERSED:
            return [*taken, *_fee(operation), *_given_back(taken)]
        case OperationStatus.IN_REVIEW:
            return _mismatch(operation)
        case OperationStatus.DECLINED | OperationStatus.NOT_EXECUTED:
            return ["void"] if release_is_due(aggregate, operation) else []
        case _:
            return []


def _taken(aggregate: Aggregate, operation: Operation, recipe: str) -> list[str]:
    return [ORPHAN_RECIPE if is_orphan(aggregate, operation) else recipe]


def _given_back(taken: list[str]) -> list[str]:
    return ["orphan_returned" if ORPHAN_RECIPE in taken else "capture_reversed"]


def _void(aggregate: Aggregate, operation: Operation) -> list[str]:
    over = operation.status not in OPERATION_OPEN | {OperationStatus.IN_REVIEW}
    return ["void"] if over and release_is_due(aggregate, operation) else []


def release_is_due(aggregate: Aggregate, operation: Operation) -> bool:
    """Whether what is left of the hold can be given back: the attempt is over at the provider, and
    no step of it is still on its way.
    """
    attempt = aggregate.attempt_of(operation)
    steps = [o for o in aggregate.operations_of(attempt) if o.kind is not OperationKind.REFUND]
    uncertain = OPERATION_OPEN | {OperationStatus.IN_REVIEW}
    opening = opening_of(tuple(steps))
    riddle = any(o.status in uncertain for o in steps if o is not opening)
    return attempt.status in _OVER and not riddle


_OVER: Final = ATTEMPT_ENDED | {AttemptStatus.CAPTURED, AttemptStatus.REVERSED}


def _refund(_: Aggregate, operation: Operation) -> list[str]:
    external = operation.origin is Origin.EXTERNAL
    paid = "refund_external" if external else "refund"
    match operation.status:
        case OperationStatus.SUCCEEDED:
            return [paid]
        case OperationStatus.REVERSED:
            return [paid, "refund_returned"]
        case OperationStatus.DECLINED | OperationStatus.NOT_EXECUTED:
            return [] if external else ["refund_release"]
        case _:
            return []


def _fee(operation: Operation) -> list[str]:
    return ["psp_fee"] if operation.fee else []


def _mismatch(operation: Operation) -> list[str]:
    """Looked up: the provider moved another amount. What it really moved goes to suspense; what it
    kept for that is its fee all the same.
    """
    moved = operation.moved_amount
    took = "sale" in operation.posted or "capture" in operation.posted
    if not moved or moved == operation.amount or took:
        return []
    return ["wrong_amount", *_fee(operation)]


_RULES: Final = {
    OperationKind.SALE: _sale,
    OperationKind.AUTHORIZE: _authorize,
    OperationKind.CAPTURE: _capture,
    OperationKind.VOID: _void,
    OperationKind.REFUND: _refund,
}
