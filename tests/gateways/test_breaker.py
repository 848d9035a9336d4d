"""The breaker: each trap that was measured on the bare library has its test here."""

import random
import timeit

import pybreaker
import pytest

from core.clock import SystemClock
from core.identifiers import new_id
from gateways.accounts import BreakerPolicy
from gateways.breaker import Breaker, BreakerOpen, Breakers, BreakerState, BreakerStatus
from gateways.driver import Health
from gateways.routing import BreakerAdvice
from tests.gateways.builders import FakeClock, a_policy, an_account


def a_breaker(
    clock: FakeClock, policy: BreakerPolicy | None = None, kind: str = "SALE"
) -> tuple[Breaker, list[BreakerStatus]]:
    told: list[BreakerStatus] = []
    breaker = Breaker(
        new_id(),
        kind,
        policy or a_policy(),
        clock=clock,
        rng=random.Random(1),
        listener=told.append,
    )
    return breaker, told


def state_of(breaker: Breaker) -> BreakerState:
    return breaker.state


def call(breaker: Breaker, health: Health) -> None:
    breaker.record(breaker.admit(), health)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        call(breaker, Health.BAD)


def test_it_opens_at_the_fifth_failure_in_a_row_and_not_before() -> None:
    breaker, _ = a_breaker(FakeClock())

    fail(breaker, 4)
    assert state_of(breaker) is BreakerState.CLOSED
    fail(breaker, 1)

    assert state_of(breaker) is BreakerState.OPEN
    with pytest.raises(BreakerOpen) as refused:
        breaker.admit()
    assert refused.value.retry_after_seconds == pytest.approx(30.0)


def test_a_success_between_failures_starts_the_count_again() -> None:
    breaker, _ = a_breaker(FakeClock())

    fail(breaker, 4)
    call(breaker, Health.GOOD)
    fail(breaker, 4)

    assert state_of(breaker) is BreakerState.CLOSED


def test_a_neutral_end_neither_counts_nor_resets() -> None:
    breaker, _ = a_breaker(FakeClock())

    fail(breaker, 4)
    for _ in range(10):
        call(breaker, Health.NEUTRAL)
    assert state_of(breaker) is BreakerState.CLOSED
    fail(breaker, 1)

    assert state_of(breaker) is BreakerState.OPEN


def test_half_open_admits_one_probe_at_a_time() -> None:
    clock = FakeClock()
    breaker, _ = a_breaker(clock)
    fail(breaker, 5)
    clock.pass_(30.0)

    probe = breaker.admit()

    assert state_of(breaker) is BreakerState.HALF_OPEN
    assert probe.is_probe
    for _ in range(20):
        with pytest.raises(BreakerOpen):
            breaker.admit()
    breaker.record(probe, Health.GOOD)
    assert state_of(breaker) is BreakerState.CLOSED


def test_a_cancelled_probe_gives_its_place_to_the_next() -> None:
    clock = FakeClock()
    breaker, _ = a_breaker(clock)
    fail(breaker, 5)
    clock.pass_(30.0)

    breaker.record(breaker.admit(), Health.NEUTRAL)

    assert state_of(breaker) is BreakerState.HALF_OPEN
    assert breaker.admit().is_probe


def test_late_failures_of_old_calls_do_not_open_a_recovered_breaker() -> None:
    clock = FakeClock()
    breaker, _ = a_breaker(clock)
    slow = [breaker.admit() for _ in range(10)]
    fail(breaker, 5)
    clock.pass_(30.0)
    call(breaker, Health.GOOD)

    for admission in slow:
        breaker.record(admission, Health.BAD)

    assert state_of(breaker) is BreakerState.CLOSED
    fail(breaker, 4)
    assert state_of(breaker) is BreakerState.CLOSED


def test_a_late_success_of_an_old_call_does_not_close_an_open_breaker() -> None:
    breaker, _ = a_breaker(FakeClock())
    slow = breaker.admit()
    fail(breaker, 5)

    breaker.record(slow, Health.GOOD)

    assert state_of(breaker) is BreakerState.OPEN


def test_each_failed_probe_doubles_the_wait_up_to_five_minutes_and_success_forgets_it() -> None:
    clock = FakeClock()
    breaker, told = a_breaker(clock)
    fail(breaker, 5)
    waits = []
    for _ in range(6):
        assert told[-1].next_probe_at is not None
        waits.append((told[-1].next_probe_at - clock.now()).total_seconds())
        clock.pass_(waits[-1])
        call(breaker, Health.BAD)

    assert waits == pytest.approx([30, 60, 120, 240, 300, 300])
    clock.pass_(300.0)
    call(breaker, Health.GOOD)
    fail(breaker, 5)
    assert breaker.status().next_probe_at is not None
    with pytest.raises(BreakerOpen) as refused:
        breaker.admit()
    assert refused.value.retry_after_seconds == pytest.approx(30.0)


