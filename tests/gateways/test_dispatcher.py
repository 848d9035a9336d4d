"""Leave, place, driver, retries: and never a second charge."""

import asyncio
from typing import Any

import httpx
import pytest
import respx

from core.money import Money
from gateways.breaker import BreakerState
from gateways.dispatcher import PreparedOperation
from gateways.driver import Health
from gateways.port import (
    BadSignature,
    CallbackRequest,
    DeclineKind,
    Effect,
    Failure,
    Flow,
    HttpCall,
    LookupResult,
    Operation,
    Outcome,
    OutcomeStatus,
)
from tests.gateways.builders import (
    BASE_URL,
    Bench,
    FakeClock,
    PlainAdapter,
    a_bench,
    an_account,
    an_operation,
    one_call,
)

CHARGE = f"{BASE_URL}/charge"


def prepared_at(bench: Bench, account: Any = None, **changes: Any) -> PreparedOperation:
    account = account or an_account()
    operation = an_operation(account=account.credentials(), **changes)
    return bench.dispatcher.prepare(account, operation)


def sample(bench: Bench, name: str, **labels: str) -> float:
    return bench.metrics_registry.get_sample_value(name, labels) or 0.0


async def test_preparing_sends_nothing_and_shows_the_bytes() -> None:
    with respx.mock:
        prepared = prepared_at(a_bench())

    assert prepared.call is not None
    assert prepared.call.idempotency_key == "op_1.1"
    assert prepared.refusal is None


async def test_a_kind_the_adapter_lacks_is_refused_before_anything_is_sent() -> None:
    prepared = prepared_at(a_bench(), kind="REFUND")

    assert prepared.call is None
    assert prepared.refusal is not None
    assert prepared.refusal.status is OutcomeStatus.NOT_EXECUTED


async def test_where_nothing_was_sent_the_same_provider_is_tried_twice_more() -> None:
    bench = a_bench()
    with respx.mock:
        route = respx.post(CHARGE).mock(side_effect=httpx.ConnectError("no"))

        dispatched = await bench.dispatcher.send(prepared_at(bench), bench.commit)

    assert dispatched.outcome.status is OutcomeStatus.NOT_EXECUTED
    assert len(route.calls) == len(dispatched.exchanges) == 3
    assert len(bench.committed) == 1
    assert 0 <= bench.slept[0] <= 0.2
    assert 0 <= bench.slept[1] <= 0.4


async def test_a_retry_that_gets_through_succeeds_with_the_same_bytes_and_key() -> None:
    bench = a_bench()
    with respx.mock:
        route = respx.post(CHARGE).mock(
            side_effect=[httpx.ConnectError("no"), httpx.Response(200, content=b"ok")]
        )

        dispatched = await bench.dispatcher.send(prepared_at(bench), bench.commit)

    assert dispatched.outcome.status is OutcomeStatus.SUCCEEDED
    assert route.calls[0].request.content == route.calls[1].request.content
    assert {exchange.idempotency_key for exchange in dispatched.exchanges} == {"op_1.1"}


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ReadTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.Response(500),
        httpx.Response(503),
        httpx.Response(200, content=b"garbage"),
    ],
)
async def test_an_unknown_outcome_is_never_sent_again(
    answer: httpx.Response | httpx.TransportError,
) -> None:
    bench = a_bench()
    with respx.mock:
        route = respx.post(CHARGE).mock(side_effect=[answer])

        dispatched = await bench.dispatcher.send(prepared_at(bench), bench.commit)

    assert dispatched.outcome.status is OutcomeStatus.UNKNOWN
    assert dispatched.money_began
    assert len(route.calls) == 1


async def test_an_adapter_cannot_have_an_unknown_outcome_sent_again() -> None:
    def careless(_: Operation) -> Flow[Outcome]:
        yield HttpCall("POST", CHARGE)
        failure = Failure("odd", "", retry_same_provider=True, retry_other_provider=True)
        return Outcome(OutcomeStatus.UNKNOWN, failure=failure)

    bench = a_bench(script=careless)
    with respx.mock:
        route = respx.post(CHARGE).respond(200)

        await bench.dispatcher.send(prepared_at(bench), bench.commit)

    assert len(route.calls) == 1


def throttled(operation: Operation) -> Flow[Outcome]:
    response = yield HttpCall("POST", CHARGE)
    if response.status == 200:
        return Outcome(OutcomeStatus.SUCCEEDED, amount=operation.amount)
    wait = float(response.headers["retry-after"])
    failure = Failure("rate_limited", "", retry_same_provider=True, retry_after_seconds=wait)
    return Outcome(OutcomeStatus.NOT_EXECUTED, failure=failure)


@pytest.mark.parametrize(("wait", "calls"), [("2", 2), ("60", 1)])
async def test_the_providers_wish_to_wait_is_respected_within_the_budget(
    wait: str, calls: int
) -> None:
    bench = a_bench(script=throttled)
    answers = [httpx.Response(429, headers={"Retry-After": wait}), httpx.Response(200)]
    with respx.mock:
        route = respx.post(CHARGE).mock(side_effect=answers)

        await bench.dispatcher.send(prepared_at(bench), bench.commit)

    assert len(route.calls) == calls
    assert bench.slept == ([2.0] if calls == 2 else [])


