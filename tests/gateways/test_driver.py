"""Did money possibly move? Every way a call can go wrong, and the one right answer to it."""

import asyncio
from collections.abc import Callable

import httpx
import pytest
import respx

from core.clock import SystemClock
from core.money import Money
from gateways.driver import (
    Driver,
    Health,
    check_integrity,
    outcome_of_stop,
    prepare,
)
from gateways.port import (
    BadRequest,
    Effect,
    Failure,
    Flow,
    HttpCall,
    Operation,
    Outcome,
    OutcomeStatus,
)
from gateways.transcript import MASK, pack_call, unpack_call
from tests.gateways.builders import (
    BASE_URL,
    FakeClock,
    a_client,
    an_operation,
    one_call,
    two_calls,
)
from tests.gateways.driving import CALLER, code_of, drive


class Refused(Exception):
    """SENT could not be committed."""


async def test_a_flow_is_run_to_its_outcome() -> None:
    with respx.mock:
        route = respx.post(f"{BASE_URL}/charge").respond(200, content=b"ok")

        outcome, prepared = await drive(one_call(an_operation()))

    assert outcome.status is OutcomeStatus.SUCCEEDED
    assert prepared.health is Health.GOOD
    assert route.calls.last.request.headers["x-correlation-id"] == "cor-1"
    assert route.calls.last.request.content == b'{"amount": 4250}'


@pytest.mark.parametrize(
    ("error", "code", "health"),
    [
        (httpx.ConnectError, "connect_failed", Health.BAD),
        (httpx.ConnectTimeout, "connect_failed", Health.BAD),
        (httpx.PoolTimeout, "no_free_connection", Health.NEUTRAL),
    ],
)
async def test_where_nothing_was_sent_nothing_was_executed(
    error: type[httpx.TransportError], code: str, health: Health
) -> None:
    with respx.mock:
        respx.post(f"{BASE_URL}/charge").mock(side_effect=error("no"))

        outcome, prepared = await drive(one_call(an_operation()))

    assert (outcome.status, code_of(outcome)) == (OutcomeStatus.NOT_EXECUTED, code)
    assert outcome.failure is not None
    assert outcome.failure.retry_same_provider
    assert outcome.failure.retry_other_provider
    assert prepared.health is health
    assert not prepared.money_began


@pytest.mark.parametrize(
    "error",
    [
        httpx.ReadTimeout,
        httpx.WriteTimeout,
        httpx.ReadError,
        httpx.WriteError,
        httpx.CloseError,
        httpx.RemoteProtocolError,
        httpx.LocalProtocolError,
        httpx.ProxyError,
    ],
)
async def test_any_other_transport_error_leaves_it_unknown(
    error: type[httpx.TransportError],
) -> None:
    with respx.mock:
        respx.post(f"{BASE_URL}/charge").mock(side_effect=error("no"))

        outcome, prepared = await drive(one_call(an_operation()))

    assert outcome.status is OutcomeStatus.UNKNOWN
    assert outcome.failure is not None
    assert not outcome.failure.retry_same_provider
    assert not outcome.failure.retry_other_provider
    assert prepared.health is Health.BAD
    assert prepared.money_began


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
async def test_a_server_error_to_a_money_call_leaves_it_unknown(status: int) -> None:
    with respx.mock:
        respx.post(f"{BASE_URL}/charge").respond(status, content=b"ok")

        outcome, prepared = await drive(one_call(an_operation()))

    assert (outcome.status, code_of(outcome)) == (OutcomeStatus.UNKNOWN, "provider_5xx")
    assert prepared.health is Health.BAD


async def test_an_answer_that_is_not_understood_leaves_it_unknown() -> None:
    with respx.mock:
        respx.post(f"{BASE_URL}/charge").respond(200, html="<h1>Welcome</h1>")

        outcome, prepared = await drive(one_call(an_operation()))

    assert (outcome.status, code_of(outcome)) == (OutcomeStatus.UNKNOWN, "unparseable")
    assert prepared.health is Health.NEUTRAL


def a_buggy_flow(operation: Operation) -> Flow[Outcome]:
    yield from one_call(operation)
    raise KeyError("bug")


def a_flow_without_end(operation: Operation) -> Flow[Outcome]:
    yield from one_call(operation)
    return None  # type: ignore[return-value]  # what a careless adapter does


