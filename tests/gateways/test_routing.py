"""Every candidate gets a verdict and a reason."""

import timeit
from typing import Any

import orjson
import pytest

from core.money import Money
from gateways.failover import RetryAllowance, next_candidate
from gateways.port import (
    Capability,
    DeclineKind,
    Failure,
    Limits,
    Manifest,
    Outcome,
    OutcomeStatus,
)
from gateways.routing import (
    BreakerAdvice,
    Candidate,
    RoutingDecision,
    RoutingRequest,
    RoutingStrategy,
    RoutingVerdict,
    route,
)
from tests.gateways.builders import an_account, ids

V = RoutingVerdict


def a_manifest(**changes: Any) -> Manifest:
    settings: dict[str, Any] = {
        "name": "plain",
        "version": "1",
        "sdk": "1",
        "capabilities": frozenset({Capability.SALE, Capability.AUTHORIZE}),
        "methods": frozenset({"card"}),
    }
    return Manifest(**{**settings, **changes})


def a_candidate(name: str = "a", *, manifest: Manifest | None = None, **changes: Any) -> Candidate:
    about = {
        key: changes.pop(key) for key in ("takes_token", "portable", "breaker") if key in changes
    }
    account = an_account(**{"name": name, **changes})
    return Candidate(account, manifest or a_manifest(), **about)


def a_request(**changes: Any) -> RoutingRequest:
    settings: dict[str, Any] = {"kind": "SALE", "amount": Money(4250, "EUR"), "country": "DE"}
    return RoutingRequest(**{**settings, **changes})


def verdicts(decision: RoutingDecision) -> dict[str, RoutingVerdict]:
    assert all(line.reason for line in decision.candidates)
    return {line.name: line.verdict for line in decision.candidates}


def test_the_lowest_priority_number_is_chosen_and_the_rest_are_fallbacks() -> None:
    candidates = [a_candidate(name, priority=n) for name, n in [("c", 3), ("a", 1), ("b", 2)]]

    decision = route(candidates, a_request())

    assert verdicts(decision) == {"a": V.CHOSEN, "b": V.FALLBACK, "c": V.FALLBACK}
    assert [line.rank for line in decision.candidates] == [1, 2, 3]
    assert decision.strategy is RoutingStrategy.PRIORITY


def _eur(low: int, high: int) -> tuple[Limits, ...]:
    return (Limits("EUR", low, high),)


@pytest.mark.parametrize(
    ("changes", "request_changes", "verdict"),
    [
        ({"enabled": False}, {}, V.SKIPPED_DISABLED),
        ({}, {"kind": "AUTHORIZE"}, V.CHOSEN),
        (
            {"manifest": a_manifest(capabilities=frozenset({Capability.SALE}))},
            {"kind": "AUTHORIZE"},
            V.SKIPPED_CAPABILITY,
        ),
        ({"manifest": a_manifest(currencies=frozenset({"USD"}))}, {}, V.SKIPPED_CURRENCY),
        ({"manifest": a_manifest(currencies=frozenset({"EUR"}))}, {}, V.CHOSEN),
        ({}, {"method_type": "ideal"}, V.SKIPPED_METHOD),
        ({"methods": frozenset({"ideal"})}, {}, V.SKIPPED_METHOD),
        ({"takes_token": False}, {}, V.SKIPPED_METHOD),
        ({"countries": frozenset({"FR"})}, {}, V.SKIPPED_COUNTRY),
        ({"manifest": a_manifest(countries=frozenset({"FR"}))}, {}, V.SKIPPED_COUNTRY),
        ({"countries": frozenset({"FR"})}, {"country": None}, V.CHOSEN),
        ({"limits": _eur(4250, 4250)}, {}, V.CHOSEN),
        ({"limits": _eur(4251, 9999)}, {}, V.SKIPPED_LIMIT),
        ({"limits": _eur(1, 4249)}, {}, V.SKIPPED_LIMIT),
        ({"manifest": a_manifest(limits=_eur(5000, 9999))}, {}, V.SKIPPED_LIMIT),
        (
            {"manifest": a_manifest(limits=_eur(5000, 9999)), "limits": _eur(1, 9999)},
            {},
            V.CHOSEN,
        ),
        ({"limits": (Limits("USD", 1, 2),)}, {}, V.CHOSEN),
        ({}, {"provider": ids(1)[0]}, V.SKIPPED_RULE),
        ({"breaker": BreakerAdvice.FORCED_OPEN}, {}, V.SKIPPED_BREAKER_OPEN),
    ],
)
def test_what_rules_a_candidate_out(
    changes: dict[str, Any], request_changes: dict[str, Any], verdict: RoutingVerdict
) -> None:
    decision = route([a_candidate(**changes)], a_request(**request_changes))

    assert verdicts(decision) == {"a": verdict}
    assert (decision.chosen is not None) == (verdict is V.CHOSEN)


def test_an_excluded_account_is_not_tried() -> None:
    first, second = a_candidate("a", priority=1), a_candidate("b", priority=2)

    decision = route([first, second], a_request(excluded=frozenset({first.account.id})))

    assert verdicts(decision) == {"a": V.SKIPPED_RULE, "b": V.CHOSEN}


def test_a_fixed_provider_has_no_fallback() -> None:
    first, second = a_candidate("a", priority=1), a_candidate("b", priority=2)

    decision = route([first, second], a_request(provider=second.account.id))

    assert verdicts(decision) == {"a": V.SKIPPED_RULE, "b": V.CHOSEN}
    assert decision.strategy is RoutingStrategy.FIXED


