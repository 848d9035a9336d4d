"""Which provider account takes a payment, and why each of the others does not.

A pure function over facts that others gathered, so that every decision can be stored, shown and
computed again.
"""

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, Self
from uuid import UUID

from core.money import Money
from gateways.accounts import ProviderAccount
from gateways.port import Capability, Limits, Manifest

ATTEMPTS_MAX: Final = 3
"""Provider accounts tried for one payment attempt: the first, and two more."""


class RoutingVerdict(enum.StrEnum):
    """What the router decided about one candidate."""

    CHOSEN = "CHOSEN"
    FALLBACK = "FALLBACK"
    SKIPPED_LIMIT = "SKIPPED_LIMIT"
    SKIPPED_CURRENCY = "SKIPPED_CURRENCY"
    SKIPPED_METHOD = "SKIPPED_METHOD"
    SKIPPED_COUNTRY = "SKIPPED_COUNTRY"
    SKIPPED_CAPABILITY = "SKIPPED_CAPABILITY"
    SKIPPED_BREAKER_OPEN = "SKIPPED_BREAKER_OPEN"
    SKIPPED_DISABLED = "SKIPPED_DISABLED"
    SKIPPED_RULE = "SKIPPED_RULE"
    TRIED_FAILED = "TRIED_FAILED"


class RoutingStrategy(enum.StrEnum):
    """How the order of candidates came about."""

    FIXED = "FIXED"
    PRIORITY = "PRIORITY"


