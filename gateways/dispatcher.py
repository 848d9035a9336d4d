"""Sends operations to providers: the breaker's leave, a place in the queue, the driver, retries.

Knows no database. Whether to go to another provider is answered by `next_candidate`; the payments
package asks, because it has to write down each try first.
"""

import asyncio
import random
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

import httpx

from core.claims import full_jitter
from core.clock import Clock
from gateways.accounts import ProviderAccount
from gateways.breaker import NEVER_GATED, BreakerOpen, Breakers
from gateways.driver import (
    BeforeMoney,
    Caller,
    Driver,
    FlowStopped,
    Health,
    Prepared,
    Result,
    check_integrity,
    outcome_of_stop,
    prepare,
)
from gateways.failover import RETRIES_MAX, RetryAllowance, may_try_again
from gateways.metrics import GatewayMetrics
from gateways.port import (
    WEBHOOK_SECRET,
    BadRequest,
    BadSignature,
    CallbackRequest,
    Failure,
    Flow,
    HttpCall,
    LookupResult,
    Operation,
    Outcome,
    OutcomeStatus,
    ProviderAdapter,
    ProviderEvent,
    StoredMethod,
    SupportsCapture,
    SupportsRefund,
    SupportsStoredMethods,
    SupportsVoid,
    SupportsWebhooks,
    Unparseable,
)
from gateways.registry import Registry
from gateways.routing import Candidate
from gateways.transcript import Exchange

BACKOFF_SECONDS: Final = 0.2
BACKOFF_SECONDS_MAX: Final = 2.0
FORCED_OPEN_RETRY_SECONDS: Final = 60.0
_BETTER_ELSEWHERE: Final = frozenset({"breaker_open", "too_many_calls", "budget_exhausted"})
"""Waiting here would only delay another provider, or the next scheduled try."""