async def test_sent_that_was_committed_with_the_intent_is_not_committed_again() -> None:
    bench = a_bench()
    prepared = prepared_at(bench)
    prepared.sent_is_committed()
    with respx.mock:
        respx.post(CHARGE).respond(200, content=b"ok")

        await bench.dispatcher.send(prepared, bench.commit)

    assert bench.committed == []


async def test_a_process_that_slept_past_its_lease_sends_nothing() -> None:
    bench = a_bench()
    prepared = prepared_at(bench)
    prepared.sent_is_committed()
    bench.clock.pass_(bench.dispatcher.budget_seconds + 0.001)
    with respx.mock:
        charge = respx.post(CHARGE).respond(200, content=b"ok")

        dispatched = await bench.dispatcher.send(prepared, bench.commit)

    assert not charge.called
    assert dispatched.outcome.status is OutcomeStatus.NOT_EXECUTED
    assert not dispatched.money_began


async def test_five_failures_in_a_row_stop_the_calls_and_one_probe_starts_them_again() -> None:
    bench = a_bench()
    account = an_account()
    with respx.mock:
        route = respx.post(CHARGE).respond(503)
        for _ in range(20):
            dispatched = await bench.dispatcher.send(prepared_at(bench, account), bench.commit)

        assert len(route.calls) == 5
        assert dispatched.outcome.status is OutcomeStatus.NOT_EXECUTED
        assert dispatched.outcome.failure is not None
        assert dispatched.outcome.failure.code == "breaker_open"
        assert len(bench.committed) == 5
        assert sample(bench, "counterfoil_breaker_state", account=str(account.id), kind="SALE") == 2

        route.respond(200, content=b"ok")
        bench.clock.pass_(36.0)
        dispatched = await bench.dispatcher.send(prepared_at(bench, account), bench.commit)

    assert dispatched.outcome.status is OutcomeStatus.SUCCEEDED
    assert bench.breakers.of(account, "SALE").state is BreakerState.CLOSED


def declining(_: Operation) -> Flow[Outcome]:
    yield HttpCall("POST", CHARGE)
    failure = Failure("declined", "", DeclineKind.HARD)
    return Outcome(OutcomeStatus.DECLINED, failure=failure)


async def test_declines_are_a_sign_of_health() -> None:
    bench = a_bench(script=declining)
    account = an_account()
    breaker = bench.breakers.of(account, "SALE")
    for _ in range(4):
        breaker.record(breaker.admit(), Health.BAD)
    with respx.mock:
        respx.post(CHARGE).respond(402)

        for _ in range(10):
            await bench.dispatcher.send(prepared_at(bench, account), bench.commit)

    assert breaker.status().failures == 0


async def test_an_outage_the_provider_declares_counts_as_failure() -> None:
    def down(_: Operation) -> Flow[Outcome]:
        yield HttpCall("POST", CHARGE)
        return Outcome(OutcomeStatus.NOT_EXECUTED, failure=Failure("down", "", outage=True))

    bench = a_bench(script=down)
    account = an_account()
    with respx.mock:
        respx.post(CHARGE).respond(429)
        for _ in range(5):
            await bench.dispatcher.send(prepared_at(bench, account), bench.commit)

    assert bench.breakers.of(account, "SALE").state is BreakerState.OPEN


async def test_a_failed_commit_of_sent_says_nothing_about_the_provider() -> None:
    bench = a_bench()
    account = an_account()

    async def refuse(_: HttpCall) -> None:
        raise ConnectionError

    with respx.mock:
        for _ in range(10):
            with pytest.raises(ConnectionError):
                await bench.dispatcher.send(prepared_at(bench, account), refuse)

    assert bench.breakers.of(account, "SALE").state is BreakerState.CLOSED


async def test_a_provider_that_hangs_takes_only_its_own_places() -> None:
    bench = a_bench()
    bench.dispatcher.concurrency = 2
    bench.dispatcher.budget_seconds = 0.4
    hanging, healthy = an_account(base_url="https://slow.example"), an_account()
    entered = asyncio.Semaphore(0)

    async def hang(_: httpx.Request) -> httpx.Response:
        entered.release()
        await asyncio.Event().wait()
        raise AssertionError

    with respx.mock:
        respx.post("https://slow.example/charge").mock(side_effect=hang)
        respx.post(CHARGE).respond(200, content=b"ok")
        stuck = [
            asyncio.ensure_future(bench.dispatcher.send(prepared_at(bench, hanging), bench.commit))
            for _ in range(2)
        ]
        await entered.acquire()
        await entered.acquire()

        third = await bench.dispatcher.send(prepared_at(bench, hanging), bench.commit)
        other = await bench.dispatcher.send(prepared_at(bench, healthy), bench.commit)
        outcomes = [(await each).outcome.status for each in stuck]

    assert third.outcome.failure is not None
    assert third.outcome.failure.code == "too_many_calls"
    assert other.outcome.status is OutcomeStatus.SUCCEEDED
    assert outcomes == [OutcomeStatus.UNKNOWN, OutcomeStatus.UNKNOWN]