def test_a_bound_token_has_no_fallback() -> None:
    candidates = [a_candidate(name, portable=False) for name in "ab"]

    assert verdicts(route(candidates, a_request())) == {"a": V.CHOSEN, "b": V.SKIPPED_METHOD}


def test_no_failover_when_the_caller_wants_none() -> None:
    candidates = [a_candidate(name) for name in "ab"]

    decision = route(candidates, a_request(failover=False))

    assert verdicts(decision) == {"a": V.CHOSEN, "b": V.SKIPPED_RULE}


def test_an_open_breaker_is_passed_over_but_is_no_veto() -> None:
    broken = a_candidate("a", breaker=BreakerAdvice.OPEN)

    with_another = route([broken, a_candidate("b")], a_request())
    alone = route([broken], a_request())

    assert verdicts(with_another) == {"a": V.SKIPPED_BREAKER_OPEN, "b": V.CHOSEN}
    assert verdicts(alone) == {"a": V.CHOSEN}


def test_nobody_suitable_still_explains_everybody() -> None:
    decision = route(
        [a_candidate("a", enabled=False), a_candidate("b", takes_token=False)], a_request()
    )

    assert decision.chosen is None
    assert verdicts(decision) == {"a": V.SKIPPED_DISABLED, "b": V.SKIPPED_METHOD}


def test_a_decision_survives_json() -> None:
    decision = route([a_candidate(name) for name in "abc"], a_request())

    stored = orjson.loads(orjson.dumps(decision.as_json()))

    assert RoutingDecision.from_json(stored) == decision


def test_after_a_failure_the_next_is_chosen_and_the_first_is_marked() -> None:
    decision = route([a_candidate(name) for name in "abc"], a_request())
    assert decision.chosen is not None

    later = decision.after_failure(decision.chosen, "connect_failed")

    assert verdicts(later) == {"a": V.TRIED_FAILED, "b": V.CHOSEN, "c": V.FALLBACK}


def test_twenty_candidates_are_judged_fast() -> None:
    candidates = [
        a_candidate(f"a{n}", priority=n, countries=frozenset({"DE"}), limits=_eur(1, 10**6))
        for n in range(20)
    ]
    request = a_request()

    best = min(timeit.repeat(lambda: route(candidates, request), number=300, repeat=5)) / 300

    assert best < 200e-6


NOT_SENT = Outcome(
    OutcomeStatus.NOT_EXECUTED,
    failure=Failure("connect_failed", "", retry_same_provider=True, retry_other_provider=True),
)


def declined(kind: DeclineKind, *, elsewhere: bool = True, advice: str | None = None) -> Outcome:
    failure = Failure("declined", "", kind, advice_code=advice, retry_other_provider=elsewhere)
    return Outcome(OutcomeStatus.DECLINED, failure=failure)


def the_next(outcome: Outcome, *, kind: str = "SALE", count: int = 2) -> bool:
    decision = route([a_candidate(name) for name in "ab"], a_request(kind=kind))
    assert decision.chosen is not None
    tried = frozenset({decision.chosen, *ids(count - 2)}) if count > 1 else frozenset()
    return next_candidate(decision, outcome, tried) is not None


@pytest.mark.parametrize("kind", [DeclineKind.SOFT, DeclineKind.CONFIG, DeclineKind.LIMIT])
def test_such_a_decline_may_be_retried_elsewhere(kind: DeclineKind) -> None:
    assert the_next(declined(kind))
    assert not the_next(declined(kind, elsewhere=False))
    assert not the_next(declined(kind, advice="03"))


@pytest.mark.parametrize(
    "kind", [kind for kind in DeclineKind if kind not in {"SOFT", "CONFIG", "LIMIT"}]
)
def test_such_a_decline_ends_it(kind: DeclineKind) -> None:
    assert not the_next(declined(kind))


@pytest.mark.parametrize(
    "status",
    [
        status
        for status in OutcomeStatus
        if status not in {OutcomeStatus.NOT_EXECUTED, OutcomeStatus.DECLINED}
    ],
)
def test_whatever_may_have_moved_money_never_goes_elsewhere(status: OutcomeStatus) -> None:
    failure = Failure("timeout", "", DeclineKind.SOFT, retry_other_provider=True)

    assert not the_next(Outcome(status, failure=failure))


def test_nothing_sent_goes_to_the_next() -> None:
    assert the_next(NOT_SENT)


def test_only_the_first_money_of_a_payment_changes_provider() -> None:
    decision = route([a_candidate(name) for name in "ab"], a_request())
    capture = RoutingDecision("CAPTURE", decision.strategy, decision.candidates)

    assert next_candidate(capture, NOT_SENT, frozenset()) is None


def test_two_more_providers_at_most_are_tried() -> None:
    candidates = [a_candidate(name) for name in "abcde"]
    decision = route(candidates, a_request())
    tried: set[Any] = {decision.chosen}
    while (following := next_candidate(decision, NOT_SENT, frozenset(tried))) is not None:
        tried.add(following)

    assert len(tried) == 3


def test_retries_cannot_grow_beyond_a_share_of_the_calls() -> None:
    allowance = RetryAllowance()
    retries = 0
    for _ in range(1000):
        allowance.earn()
        while allowance.take():
            retries += 1

    assert retries <= 10 + 1000 * 0.2