@dataclass(slots=True, eq=False)
class PreparedOperation:
    """An operation ready to be sent to one account: nothing has been sent yet.

    `call` is the first call if it moves money: store it (`pack_call`) and write SENT with it.
    `refusal` is set when the operation cannot be expressed for this provider: do not send.
    `money_began` stays readable when `send` was cancelled: True means UNKNOWN.
    """

    account: ProviderAccount
    operation: Operation
    flow: Prepared[Outcome]
    clock: Clock = field(repr=False)
    sent_since: float | None = None
    """When SENT was written beforehand: the lease runs since then, so the budget does too."""
    _committed: list[HttpCall] = field(default_factory=list)
    _earlier: list[Prepared[Outcome]] = field(default_factory=list)

    @property
    def call(self) -> HttpCall | None:
        return self.flow.money_call

    @property
    def refusal(self) -> Outcome | None:
        stopped = self.flow.stopped
        return outcome_of_stop(stopped, money_began=False) if stopped else self.flow.result

    @property
    def money_began(self) -> bool:
        return self.flow.money_began

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Every call made so far, masked, also after a cancellation."""
        runs = (*self._earlier, self.flow)
        return tuple(exchange for run in runs for exchange in run.exchanges)

    def sent_is_committed(self) -> None:
        """SENT is committed for `call` with the intent: `before_money` is not asked about it.

        To be called where the lease is taken: nothing is sent later than the budget allows from
        here, even if the process was stopped in between and somebody else has taken over.
        """
        assert self.call is not None
        self._committed.append(self.call)
        self.sent_since = self.clock.monotonic()

    async def commit_once(self, call: HttpCall, before_money: BeforeMoney) -> None:
        """Await `before_money`, unless this very call went through it before."""
        if call not in self._committed:
            await before_money(call)
            self._committed.append(call)

    def begin_again(self, flow: Prepared[Outcome]) -> None:
        """Replace a flow that sent nothing by a fresh one of the same operation."""
        assert not self.flow.money_began or self.flow.result is not None
        self._earlier.append(self.flow)
        self.flow = flow


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What came of sending an operation. `money_began`: a MONEY call may have been processed."""

    outcome: Outcome
    exchanges: tuple[Exchange, ...]
    money_began: bool


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What a lookup found; `answered` is False when the provider could not be asked."""

    result: LookupResult
    exchanges: tuple[Exchange, ...]
    answered: bool


@dataclass(slots=True)
class _Lane:
    """The share of one provider account in this process: calls at once, and retries."""

    places: asyncio.Semaphore
    allowance: RetryAllowance = field(default_factory=RetryAllowance)


@dataclass(frozen=True, slots=True)
class _Errand:
    """Where to go, until when, and for whom."""

    account: ProviderAccount
    kind: str
    started: float
    deadline: float
    correlation_id: str
    before_money: BeforeMoney
    stored: Mapping[str, HttpCall] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Dispatcher:
    """One per process. `budget_seconds` bounds all calls of one operation together.

    `concurrency` is how many calls may be at one provider account at once: one that hangs cannot
    take the places of the others.
    """

    registry: Registry
    client: httpx.AsyncClient
    breakers: Breakers
    clock: Clock
    rng: random.Random
    metrics: GatewayMetrics
    budget_seconds: float = 10.0
    concurrency: int = 64
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    driver: Driver = field(init=False)
    _lanes: dict[tuple[UUID, bool], _Lane] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.driver = Driver(self.client, self.clock)

    def prepare(self, account: ProviderAccount, operation: Operation) -> PreparedOperation:
        """Advance the operation to its first call, without I/O. Raises: UnknownAdapter."""
        return PreparedOperation(account, operation, self._begin(account, operation), self.clock)

    async def send(
        self,
        prepared: PreparedOperation,
        before_money: BeforeMoney,
        *,
        correlation_id: str = "",
    ) -> Dispatched:
        """Send it; try again, twice at most, only where nothing was executed.

        `before_money` is awaited before each MONEY call, once per distinct call. Raises: whatever
        it raised (nothing was sent then); CancelledError (see `prepared.money_began`).
        """
        account, operation = prepared.account, prepared.operation

        async def once(call: HttpCall) -> None:
            await prepared.commit_once(call, before_money)

        errand = self._errand(account, operation.kind, correlation_id, once)
        if prepared.sent_since is not None:
            errand = replace(errand, deadline=prepared.sent_since + self.budget_seconds)
        allowance = self._lane(errand).allowance
        allowance.earn()
        for tries in range(RETRIES_MAX + 1):
            outcome = await self._try(prepared.flow, operation, errand)
            wait = self._wait_before_retry(outcome, tries, errand)
            if wait is None or not allowance.take():
                break
            await self.sleep(wait)
            self.metrics.retries.labels(account.adapter, operation.kind).inc()
            prepared.begin_again(self._begin(account, operation))
        self._measure(errand, outcome.status, outcome.failure)
        return Dispatched(outcome, prepared.exchanges, prepared.money_began)

    async def replay(
        self,
        account: ProviderAccount,
        operation: Operation,
        stored: Sequence[HttpCall],
        before_money: BeforeMoney,
        *,
        correlation_id: str = "",
    ) -> Dispatched:
        """Send the stored bytes of an operation again, with their keys, to learn its outcome.

        A MONEY call without a stored twin is new and goes through `before_money`. That nothing
        was executed *now* says nothing about the first time: such an outcome stays UNKNOWN.
        """
        prepared = self.prepare(account, operation)
        by_key = {call.idempotency_key: call for call in stored if call.idempotency_key}
        errand = self._errand(account, operation.kind, correlation_id, before_money, by_key)
        outcome = await self._try(prepared.flow, operation, errand)
        if outcome.status is OutcomeStatus.NOT_EXECUTED:
            outcome = Outcome(OutcomeStatus.UNKNOWN, failure=outcome.failure)
        self._measure(errand, outcome.status, outcome.failure)
        return Dispatched(outcome, prepared.exchanges, prepared.money_began)

    async def lookup(
        self, account: ProviderAccount, operation: Operation, *, correlation_id: str = ""
    ) -> LookedUp:
        """Ask the provider what happened to an operation. Never refused by a breaker."""
        flow = prepare(self.registry.of(account.adapter).lookup(operation))
        errand = self._errand(account, "LOOKUP", correlation_id, _no_money)
        try:
            result = await self._guarded(flow, errand)
        except FlowStopped as stopped:
            self._measure(errand, OutcomeStatus.UNKNOWN, Failure(stopped.code, stopped.message))
            return LookedUp(LookupResult(), tuple(flow.exchanges), answered=False)
        if result.outcome is not None:
            checked = check_integrity(operation, result.outcome)
            result = LookupResult(checked, result.not_found_is_conclusive)
        self._measure(errand, OutcomeStatus.SUCCEEDED, None)
        return LookedUp(result, tuple(flow.exchanges), answered=True)

    async def detach(
        self, account: ProviderAccount, method: StoredMethod, key: str, *, correlation_id: str = ""
    ) -> bool:
        """Whether the provider surely has forgotten a method; if not, ask again later."""
        adapter = self.registry.of(account.adapter)
        if not isinstance(adapter, SupportsStoredMethods):
            return False
        flow = prepare(adapter.detach(account.credentials(), method, key))
        errand = self._errand(account, "DETACH", correlation_id, _no_money)
        try:
            forgotten = await self._guarded(flow, errand)
        except FlowStopped as stopped:
            failure = Failure(stopped.code, stopped.message)
            self._measure(errand, OutcomeStatus.UNKNOWN, failure)
            return False
        except BreakerOpen:
            self.metrics.refused.labels(account.adapter, errand.kind).inc()
            return False
        self._measure(
            errand, OutcomeStatus.SUCCEEDED if forgotten else OutcomeStatus.DECLINED, None
        )
        return forgotten

    def candidates(
        self, accounts: Iterable[ProviderAccount], kind: str, token: str | None
    ) -> list[Candidate]:
        """What the router needs to know about each account for this kind and token."""
        return [self._candidate(account, kind, token) for account in accounts]

    def verify_and_parse(
        self, account: ProviderAccount, request: CallbackRequest
    ) -> list[ProviderEvent]:
        """The facts in a callback, once it is proven to come from the provider.

        Raises: BadSignature, StaleSignature, Unparseable, UnknownAdapter.
        """
        adapter = self.registry.of(account.adapter)
        if not isinstance(adapter, SupportsWebhooks):
            raise BadSignature("the adapter takes no callbacks")
        try:
            adapter.verify_webhook(request, account.secrets.get(WEBHOOK_SECRET, ()))
        except BadSignature:
            raise
        except Exception as error:
            raise BadSignature("the adapter broke, so nothing is proven") from error
        try:
            events = adapter.parse_webhook(request)
        except Unparseable:
            raise
        except Exception as error:
            raise Unparseable("the adapter broke") from error
        if any(event.live is not None and event.live != account.live for event in events):
            raise BadSignature("the callback is of the other mode (live, test) than its account")
        return events

    def _candidate(self, account: ProviderAccount, kind: str, token: str | None) -> Candidate:
        adapter = self.registry.of(account.adapter)
        prefixes = adapter.manifest.token_prefixes
        return Candidate(
            account=account,
            manifest=adapter.manifest,
            takes_token=token is None or not prefixes or token.startswith(prefixes),
            portable=token is None or adapter.is_portable(token),
            breaker=self.breakers.of(account, kind).advice(),
        )

    def _begin(self, account: ProviderAccount, operation: Operation) -> Prepared[Outcome]:
        return prepare(flow_of(self.registry.of(account.adapter), operation))

    def _errand(
        self,
        account: ProviderAccount,
        kind: str,
        correlation_id: str,
        before_money: BeforeMoney,
        stored: Mapping[str, HttpCall] | None = None,
    ) -> _Errand:
        now = self.clock.monotonic()
        return _Errand(
            account,
            kind,
            started=now,
            deadline=now + self.budget_seconds,
            correlation_id=correlation_id,
            before_money=before_money,
            stored=stored or {},
        )

    async def _try(self, flow: Prepared[Outcome], operation: Operation, errand: _Errand) -> Outcome:
        try:
            outcome = await self._guarded(flow, errand)
        except FlowStopped as stopped:
            return outcome_of_stop(stopped, money_began=flow.money_began)
        except BreakerOpen as refused:
            self.metrics.refused.labels(errand.account.adapter, errand.kind).inc()
            return _refused(refused)
        return check_integrity(operation, outcome)

    async def _guarded(self, flow: Prepared[Result], errand: _Errand) -> Result:
        """Run a flow with the breaker's leave and a place. Raises: FlowStopped, BreakerOpen."""
        breaker = self.breakers.of(errand.account, errand.kind)
        admission = breaker.admit()
        health = Health.NEUTRAL
        try:
            async with self._place(errand):
                result = await self.driver.run(
                    flow,
                    _caller(errand),
                    deadline=errand.deadline,
                    before_money=errand.before_money,
                    stored=errand.stored,
                )
            health = flow.health
        except FlowStopped:
            health = flow.health
            raise
        finally:
            breaker.record(admission, health)
        return result

    @asynccontextmanager
    async def _place(self, errand: _Errand) -> AsyncIterator[None]:
        """One of the account's places, waited for a quarter of the budget at most."""
        places = self._lane(errand).places
        try:
            async with asyncio.timeout(self.budget_seconds / 4):
                await places.acquire()
        except TimeoutError:
            raise FlowStopped("too_many_calls", "the provider is busy with our calls") from None
        try:
            yield
        finally:
            places.release()

    def _lane(self, errand: _Errand) -> _Lane:
        key = (errand.account.id, errand.kind in NEVER_GATED)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(asyncio.Semaphore(self.concurrency))
        return lane

    def _wait_before_retry(self, outcome: Outcome, tries: int, errand: _Errand) -> float | None:
        """Seconds until the next try; None when there is none to make, or no time for it."""
        if tries >= RETRIES_MAX or not may_try_again(outcome):
            return None
        assert outcome.failure is not None
        if outcome.failure.code in _BETTER_ELSEWHERE:
            return None
        wait = outcome.failure.retry_after_seconds
        if wait is None:
            wait = full_jitter(self.rng, BACKOFF_SECONDS, tries, BACKOFF_SECONDS_MAX)
        return wait if self.clock.monotonic() + wait < errand.deadline else None

    def _measure(self, errand: _Errand, status: OutcomeStatus, failure: Failure | None) -> None:
        labels = (errand.account.adapter, errand.kind)
        self.metrics.seconds.labels(*labels).observe(self.clock.monotonic() - errand.started)
        code = failure.code if failure else ""
        self.metrics.outcomes.labels(*labels, status.value, code).inc()