async def test_a_replay_sends_the_stored_bytes() -> None:
    bench = a_bench()
    stored = HttpCall("POST", CHARGE, body=b"as it was", idempotency_key="op_1.1")
    with respx.mock:
        route = respx.post(CHARGE).respond(200, content=b"ok")

        dispatched = await bench.dispatcher.replay(
            an_account(), an_operation(), [stored], bench.commit
        )

    assert dispatched.outcome.status is OutcomeStatus.SUCCEEDED
    assert route.calls.last.request.content == b"as it was"
    assert bench.committed == []


@pytest.mark.parametrize("answer", [httpx.ConnectError("no"), httpx.Response(429)])
async def test_a_replay_that_executes_nothing_proves_nothing(
    answer: httpx.Response | httpx.TransportError,
) -> None:
    def limited(_: Operation) -> Flow[Outcome]:
        yield HttpCall("POST", CHARGE, idempotency_key="op_1.1")
        failure = Failure("rate_limited", "", retry_same_provider=True)
        return Outcome(OutcomeStatus.NOT_EXECUTED, failure=failure)

    bench = a_bench(script=limited)
    stored = HttpCall("POST", CHARGE, idempotency_key="op_1.1")
    with respx.mock:
        respx.post(CHARGE).mock(side_effect=[answer])

        dispatched = await bench.dispatcher.replay(
            an_account(), an_operation(), [stored], bench.commit
        )

    assert dispatched.outcome.status is OutcomeStatus.UNKNOWN


def found(amount: Money) -> Any:
    def find(operation: Operation) -> Flow[LookupResult]:
        yield HttpCall("GET", CHARGE, effect=Effect.NONE)
        return LookupResult(Outcome(OutcomeStatus.SUCCEEDED, "ref_1", amount))

    return find


async def test_a_lookup_checks_the_amount_too() -> None:
    right = a_bench(PlainAdapter(find=found(Money(4250, "EUR"))))
    wrong = a_bench(PlainAdapter(find=found(Money(425, "EUR"))))
    with respx.mock:
        respx.get(CHARGE).respond(200)

        good = await right.dispatcher.lookup(an_account(), an_operation())
        bad = await wrong.dispatcher.lookup(an_account(), an_operation())

    assert good.result.outcome is not None
    assert good.result.outcome.status is OutcomeStatus.SUCCEEDED
    assert bad.result.outcome is not None
    assert bad.result.outcome.status is OutcomeStatus.UNKNOWN
    assert bad.result.outcome.amount == Money(425, "EUR")


async def test_a_lookup_that_gets_no_answer_proves_nothing() -> None:
    bench = a_bench(PlainAdapter(find=found(Money(4250, "EUR"))))
    with respx.mock:
        respx.get(CHARGE).mock(side_effect=httpx.ReadTimeout("slow"))

        looked = await bench.dispatcher.lookup(an_account(), an_operation())

    assert looked.result == LookupResult()
    assert not looked.answered


async def test_a_lookup_cannot_move_money() -> None:
    def charge(_: Operation) -> Flow[LookupResult]:
        yield HttpCall("POST", CHARGE)
        raise AssertionError

    bench = a_bench(PlainAdapter(find=charge))
    with respx.mock:
        looked = await bench.dispatcher.lookup(an_account(), an_operation())

    assert not looked.answered


async def test_callbacks_of_an_adapter_without_them_are_refused() -> None:
    bench = a_bench()
    request = CallbackRequest({}, {}, b"{}", FakeClock().now())

    with pytest.raises(BadSignature):
        bench.dispatcher.verify_and_parse(an_account(), request)


async def test_the_router_is_told_which_tokens_an_account_takes() -> None:
    [candidate] = a_bench().dispatcher.candidates([an_account()], "SALE", "bound_tok")

    assert candidate.takes_token
    assert not candidate.portable


async def test_outcomes_are_counted() -> None:
    bench = a_bench()
    with respx.mock:
        respx.post(CHARGE).respond(200, content=b"ok")
        await bench.dispatcher.send(prepared_at(bench), bench.commit)

    labels = {"adapter": "plain", "kind": "SALE"}
    counted = sample(
        bench, "counterfoil_provider_outcomes_total", **labels, outcome="SUCCEEDED", code=""
    )
    assert counted == 1
    assert sample(bench, "counterfoil_provider_operation_seconds_count", **labels) == 1


async def test_another_amount_in_the_answer_is_kept_but_not_believed() -> None:
    def wrong(operation: Operation) -> Flow[Outcome]:
        yield from one_call(operation)
        return Outcome(OutcomeStatus.SUCCEEDED, "ref_1", Money(1, "EUR"))

    bench = a_bench(script=wrong)
    with respx.mock:
        respx.post(CHARGE).respond(200, content=b"ok")

        dispatched = await bench.dispatcher.send(prepared_at(bench), bench.commit)

    assert dispatched.outcome.status is OutcomeStatus.UNKNOWN
    assert dispatched.outcome.amount == Money(1, "EUR")
    assert dispatched.outcome.provider_ref == "ref_1"