def a_flow_refusing_late(operation: Operation) -> Flow[Outcome]:
    yield from one_call(operation)
    raise BadRequest("too late")


@pytest.mark.parametrize("script", [a_buggy_flow, a_flow_without_end, a_flow_refusing_late])
async def test_whatever_breaks_after_the_money_call_leaves_it_unknown(
    script: Callable[[Operation], Flow[Outcome]],
) -> None:
    with respx.mock:
        respx.post(f"{BASE_URL}/charge").respond(200, content=b"ok")

        outcome, _ = await drive(script(an_operation()))

    assert outcome.status is OutcomeStatus.UNKNOWN


async def test_a_harmless_call_that_fails_leaves_nothing_executed() -> None:
    with respx.mock:
        respx.post(f"{BASE_URL}/token").respond(503)
        charge = respx.post(f"{BASE_URL}/charge").respond(200, content=b"ok")

        outcome, prepared = await drive(two_calls(an_operation()))

    assert (outcome.status, code_of(outcome)) == (OutcomeStatus.NOT_EXECUTED, "unparseable")
    assert prepared.health is Health.BAD
    assert not charge.called


async def test_a_timeout_of_a_harmless_call_leaves_nothing_executed() -> None:
    with respx.mock:
        respx.post(f"{BASE_URL}/token").mock(side_effect=httpx.ReadTimeout("slow"))

        outcome, prepared = await drive(two_calls(an_operation()))

    assert outcome.status is OutcomeStatus.NOT_EXECUTED
    assert not prepared.money_began


def a_refusing_flow(_: Operation) -> Flow[Outcome]:
    raise BadRequest("cannot be said")
    yield  # makes it a flow


async def test_what_cannot_be_expressed_is_never_sent_and_never_will_be() -> None:
    prepared = prepare(a_refusing_flow(an_operation()))

    assert prepared.stopped is not None
    outcome = outcome_of_stop(prepared.stopped, money_began=False)
    assert (outcome.status, code_of(outcome)) == (OutcomeStatus.NOT_EXECUTED, "unsupported")
    assert outcome.failure is not None
    assert not outcome.failure.retry_same_provider


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("ftp://psp.example/charge", {}),
        ("not a url", {}),
        ("https://psp.example:notaport/", {}),
        (f"{BASE_URL}/charge", {"X-Note": "a\r\nX-Evil: 1"}),
        (f"{BASE_URL}/charge", {"X Note": "a"}),
        (f"{BASE_URL}/charge", {"X-Note": "日本"}),
    ],
)
async def test_a_call_that_cannot_be_made_does_not_commit_sent(
    url: str, headers: dict[str, str]
) -> None:
    def flow() -> Flow[Outcome]:
        yield HttpCall("POST", url, headers=headers)
        raise AssertionError

    committed: list[HttpCall] = []

    async def commit(call: HttpCall) -> None:
        committed.append(call)

    outcome, _ = await drive(flow(), commit)

    assert (outcome.status, committed) == (OutcomeStatus.NOT_EXECUTED, [])


async def test_sent_is_committed_before_the_bytes_leave() -> None:
    order: list[str] = []

    async def commit(call: HttpCall) -> None:
        await asyncio.sleep(0)
        order.append(f"commit {call.idempotency_key}")

    def answer(_: httpx.Request) -> httpx.Response:
        order.append("bytes")
        return httpx.Response(200, content=b"ok")

    with respx.mock:
        respx.post(f"{BASE_URL}/token").respond(200)
        respx.post(f"{BASE_URL}/charge").mock(side_effect=answer)

        await drive(two_calls(an_operation()), commit)

    assert order == ["commit op_1.1", "bytes"]


async def test_if_sent_cannot_be_committed_nothing_is_sent() -> None:
    async def commit(_: HttpCall) -> None:
        raise Refused

    with respx.mock:
        charge = respx.post(f"{BASE_URL}/charge").respond(200, content=b"ok")

        with pytest.raises(Refused):
            await drive(one_call(an_operation()), commit)

    assert not charge.called


