"""Which provider account takes a payment, and why each of the others does not.

A pure function over facts that others gathered, so that every decision can be stored, shown and
computed again.
"""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Final, NamedTuple, Self
from uuid import UUID

from core.money import Money
from gateways.accounts import ProviderAccount
from gateways.port import Manifest

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


class BreakerAdvice(enum.StrEnum):
    """What breakers say about a candidate. Only an operator's order is binding."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    FORCED_OPEN = "FORCED_OPEN"


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
    does not want. `holder` is the one account that can charge a saved method.
    """

    kind: str
    amount: Money
    method_type: str = "card"
    country: str | None = None
    provider: UUID | None = None
    excluded: frozenset[UUID] = frozenset()
    failover: bool = True
    holder: UUID | None = None


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
    ordered = sorted(candidates, key=attrgetter("account.priority", "account.name"))
    objections = [_objection(candidate, request) for candidate in ordered]
    chosen = _choose(objections)
    if chosen is None:
        verdicts = objections
    else:
        fallback = _fallback(ordered[chosen], request)
        verdicts = [objection or fallback for objection in objections]
        verdicts[chosen] = _CHOSEN if objections[chosen] is None else _LAST_RESORT
    lines = [
        CandidateVerdict(candidate.account.id, candidate.account.name, rank, *verdict)
        for rank, (candidate, verdict) in enumerate(zip(ordered, verdicts, strict=True), 1)
        if verdict is not None
    ]
    strategy = RoutingStrategy.FIXED if request.provider else RoutingStrategy.PRIORITY
    return RoutingDecision(request.kind, strategy, tuple(lines))


Objection = tuple[RoutingVerdict, str]
_CLOSED: Final = BreakerAdvice.CLOSED
_CHOSEN: Final = (RoutingVerdict.CHOSEN, "first suitable by priority")
_LAST_RESORT: Final = (RoutingVerdict.CHOSEN, "its breaker is open, but nobody else can take it")
_FALLBACK: Final = (RoutingVerdict.FALLBACK, "suitable")
_BREAKER_OPEN: Final = (RoutingVerdict.SKIPPED_BREAKER_OPEN, "its breaker is open")
_FORCED_OPEN: Final = (RoutingVerdict.SKIPPED_BREAKER_OPEN, "an operator opened its breaker")


def _choose(objections: Sequence[Objection | None]) -> int | None:
    for index, objection in enumerate(objections):
        if objection is None:
            return index
    for index, objection in enumerate(objections):
        if objection is _BREAKER_OPEN:
            return index
    return None


def _fallback(chosen: Candidate, request: RoutingRequest) -> Objection:
    """The verdict on every other suitable candidate."""
    if not chosen.portable:
        return RoutingVerdict.SKIPPED_METHOD, f"the token cannot leave {chosen.account.name}"
    if not request.failover:
        return RoutingVerdict.SKIPPED_RULE, "the caller wants no failover"
    return _FALLBACK


def _objection(candidate: Candidate, request: RoutingRequest) -> Objection | None:
    """Why not; the breaker is asked last, so that its objection means that all else fits."""
    account, manifest = candidate.account, candidate.manifest
    return (
        _ruled_out(account, request)
        or _cannot(candidate, manifest, request)
        or _does_not_serve(account, manifest, request.country)
        or _outside_limits(account, manifest, request.amount)
        or _breaker(candidate.breaker)
    )


def _ruled_out(account: ProviderAccount, request: RoutingRequest) -> Objection | None:
    if request.provider is not None and account.id != request.provider:
        return RoutingVerdict.SKIPPED_RULE, "another provider was asked for"
    if request.excluded and account.id in request.excluded:
        return RoutingVerdict.SKIPPED_RULE, "excluded by the caller"
    if request.holder is not None and account.id != request.holder:
        return RoutingVerdict.SKIPPED_METHOD, "the saved method is kept elsewhere"
    if not account.enabled:
        return RoutingVerdict.SKIPPED_DISABLED, "disabled"
    return None


def _cannot(candidate: Candidate, manifest: Manifest, request: RoutingRequest) -> Objection | None:
    account, method = candidate.account, request.method_type
    if request.kind not in manifest.capabilities:
        return RoutingVerdict.SKIPPED_CAPABILITY, f"cannot {request.kind}"
    if manifest.currencies and request.amount.currency not in manifest.currencies:
        return RoutingVerdict.SKIPPED_CURRENCY, f"does not take {request.amount.currency}"
    if method not in manifest.methods or (account.methods and method not in account.methods):
        return RoutingVerdict.SKIPPED_METHOD, f"does not take {method}"
    if not candidate.takes_token:
        return RoutingVerdict.SKIPPED_METHOD, "the token belongs to another provider"
    return None


def _does_not_serve(
    account: ProviderAccount, manifest: Manifest, country: str | None
) -> Objection | None:
    if country is None:
        return None
    if (account.countries and country not in account.countries) or (
        manifest.countries and country not in manifest.countries
    ):
        return RoutingVerdict.SKIPPED_COUNTRY, f"does not serve {country}"
    return None


def _outside_limits(
    account: ProviderAccount, manifest: Manifest, amount: Money
) -> Objection | None:
    for limit in (*account.limits, *manifest.limits):
        if limit.currency == amount.currency:
            if amount.minor_units < limit.min_minor_units:
                return RoutingVerdict.SKIPPED_LIMIT, f"takes no less than {limit.min_minor_units}"
            if amount.minor_units > limit.max_minor_units:
                return RoutingVerdict.SKIPPED_LIMIT, f"takes no more than {limit.max_minor_units}"
            return None
    return None


def _breaker(advice: BreakerAdvice) -> Objection | None:
    if advice is _CLOSED:
        return None
    return _FORCED_OPEN if advice is BreakerAdvice.FORCED_OPEN else _BREAKER_OPEN