class BreakerAdvice(enum.Enum):
    """What breakers say about a candidate. Only an operator's order is binding."""

    CLOSED = "closed"
    OPEN = "open"
    FORCED_OPEN = "forced_open"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider account and what is known about it for this method token.

    `takes_token`: the account's adapter can charge the token at all; `portable`: the token may be
    tried at another account as well after this one.
    """

    account: ProviderAccount
    manifest: Manifest
    takes_token: bool = True
    portable: bool = True
    breaker: BreakerAdvice = BreakerAdvice.CLOSED


@dataclass(frozen=True, slots=True)
class RoutingRequest:
    """What is to be routed.

    `kind` is SALE or AUTHORIZE. `provider` fixes the account; `excluded` are accounts the caller
    does not want; `token_accounts` are the only ones that can charge the token, when that is known.
    """

    kind: str
    amount: Money
    method_type: str = "card"
    country: str | None = None
    provider: UUID | None = None
    excluded: frozenset[UUID] = frozenset()
    token_accounts: frozenset[UUID] | None = None
    failover: bool = True


class CandidateVerdict(NamedTuple):
    """One line of the decision. `rank` counts from 1 in the order of trying."""

    account_id: UUID
    name: str
    rank: int
    verdict: RoutingVerdict
    reason: str


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """The verdict on every candidate, in the order they would be tried."""

    kind: str
    strategy: RoutingStrategy
    candidates: tuple[CandidateVerdict, ...] = field(default=())

    @property
    def chosen(self) -> UUID | None:
        """The account to try now; None when nobody can take it."""
        return self._first(RoutingVerdict.CHOSEN)

    @property
    def fallback(self) -> UUID | None:
        """The account to try after the chosen one."""
        return self._first(RoutingVerdict.FALLBACK)

    @property
    def suitable(self) -> tuple[UUID, ...]:
        """The chosen account and its fallbacks, in the order of trying."""
        wanted = (RoutingVerdict.CHOSEN, RoutingVerdict.FALLBACK)
        return tuple(line.account_id for line in self.candidates if line.verdict in wanted)

    def _first(self, verdict: RoutingVerdict) -> UUID | None:
        return next((line.account_id for line in self.candidates if line.verdict is verdict), None)

    def after_failure(self, account_id: UUID, reason: str) -> "RoutingDecision":
        """The decision with `account_id` tried in vain and the next fallback chosen."""
        following = self.fallback if self.chosen == account_id else self.chosen
        return replace(
            self,
            candidates=tuple(
                line._replace(verdict=RoutingVerdict.TRIED_FAILED, reason=reason)
                if line.account_id == account_id
                else line._replace(verdict=RoutingVerdict.CHOSEN, reason="after a failed try")
                if line.account_id == following
                else line
                for line in self.candidates
            ),
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSONB column."""
        return {
            "kind": self.kind,
            "strategy": self.strategy.value,
            "candidates": [
                {
                    "account_id": str(line.account_id),
                    "name": line.name,
                    "rank": line.rank,
                    "verdict": line.verdict.value,
                    "reason": line.reason,
                }
                for line in self.candidates
            ],
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """The inverse of `as_json`."""
        return cls(
            kind=stored["kind"],
            strategy=RoutingStrategy(stored["strategy"]),
            candidates=tuple(
                CandidateVerdict(
                    UUID(line["account_id"]),
                    line["name"],
                    line["rank"],
                    RoutingVerdict(line["verdict"]),
                    line["reason"],
                )
                for line in stored["candidates"]
            ),
        )


def route(candidates: Iterable[Candidate], request: RoutingRequest) -> RoutingDecision:
    """Judge every candidate: the first suitable one is chosen, the others are fallbacks.

    An open breaker is advice: such a candidate is skipped only while another can take the
    payment. A token that cannot leave its account leaves no fallbacks.
    """
    ordered = sorted(candidates, key=_order)
    objections = [_objection(candidate, request) for candidate in ordered]
    chosen = _choose(objections)
    first = ordered[chosen] if chosen is not None else None
    lines = []
    for index, (candidate, objection) in enumerate(zip(ordered, objections, strict=True)):
        if index == chosen:
            verdict, reason = _CHOSEN if objection is None else _LAST_RESORT
        else:
            verdict, reason = objection or _fallback(first, request)
        account = candidate.account
        lines.append(CandidateVerdict(account.id, account.name, index + 1, verdict, reason))
    strategy = RoutingStrategy.FIXED if request.provider else RoutingStrategy.PRIORITY
    return RoutingDecision(request.kind, strategy, tuple(lines))


Objection = tuple[RoutingVerdict, str]
_CHOSEN: Final = (RoutingVerdict.CHOSEN, "first suitable by priority")
_LAST_RESORT: Final = (RoutingVerdict.CHOSEN, "its breaker is open, but nobody else can take it")
_FALLBACK: Final = (RoutingVerdict.FALLBACK, "suitable")
_BREAKER_OPEN: Final = (RoutingVerdict.SKIPPED_BREAKER_OPEN, "its breaker is open")
_FORCED_OPEN: Final = (RoutingVerdict.SKIPPED_BREAKER_OPEN, "an operator opened its breaker")


def _order(candidate: Candidate) -> tuple[int, str]:
    return candidate.account.priority, candidate.account.name


def _choose(objections: Sequence[Objection | None]) -> int | None:
    for index, objection in enumerate(objections):
        if objection is None:
            return index
    for index, objection in enumerate(objections):
        if objection is _BREAKER_OPEN:
            return index
    return None


def _fallback(chosen: Candidate | None, request: RoutingRequest) -> Objection:
    assert chosen is not None, "a suitable candidate is chosen before there are fallbacks"
    if not chosen.portable:
        return RoutingVerdict.SKIPPED_METHOD, f"the token cannot leave {chosen.account.name}"
    if not request.failover:
        return RoutingVerdict.SKIPPED_RULE, "the caller wants no failover"
    return _FALLBACK


def _objection(candidate: Candidate, request: RoutingRequest) -> Objection | None:
    for rule in _RULES:
        objection = rule(candidate, request)
        if objection is not None:
            return objection
    return None


def _wanted(candidate: Candidate, request: RoutingRequest) -> Objection | None:
    account_id = candidate.account.id
    if request.provider is not None and account_id != request.provider:
        return RoutingVerdict.SKIPPED_RULE, "another provider was asked for"
    if account_id in request.excluded:
        return RoutingVerdict.SKIPPED_RULE, "excluded by the caller"
    return None


def _enabled(candidate: Candidate, _: RoutingRequest) -> Objection | None:
    if candidate.account.enabled:
        return None
    return RoutingVerdict.SKIPPED_DISABLED, "disabled"


def _capable(candidate: Candidate, request: RoutingRequest) -> Objection | None:
    if _CAPABILITY[request.kind] in candidate.manifest.capabilities:
        return None
    return RoutingVerdict.SKIPPED_CAPABILITY, f"cannot {request.kind}"


def _currency(candidate: Candidate, request: RoutingRequest) -> Objection | None:
    currencies = candidate.manifest.currencies
    if not currencies or request.amount.currency in currencies:
        return None
    return RoutingVerdict.SKIPPED_CURRENCY, f"does not take {request.amount.currency}"


def _method(candidate: Candidate, request: RoutingRequest) -> Objection | None:
    account = candidate.account
    method = request.method_type
    if method not in candidate.manifest.methods or (
        account.methods and method not in account.methods
    ):
        return RoutingVerdict.SKIPPED_METHOD, f"does not take {method}"
    if not candidate.takes_token:
        return RoutingVerdict.SKIPPED_METHOD, "the token belongs to another provider"
    if request.token_accounts is not None and account.id not in request.token_accounts:
        return RoutingVerdict.SKIPPED_METHOD, "the token belongs to another provider account"
    return None


def _country(candidate: Candidate, request: RoutingRequest) -> Objection | None:
    country = request.country
    if country is None:
        return None
    for allowed in (candidate.manifest.countries, candidate.account.countries):
        if allowed and country not in allowed:
            return RoutingVerdict.SKIPPED_COUNTRY, f"does not serve {country}"
    return None


def _within_limits(candidate: Candidate, request: RoutingRequest) -> Objection | None:
    amount = request.amount
    limit = _limit(candidate.account.limits, amount) or _limit(candidate.manifest.limits, amount)
    if limit is None:
        return None
    if amount.minor_units < limit.min_minor_units:
        return RoutingVerdict.SKIPPED_LIMIT, f"takes no less than {limit.min_minor_units}"
    if amount.minor_units > limit.max_minor_units:
        return RoutingVerdict.SKIPPED_LIMIT, f"takes no more than {limit.max_minor_units}"
    return None


def _limit(limits: tuple[Limits, ...], amount: Money) -> Limits | None:
    for limit in limits:
        if limit.currency == amount.currency:
            return limit
    return None


def _breaker(candidate: Candidate, _: RoutingRequest) -> Objection | None:
    if candidate.breaker is BreakerAdvice.CLOSED:
        return None
    return _BREAKER_OPEN if candidate.breaker is BreakerAdvice.OPEN else _FORCED_OPEN


Rule = Callable[[Candidate, RoutingRequest], Objection | None]
_CAPABILITY: Final = {"SALE": Capability.SALE, "AUTHORIZE": Capability.AUTHORIZE}
_RULES: Final[tuple[Rule, ...]] = (
    _wanted,
    _enabled,
    _capable,
    _currency,
    _method,
    _country,
    _within_limits,
    _breaker,
)
"""In this order; the breaker last, so that its objection means that all else fits."""