async def test_past_the_deadline_nothing_is_sent() -> None:
    clock = FakeClock()

    async def slow_commit(_: HttpCall) -> None:
        clock.pass_(10.0)

    with respx.mock:
        charge = respx.post(f"{BASE_URL}/charge").respond(200, content=b"ok")

        outcome, _ = await drive(one_call(an_operation()), slow_commit, clock=clock)

    assert (outcome.status, code_of(outcome)) == (OutcomeStatus.NOT_EXECUTED, "budget_exhausted")
    assert not charge.called


async def test_a_cancelled_call_says_that_money_may_have_moved() -> None:
    reached = asyncio.Event()

    async def hang(_: httpx.Request) -> httpx.Response:
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    prepared = prepare(one_call(an_operation()))
    with respx.mock:
        respx.post(f"{BASE_URL}/charge").mock(side_effect=hang)
        async with a_client() as client:
            clock = SystemClock()
            task = asyncio.ensure_future(
                Driver(client, clock).run(
                    prepared,
                    CALLER,
                    deadline=clock.monotonic() + 5,
                    before_money=lambda _: asyncio.sleep(0),
                )
            )
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    assert prepared.money_began
    assert [exchange.error for exchange in prepared.exchanges] == ["cancelled"]


async def test_a_transcript_has_no_secret_in_it() -> None:
    def flow() -> Flow[Outcome]:
        yield HttpCall(
            "POST",
            f"{BASE_URL}/charge?key=s%2Fecret",
            headers={"Authorization": "Bearer s/ecret"},
            body=b"card=s%2Fecret&amount=1&other=sk_test_key",
            secrets=("s/ecret",),
        )
        return Outcome(OutcomeStatus.DECLINED)

    with respx.mock:
        respx.post(url__startswith=BASE_URL).respond(
            402, content=b'{"client_secret": "pi_secret_x", "n": "s/ecret", "z": "\x00"}'
        )
        _, prepared = await drive(flow())

    [exchange] = prepared.exchanges
    said = f"{exchange.as_json()}"
    assert "s/ecret" not in said
    assert "s%2Fecret" not in said
    assert "sk_test_key" not in said
    assert "pi_secret_x" not in said
    assert "\x00" not in exchange.response_body
    assert exchange.request_body == f"card={MASK}&amount=1&other={MASK}"
    assert "s/ecret" not in repr(prepared.call)


def test_a_stored_call_comes_back_byte_for_byte() -> None:
    call = prepare(one_call(an_operation())).call
    assert call is not None

    assert unpack_call(pack_call(call)) == call


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        (Outcome(OutcomeStatus.SUCCEEDED, amount=Money(4250, "EUR")), "SUCCEEDED", None),
        (Outcome(OutcomeStatus.SUCCEEDED, amount=Money(4251, "EUR")), "UNKNOWN", "amount_mismatch"),
        (Outcome(OutcomeStatus.SUCCEEDED, amount=Money(4250, "USD")), "UNKNOWN", "amount_mismatch"),
        (Outcome(OutcomeStatus.PENDING, amount=Money(1, "EUR")), "UNKNOWN", "amount_mismatch"),
        (Outcome(OutcomeStatus.PENDING), "PENDING", None),
        (Outcome(OutcomeStatus.SUCCEEDED), "UNKNOWN", "unparseable"),
        (Outcome(OutcomeStatus.DECLINED, failure=Failure("no", "")), "DECLINED", "no"),
    ],
)
def test_another_amount_is_never_a_success(outcome: Outcome, status: str, code: str | None) -> None:
    checked = check_integrity(an_operation(), outcome)

    assert checked.status == status
    assert (checked.failure.code if checked.failure else None) == code
    assert checked.amount == outcome.amount


async def test_a_lost_effect_is_not_hidden_by_a_harmless_call_after_it() -> None:
    def flow(operation: Operation) -> Flow[Outcome]:
        yield from one_call(operation)
        yield HttpCall("GET", f"{BASE_URL}/read", effect=Effect.NONE)
        raise AssertionError

    with respx.mock:
        respx.post(f"{BASE_URL}/charge").respond(200, content=b"ok")
        respx.get(f"{BASE_URL}/read").mock(side_effect=httpx.ConnectError("no"))

        outcome, _ = await drive(flow(an_operation()))

    assert outcome.status is OutcomeStatus.UNKNOWN
