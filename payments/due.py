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
from payments.projection import CREDIT_RELEASED, ORPHAN_RECIPE, is_orphan, is_voided

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
    kept = held and CREDIT_RELEASED not in operation.posted
    settled = ["store_credit_spend"] if kept and ORPHAN_RECIPE not in taken else []
    match operation.status:
        case OperationStatus.SUCCEEDED:
            return [*taken, *settled, *_fee(operation)]
        case OperationStatus.REVERSED:
            return [*taken, *settled, *_fee(operation), *_given_back(taken)]
        case OperationStatus.DECLINED | OperationStatus.NOT_EXECUTED:
            return [CREDIT_RELEASED] if held else []
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
            return _rest_of_hold(aggregate, operation)
        case _:
            return []


def _taken(aggregate: Aggregate, operation: Operation, recipe: str) -> list[str]:
    return [ORPHAN_RECIPE if is_orphan(aggregate, operation) else recipe]


def _given_back(taken: list[str]) -> list[str]:
    return ["orphan_returned" if ORPHAN_RECIPE in taken else "capture_reversed"]


def _void(aggregate: Aggregate, operation: Operation) -> list[str]:
    over = operation.status not in OPERATION_OPEN | {OperationStatus.IN_REVIEW}
    return _rest_of_hold(aggregate, operation) if over else []


def _rest_of_hold(aggregate: Aggregate, operation: Operation) -> list[str]:
    """What is left of the hold is given back once: by the void that succeeded, else by the step
    that ended last.
    """
    void = succeeded_void(aggregate, operation)
    if void is not None:
        is_mine = void.id == operation.id
    else:
        steps = aggregate.steps_beside(operation)
        is_mine = not any(_gave_it_back(o, operation) for o in steps if o.id != operation.id)
    return ["void"] if is_mine and release_is_due(aggregate, operation) else []


def succeeded_void(aggregate: Aggregate, operation: Operation) -> Operation | None:
    """The void that ended the attempt of this operation at the provider."""
    steps = aggregate.steps_beside(operation)
    return next((o for o in steps if is_voided(o)), None)


def _gave_it_back(other: Operation, operation: Operation) -> bool:
    """Whether another step of the attempt booked the release; a capture that ends last does."""
    if "capture" not in other.posted or other.completed_at is None:
        return "void" in other.posted
    return operation.completed_at is None or other.completed_at > operation.completed_at


def release_is_due(aggregate: Aggregate, operation: Operation) -> bool:
    """Whether what is left of the hold can be given back: the attempt is over at the provider, and
    no step of it is still on its way.
    """
    attempt = aggregate.attempt_of(operation)
    steps = [o for o in aggregate.steps_beside(operation) if o.kind is not OperationKind.REFUND]
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
        case OperationStatus.IN_REVIEW:
            return _mismatch(operation, "wrong_refund")
        case _:
            return []


def _fee(operation: Operation) -> list[str]:
    return ["psp_fee"] if operation.fee else []


def _mismatch(operation: Operation, recipe: str = "wrong_amount") -> list[str]:
    """Looked up: the provider moved another amount. What it really moved goes to suspense; what it
    kept for that is its fee all the same.
    """
    moved = operation.moved_amount
    if not moved or moved == operation.amount or not _BOOKED.isdisjoint(operation.posted):
        return []
    return [recipe, *_fee(operation)]


_BOOKED: Final = frozenset({"sale", "capture", "refund", "refund_external"})


_RULES: Final = {
    OperationKind.SALE: _sale,
    OperationKind.AUTHORIZE: _authorize,
    OperationKind.CAPTURE: _capture,
    OperationKind.VOID: _void,
    OperationKind.REFUND: _refund,
}