def flow_of(adapter: ProviderAdapter, operation: Operation) -> Flow[Outcome]:
    """The adapter's flow for an operation; one that refuses, when the adapter has none."""
    match operation.kind:
        case "SALE" | "AUTHORIZE":
            return adapter.authorize(operation)
        case "CAPTURE" if isinstance(adapter, SupportsCapture):
            return adapter.capture(operation)
        case "VOID" if isinstance(adapter, SupportsVoid):
            return adapter.void(operation)
        case "REFUND" if isinstance(adapter, SupportsRefund):
            return adapter.refund(operation)
    return _unsupported(operation)


def _unsupported(operation: Operation) -> Flow[Outcome]:
    raise BadRequest(f"the adapter has no {operation.kind}")
    yield  # pragma: no cover - makes this a flow


def _caller(errand: _Errand) -> Caller:
    account = errand.account
    return Caller(
        provider=account.name,
        kind=errand.kind,
        correlation_id=errand.correlation_id,
        secrets=tuple(value for values in account.secrets.values() for value in values),
    )


def _refused(refused: BreakerOpen) -> Outcome:
    return Outcome(
        OutcomeStatus.NOT_EXECUTED,
        failure=Failure(
            "breaker_open",
            "the provider has not been answering",
            retry_same_provider=True,
            retry_other_provider=True,
            retry_after_seconds=refused.retry_after_seconds or FORCED_OPEN_RETRY_SECONDS,
        ),
    )


async def _no_money(call: HttpCall) -> None:
    """Neither a lookup nor a detachment moves money: who tries to is stopped before it is sent."""
    raise FlowStopped("adapter_error", f"a call that may not move money tried to: {call.method}")
