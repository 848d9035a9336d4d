"""Runs an adapter's flow to its end: sends each call it yields and answers with what came back.

    flow ── HttpCall ──▶ before_money ──▶ wire ──▶ provider
         ◀── HttpResponse ────────────────────────
         ── Outcome, or it stops on the way: did a MONEY call begin?
              no  → NOT_EXECUTED, nothing happened
              yes → UNKNOWN, nobody guesses

An adapter cannot turn a timeout into a failure: it never sees one.
"""

import contextlib
import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, NoReturn, TypeVar

import httpx
import structlog

from core.clock import Clock
from core.tracing import note, span
from gateways.port import (
    BadRequest,
    Effect,
    Failure,
    Flow,
    HttpCall,
    HttpResponse,
    LookupResult,
    Operation,
    Outcome,
    OutcomeStatus,
    Unparseable,
)
from gateways.transcript import Exchange, mask, masked_body, without_secrets
from gateways.wire import NoAnswer, NothingSent, Wire

Result = TypeVar("Result")
BeforeMoney = Callable[[HttpCall], Awaitable[None]]
"""Commits SENT (or a further transcript row) for the call. If it raises, the call is not sent."""

log = structlog.get_logger(__name__)


class Health(enum.Enum):
    """What one run says about the provider's availability, for its breaker."""

    GOOD = "good"
    BAD = "bad"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf calls are made: labels of log lines, header of calls, what to mask."""

    provider: str
    kind: str
    correlation_id: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)


class FlowStopped(Exception):
    """The flow did not reach its end. `permanent`: trying again would change nothing."""

    def __init__(self, code: str, message: str, *, permanent: bool = False) -> None:
        self.code = code
        self.message = message
        self.permanent = permanent
        super().__init__(code)


@dataclass(slots=True, eq=False)
class Prepared(Generic[Result]):
    """A flow advanced to its first call, nothing sent yet; it is run once.

    `call` is that call; `result` is set instead when the flow ended without any, and `stopped`
    when it could not even begin. `money_began` stays readable after a cancellation: True means
    that money may have moved, whatever else is known.
    """

    flow: Flow[Result]
    call: HttpCall | None = None
    result: Result | None = None
    stopped: FlowStopped | None = None
    money_began: bool = False
    health: Health = Health.NEUTRAL
    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def money_call(self) -> HttpCall | None:
        """The first call if it moves money: what may be stored, and SENT written, beforehand."""
        call = self.call
        return call if call is not None and call.effect is Effect.MONEY else None


def prepare(flow: Flow[Result]) -> Prepared[Result]:
    """Advance a flow to its first call. No I/O; never raises for what an adapter does."""
    prepared = Prepared(flow)
    _advance(prepared, None)
    return prepared


@dataclass(slots=True)
class Driver:
    """Sends for flows. One per process; holds no state of any run."""

    client: httpx.AsyncClient
    clock: Clock
    wire: Wire = field(init=False)

    def __post_init__(self) -> None:
        self.wire = Wire(self.client, self.clock)

    async def run(
        self,
        prepared: Prepared[Result],
        caller: Caller,
        *,
        deadline: float,
        before_money: BeforeMoney,
        stored: Mapping[str, HttpCall] | None = None,
    ) -> Result:
        """Drive the flow to its end, never past `deadline` (of `clock.monotonic()`).

        `before_money` is awaited before each MONEY call, except one sent again as it was `stored`
        (by idempotency key). Raises: FlowStopped; whatever `before_money` raised; CancelledError.
        """
        try:
            while prepared.stopped is None and prepared.call is not None:
                response = await self._send(prepared, caller, deadline, before_money, stored or {})
                _advance(prepared, response)
        finally:
            with contextlib.suppress(Exception):  # a flow that resists being closed is no news
                prepared.flow.close()
        if prepared.stopped is not None:
            log.warning(
                "provider_flow_stopped",
                provider=caller.provider,
                kind=caller.kind,
                code=prepared.stopped.code,
                money_began=prepared.money_began,
                correlation_id=caller.correlation_id,
            )
            raise prepared.stopped
        assert prepared.result is not None
        return prepared.result

    async def _send(
        self,
        prepared: Prepared[Result],
        caller: Caller,
        deadline: float,
        before_money: BeforeMoney,
        stored: Mapping[str, HttpCall],
    ) -> HttpResponse | None:
        """One call; None when it stopped the flow."""
        assert prepared.call is not None
        call = stored.get(prepared.call.idempotency_key or "", prepared.call)
        money = call.effect is Effect.MONEY
        try:
            request = self.wire.build(call, caller.correlation_id)
            self.wire.remaining(deadline)
            if money and call is prepared.call:
                await before_money(call)
            self.wire.remaining(deadline)
        except (BadRequest, NothingSent) as error:
            _stop(prepared, error)
            return None
        began_earlier = prepared.money_began
        prepared.money_began = began_earlier or money
        try:
            return await self._exchange(prepared, caller, call, request, deadline)
        except NothingSent as error:
            prepared.money_began = began_earlier
            _stop(prepared, error)
        except (NoAnswer, Unparseable) as error:
            _stop(prepared, error)
        except Exception as error:  # a fault of our own is no answer either
            log.exception("provider_call_broke", provider=caller.provider, kind=caller.kind)
            _stop(prepared, error)
        return None

    async def _exchange(
        self,
        prepared: Prepared[Result],
        caller: Caller,
        call: HttpCall,
        request: httpx.Request,
        deadline: float,
    ) -> HttpResponse:
        """Send within a span, which is told neither what was sent nor what came back."""
        with span(
            "provider_call",
            "client",
            account=caller.provider,
            kind=caller.kind,
            effect=call.effect.value,
        ):
            return await self._noted(prepared, caller, call, request, deadline)

    async def _noted(
        self,
        prepared: Prepared[Result],
        caller: Caller,
        call: HttpCall,
        request: httpx.Request,
        deadline: float,
    ) -> HttpResponse:
        """Send, and note what came of it, answered or not."""
        started_at, started = self.clock.now(), self.clock.monotonic()
        secrets = (*call.secrets, *caller.secrets)
        response: HttpResponse | None = None
        error: str | None = "cancelled"
        try:
            response = without_secrets(await self.wire.send(call, request, deadline), secrets)
            error = None
        except (NothingSent, NoAnswer) as failure:
            error = failure.code
            raise
        except Exception as failure:
            error = type(failure).__name__
            raise
        finally:
            latency_ms = (self.clock.monotonic() - started) * 1000
            prepared.exchanges.append(
                Exchange(
                    method=call.method,
                    url=mask(call.url, secrets),
                    effect=call.effect,
                    idempotency_key=call.idempotency_key,
                    request_body=masked_body(call.body, secrets),
                    status=response.status if response is not None else None,
                    response_body="" if response is None else masked_body(response.body, secrets),
                    error=error,
                    started_at=started_at,
                    latency_ms=latency_ms,
                )
            )
            note(outcome=error or "answered", status=None if response is None else response.status)
            log.info(
                "provider_call",
                provider=caller.provider,
                kind=caller.kind,
                effect=call.effect.value,
                status=response.status if response is not None else None,
                error=error,
                latency_ms=round(latency_ms, 3),
                correlation_id=caller.correlation_id,
            )
        return response


def _advance(prepared: Prepared[Result], response: HttpResponse | None) -> None:
    """Give the flow its answer and take its next call, or its end."""
    if prepared.stopped is not None:
        return
    if response is not None:
        _note_health(prepared, response.status)
        assert prepared.call is not None
        if response.status >= 500 and prepared.call.effect is Effect.MONEY:
            prepared.stopped = FlowStopped("provider_5xx", "the provider failed")
            return
    try:
        call = next(prepared.flow) if response is None else prepared.flow.send(response)
        if not isinstance(call, HttpCall):
            _not_a_call()
        prepared.call = call
    except StopIteration as ended:
        prepared.call = None
        _end(prepared, ended.value)
    except Exception as error:  # noqa: BLE001 - an adapter may break in any way, and must not break us
        _stop(prepared, error)


def _end(prepared: Prepared[Result], result: Result) -> None:
    if not isinstance(result, Outcome | LookupResult | bool):
        prepared.stopped = FlowStopped("adapter_error", "the adapter returned no outcome")
        return
    prepared.result = result
    if isinstance(result, Outcome) and result.failure is not None and result.failure.outage:
        prepared.health = Health.BAD


def _note_health(prepared: Prepared[Result], status: int) -> None:
    if status >= 500:
        prepared.health = Health.BAD
    elif prepared.health is Health.NEUTRAL:
        prepared.health = Health.GOOD


def _stop(prepared: Prepared[Result], error: Exception) -> None:
    """Remember why the flow cannot go on, and what that says about the provider."""
    match error:
        case NothingSent():
            stopped = FlowStopped(error.code, "the provider could not be reached")
        case NoAnswer():
            stopped = FlowStopped(error.code, "the provider did not answer")
        case BadRequest():
            stopped = FlowStopped("unsupported", str(error), permanent=True)
        case Unparseable():
            stopped = FlowStopped("unparseable", "the provider's answer was not understood")
        case _:
            stopped = FlowStopped("adapter_error", type(error).__name__)
    if isinstance(error, NoAnswer) or (isinstance(error, NothingSent) and error.blames_provider):
        prepared.health = Health.BAD
    elif prepared.health is Health.GOOD:
        prepared.health = Health.NEUTRAL
    prepared.stopped = stopped


def _not_a_call() -> NoReturn:
    raise TypeError("the adapter yielded something else than a call")


def outcome_of_stop(stopped: FlowStopped, *, money_began: bool) -> Outcome:
    """What an operation's status is when its flow stopped: the heart of "unknown is an outcome"."""
    failure = Failure(
        stopped.code,
        stopped.message,
        retry_same_provider=not (money_began or stopped.permanent),
        retry_other_provider=not money_began,
    )
    status = OutcomeStatus.UNKNOWN if money_began else OutcomeStatus.NOT_EXECUTED
    return Outcome(status, failure=failure)


_MUST_MATCH = frozenset({OutcomeStatus.SUCCEEDED, OutcomeStatus.PENDING})


def check_integrity(operation: Operation, outcome: Outcome) -> Outcome:
    """The outcome, unless it contradicts what was asked for: then UNKNOWN, with what it said kept.

    A success must say how much; a success or an acceptance must not say another amount. A void
    says what was left of the hold, which nobody asked for.
    """
    if outcome.status not in _MUST_MATCH or outcome.amount == operation.amount:
        return outcome
    if outcome.amount is not None and operation.kind == "VOID":
        return outcome
    if outcome.amount is not None:
        failure = Failure("amount_mismatch", "the provider reports another amount")
    elif outcome.status is OutcomeStatus.SUCCEEDED:
        failure = Failure("unparseable", "the provider reports success without an amount")
    else:
        return outcome
    return Outcome(
        OutcomeStatus.UNKNOWN,
        provider_ref=outcome.provider_ref,
        amount=outcome.amount,
        fee=outcome.fee,
        failure=failure,
        raw_status=outcome.raw_status,
        occurred_at=outcome.occurred_at,
    )
