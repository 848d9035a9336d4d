"""Stops calls to a provider that does not answer, and lets one through at a time to see if it does.

pybreaker decides state and counting; this guard decides admission, because calls here are awaited
and overlap: half-open lets exactly one probe pass, what an old call learns late does not count for
the new state, a cancelled call says nothing, and a decline is a sign of health.

    CLOSED ── failures in a row ──▶ OPEN ── wait over ──▶ HALF_OPEN ── probe good ──▶ CLOSED
                                     ▲────── probe bad (wait doubles) ──────┘
"""

import enum
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import pybreaker

from core.clock import Clock
from gateways.accounts import BreakerPolicy, ProviderAccount
from gateways.driver import Health
from gateways.routing import BreakerAdvice

NEVER_GATED: Final = frozenset({"VOID", "LOOKUP"})
"""Kinds that are only watched: they give money back, or find out about it."""


class BreakerState(enum.StrEnum):
    """What the breaker does with calls."""

    CLOSED = "CLOSED"
    HALF_OPEN = "HALF_OPEN"
    OPEN = "OPEN"
    FORCED_OPEN = "FORCED_OPEN"


class BreakerOpen(Exception):
    """The call is refused. `retry_after_seconds` is None when an operator has to act."""

    def __init__(self, retry_after_seconds: float | None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__("the breaker is open")


@dataclass(frozen=True, slots=True)
class BreakerStatus:
    """One breaker as it is now; also what listeners are told at each change."""

    account_id: UUID
    kind: str
    state: BreakerState
    since: datetime
    failures: int
    next_probe_at: datetime | None
    dry_run: bool


BreakerListener = Callable[[BreakerStatus], None]


@dataclass(frozen=True, slots=True)
class Admission:
    """Leave to make one call. To be recorded exactly once, when the call is over."""

    epoch: int
    is_probe: bool


class _ProviderFailed(Exception):
    """Stands for any infrastructure failure, for pybreaker to count."""


def _good() -> None:
    pass


def _bad() -> None:
    raise _ProviderFailed


class _EpochListener(pybreaker.CircuitBreakerListener):
    """Tells the guard each new state: the library's `current_state` is still the old one here."""

    def __init__(self, changed: Callable[[str], None]) -> None:
        self.changed = changed

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,  # noqa: ARG002 - the library's signature
        old_state: pybreaker.CircuitBreakerState | None,  # noqa: ARG002 - as above
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        self.changed(new_state.name)


class Breaker:
    """The breaker of one (provider account, operation kind). Used from one event loop only."""

    def __init__(
        self,
        account_id: UUID,
        kind: str,
        policy: BreakerPolicy,
        *,
        clock: Clock,
        rng: random.Random,
        listener: BreakerListener,
    ) -> None:
        self.account_id = account_id
        self.kind = kind
        self._clock = clock
        self._random = rng
        self._listener = listener
        self._policy = policy
        self._epoch = 0
        self._state = pybreaker.STATE_CLOSED
        self._since = clock.now()
        self._reopened = 0
        self._wait_seconds = 0.0
        self._opened_at = 0.0
        self._probe: Admission | None = None
        self._circuit = pybreaker.CircuitBreaker(
            fail_max=policy.failures_to_open, throw_new_error_on_trip=False
        )
        self._circuit.add_listener(_EpochListener(self._changed))

    @property
    def policy(self) -> BreakerPolicy:
        """Thresholds and waits; data of the provider account, changeable at any time."""
        return self._policy

    @policy.setter
    def policy(self, policy: BreakerPolicy) -> None:
        was_forced, self._policy = self._policy.forced_open, policy
        self._circuit.fail_max = policy.failures_to_open
        if was_forced != policy.forced_open:
            self._since = self._clock.now()
            self._listener(self.status())

    @property
    def state(self) -> BreakerState:
        """The state now; OPEN until somebody asks for leave after the wait."""
        if self._policy.forced_open:
            return BreakerState.FORCED_OPEN
        return _STATES[self._state]

    def admit(self) -> Admission:
        """Leave to make a call. Raises: BreakerOpen."""
        if self._state == pybreaker.STATE_OPEN and self._left_seconds() <= 0:
            self._circuit.half_open()
        if self._refuses() and not self._only_watches:
            raise BreakerOpen(self._retry_after_seconds())
        half_open = self._state == pybreaker.STATE_HALF_OPEN
        admission = Admission(self._epoch, is_probe=half_open and self._probe is None)
        if admission.is_probe:
            self._probe = admission
        return admission

    def record(self, admission: Admission, health: Health) -> None:
        """Say how the call ended. NEUTRAL frees the probe's place and changes nothing else."""
        if admission.epoch != self._epoch:
            return
        if admission is self._probe:
            self._probe = None
        elif self._state != pybreaker.STATE_CLOSED:
            return
        match health:
            case Health.GOOD:
                self._circuit.call(_good)
            case Health.BAD:
                self._fail()
            case Health.NEUTRAL:
                pass

    def advice(self) -> BreakerAdvice:
        """What the router should think of it."""
        if self._only_watches:
            return BreakerAdvice.CLOSED
        if self._policy.forced_open:
            return BreakerAdvice.FORCED_OPEN
        if self._state == pybreaker.STATE_OPEN and self._left_seconds() <= 0:
            return BreakerAdvice.CLOSED
        return BreakerAdvice.OPEN if self._refuses() else BreakerAdvice.CLOSED

    def status(self) -> BreakerStatus:
        """A picture of it."""
        state = self.state
        probe_at = None
        if state is BreakerState.OPEN:
            probe_at = self._clock.now() + timedelta(seconds=max(0.0, self._left_seconds()))
        return BreakerStatus(
            account_id=self.account_id,
            kind=self.kind,
            state=state,
            since=self._since,
            failures=self._circuit.fail_counter,
            next_probe_at=probe_at,
            dry_run=self._only_watches,
        )

    @property
    def _only_watches(self) -> bool:
        return self.kind in NEVER_GATED or (self._policy.dry_run and not self._policy.forced_open)

    def _refuses(self) -> bool:
        if self._policy.forced_open:
            return True
        state = self._state
        if state == pybreaker.STATE_HALF_OPEN:
            return self._probe is not None
        return bool(state == pybreaker.STATE_OPEN)

    def _retry_after_seconds(self) -> float | None:
        return None if self._policy.forced_open else max(1.0, self._left_seconds())

    def _left_seconds(self) -> float:
        return self._opened_at + self._wait_seconds - self._clock.monotonic()

    def _fail(self) -> None:
        try:
            self._circuit.call(_bad)
        except _ProviderFailed:
            return

    def _changed(self, state: str) -> None:
        """A new state: calls of the old one no longer count."""
        self._state = state
        self._epoch += 1
        self._probe = None
        self._since = self._clock.now()
        if state == pybreaker.STATE_OPEN:
            self._opened_at = self._clock.monotonic()
            self._wait_seconds = self._next_wait()
            self._reopened += 1
        elif state == pybreaker.STATE_CLOSED:
            self._reopened = 0
        self._listener(self.status())

    def _next_wait(self) -> float:
        policy = self._policy
        doubled = min(policy.reset_seconds * 2.0**self._reopened, policy.reset_seconds_max)
        spread = self._random.uniform(1 - policy.jitter, 1 + policy.jitter)
        return min(doubled * spread, policy.reset_seconds_max)


_STATES: Final = {
    pybreaker.STATE_CLOSED: BreakerState.CLOSED,
    pybreaker.STATE_HALF_OPEN: BreakerState.HALF_OPEN,
    pybreaker.STATE_OPEN: BreakerState.OPEN,
}


@dataclass(slots=True)
class Breakers:
    """The breakers of this process, made when first asked for."""

    clock: Clock
    rng: random.Random = field(repr=False)
    listeners: list[BreakerListener] = field(default_factory=list)
    _breakers: dict[tuple[UUID, str], Breaker] = field(default_factory=dict, init=False)

    def of(self, account: ProviderAccount, kind: str) -> Breaker:
        """The breaker of one account and kind, following the account's policy as it is now."""
        key = (account.id, kind)
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = Breaker(
                account.id,
                kind,
                account.breaker_policy,
                clock=self.clock,
                rng=self.rng,
                listener=self._publish,
            )
            self._breakers[key] = breaker
        elif breaker.policy != account.breaker_policy:
            breaker.policy = account.breaker_policy
        return breaker

    def _publish(self, status: BreakerStatus) -> None:
        for listener in self.listeners:
            listener(status)