def test_waits_are_spread_by_a_fifth() -> None:
    clock = FakeClock()
    waits = set()
    breakers = Breakers(clock, random.Random(3))
    for _ in range(200):
        breaker = breakers.of(an_account(), "SALE")
        fail(breaker, 5)
        with pytest.raises(BreakerOpen) as refused:
            breaker.admit()
        assert refused.value.retry_after_seconds is not None
        waits.add(refused.value.retry_after_seconds)

    assert 24.0 <= min(waits) < 26.0
    assert 34.0 < max(waits) <= 36.0


@pytest.mark.parametrize("kind", ["VOID", "LOOKUP"])
def test_voids_and_lookups_are_never_refused(kind: str) -> None:
    breaker, _ = a_breaker(FakeClock(), a_policy(forced_open=True), kind=kind)

    fail(breaker, 50)

    breaker.admit()
    assert breaker.advice() is BreakerAdvice.CLOSED


def test_a_dry_run_watches_and_refuses_nothing() -> None:
    clock = FakeClock()
    breaker, told = a_breaker(clock, a_policy(dry_run=True))

    fail(breaker, 50)

    assert state_of(breaker) is BreakerState.OPEN
    assert [status.state for status in told] == [BreakerState.OPEN]
    clock.pass_(30.0)
    probe, other = breaker.admit(), breaker.admit()
    breaker.record(other, Health.BAD)
    assert state_of(breaker) is BreakerState.HALF_OPEN
    breaker.record(probe, Health.GOOD)
    assert state_of(breaker) is BreakerState.CLOSED


def test_an_operator_can_close_the_door_and_open_it_again() -> None:
    clock = FakeClock()
    breakers = Breakers(clock, random.Random(1))
    account = an_account(breaker_policy=a_policy(forced_open=True))

    breaker = breakers.of(account, "SALE")

    with pytest.raises(BreakerOpen) as refused:
        breaker.admit()
    assert refused.value.retry_after_seconds is None
    assert breaker.advice() is BreakerAdvice.FORCED_OPEN
    freed = an_account(id=account.id, breaker_policy=a_policy())
    assert breakers.of(freed, "SALE") is breaker
    breaker.admit()


def test_a_changed_policy_applies_at_once() -> None:
    breakers = Breakers(FakeClock(), random.Random(1))
    account = an_account(breaker_policy=a_policy())
    fail(breakers.of(account, "SALE"), 1)

    strict = an_account(id=account.id, breaker_policy=a_policy(failures_to_open=2))
    fail(breakers.of(strict, "SALE"), 1)

    assert breakers.of(strict, "SALE").state is BreakerState.OPEN


def test_accounts_and_kinds_do_not_share_a_breaker() -> None:
    breakers = Breakers(FakeClock(), random.Random(1))
    one, other = an_account(), an_account()
    fail(breakers.of(one, "SALE"), 5)

    states = [
        breakers.of(account, kind).state for account, kind in [(one, "REFUND"), (other, "SALE")]
    ]

    assert states == [BreakerState.CLOSED, BreakerState.CLOSED]


def test_listeners_are_told_each_new_state_as_it_is_then() -> None:
    clock = FakeClock()
    breaker, told = a_breaker(clock)

    fail(breaker, 5)
    clock.pass_(30.0)
    call(breaker, Health.GOOD)

    assert [status.state for status in told] == [
        BreakerState.OPEN,
        BreakerState.HALF_OPEN,
        BreakerState.CLOSED,
    ]


def test_once_the_wait_is_over_the_router_is_told_to_send_a_probe() -> None:
    clock = FakeClock()
    breaker, _ = a_breaker(clock)
    fail(breaker, 5)
    assert breaker.advice() is BreakerAdvice.OPEN

    clock.pass_(30.0)

    assert breaker.advice() is BreakerAdvice.CLOSED
    breaker.admit()
    assert breaker.advice() is BreakerAdvice.OPEN


def test_the_guard_costs_little_more_than_the_library_it_guards() -> None:
    breakers = Breakers(SystemClock(), random.Random(1))
    account = an_account()
    library = pybreaker.CircuitBreaker()

    def guarded() -> None:
        breaker = breakers.of(account, "SALE")
        breaker.record(breaker.admit(), Health.GOOD)

    def plain() -> None:
        library.call(int)

    ours = min(timeit.repeat(guarded, number=500, repeat=15))
    theirs = min(timeit.repeat(plain, number=500, repeat=15))
    assert ours < 8 * theirs
