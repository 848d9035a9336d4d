"""When another provider may be tried, and when the same one again: the rules, without any I/O."""

from typing import Final
from uuid import UUID

from gateways.port import DeclineKind, Outcome, OutcomeStatus
from gateways.routing import ATTEMPTS_MAX, RoutingDecision

RETRIES_MAX: Final = 2
"""Further tries at the same provider within one dispatch."""

_ELSEWHERE: Final = frozenset({DeclineKind.SOFT, DeclineKind.CONFIG, DeclineKind.LIMIT})


def may_try_elsewhere(outcome: Outcome) -> bool:
    """Whether this very outcome, seen in this very dispatch, allows another provider.

    Only certainty does: nothing was executed, or a refusal that is the provider's own. A scheme's
    advice code forbids it: each try counts against the merchant. Source: Mastercard Transaction
    Processing Excellence, Visa decline categories.
    """
    failure = outcome.failure
    if failure is None or not failure.retry_other_provider:
        return False
    match outcome.status:
        case OutcomeStatus.NOT_EXECUTED:
            return True
        case OutcomeStatus.DECLINED:
            return failure.decline in _ELSEWHERE and failure.advice_code is None
        case _:
            return False


def may_try_again(outcome: Outcome) -> bool:
    """Whether the same provider may be asked again at once: only where nothing was executed."""
    failure = outcome.failure
    return (
        outcome.status is OutcomeStatus.NOT_EXECUTED
        and failure is not None
        and failure.retry_same_provider
    )


def next_candidate(
    decision: RoutingDecision, outcome: Outcome, tried: frozenset[UUID]
) -> UUID | None:
    """The provider account to try after `outcome`, or None: this was the last word.

    `decision` is the first one made for this attempt; `tried` are the accounts it was tried at,
    the last included. At most two are tried after the first. Money moves at one provider only, so
    nothing but SALE and AUTHORIZE ever changes provider.
    """
    if decision.kind not in {"SALE", "AUTHORIZE"} or len(tried) >= ATTEMPTS_MAX:
        return None
    if not may_try_elsewhere(outcome):
        return None
    return next((account for account in decision.suitable if account not in tried), None)


class RetryAllowance:
    """Keeps retries a small share of calls, so that they cannot feed a storm.

    Each first try adds a fifth of a retry, up to ten; each retry takes one.
    """

    def __init__(self) -> None:
        self._left = 10.0

    def earn(self) -> None:
        """A first try was made."""
        self._left = min(10.0, self._left + 0.2)

    def take(self) -> bool:
        """Whether one more retry may be made; it is then counted."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
