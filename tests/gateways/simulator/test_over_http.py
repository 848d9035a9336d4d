"""The adapter with the driver: against the real process, and against scripted transports."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import respx

from core.clock import SystemClock
from core.money import Money
from gateways.driver import Caller, Driver, FlowStopped, check_integrity, outcome_of_stop, prepare
from gateways.port import Account, Flow, HttpCall, LookupResult, Operation, Outcome, OutcomeStatus
from gateways.simulator import SimulatorAdapter
from tests.gateways.builders import a_client
from tests.simulator.process import Merchant, SimulatorProcess

ADAPTER = SimulatorAdapter()


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    with SimulatorProcess(tmp_path_factory.mktemp("simulator")) as running:
        yield running


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    async with a_client() as client:
        yield Driver(client, SystemClock())


async def run(driver: Driver, flow: Flow[Any]) -> tuple[Any, list[HttpCall]]:
    """The flow's result, or the outcome of its stop; and the money calls announced."""
    announced: list[HttpCall] = []

    async def before_money(call: HttpCall) -> None:
        announced.append(call)

    prepared = prepare(flow)
    deadline = driver.clock.monotonic() + 10
    try:
        result = await driver.run(
            prepared, Caller("simulator", "test"), deadline=deadline, before_money=before_money
        )
    except FlowStopped as stopped:
        result = outcome_of_stop(stopped, money_began=prepared.money_began)
    return result, announced


def an_operation(merchant: Merchant, kind: str, token: str = "tok_success", **changes: Any) -> Any:
    account = Account(
        merchant.name,
        merchant.simulator.url,
        secrets={"secret_key": (merchant.secret_key,)},
    )
    known: dict[str, Any] = {
        "id": f"op_{kind.lower()}",
        "idempotency_key": f"key_{kind.lower()}",
        "amount": Money(1000, "EUR"),
        "token": token,
        **changes,
    }
    return Operation(kind=kind, account=account, **known)


async def test_a_payment_is_authorized_captured_in_parts_refunded_and_found_again(
    simulator: SimulatorProcess, driver: Driver
) -> None:
    merchant = simulator.merchant()
    authorize = an_operation(merchant, "AUTHORIZE")
    authorized, _ = await run(driver, ADAPTER.authorize(authorize))
    parent = authorized.provider_ref
    part = {"parent_ref": parent, "amount": Money(400, "EUR"), "final": False}
    capture = an_operation(merchant, "CAPTURE", **part)
    void = an_operation(merchant, "VOID", parent_ref=parent, amount=Money(600, "EUR"))
    refund = an_operation(merchant, "REFUND", parent_ref=parent, amount=Money(150, "EUR"))

    captured, _ = await run(driver, ADAPTER.capture(capture))
    voided, _ = await run(driver, ADAPTER.void(void))
    refunded, announced = await run(driver, ADAPTER.refund(refund))

    said = [authorized, captured, voided, refunded]
    operations = [authorize, capture, void, refund]
    for operation, outcome in zip(operations, said, strict=True):
        assert check_integrity(operation, outcome).status is OutcomeStatus.SUCCEEDED
        found, _ = await run(driver, ADAPTER.lookup(operation))
        assert found.outcome.status is OutcomeStatus.SUCCEEDED
        assert (found.outcome.provider_ref, found.outcome.amount) == (
            outcome.provider_ref,
            outcome.amount,
        )
    assert captured.fee == Money(42, "EUR")
    assert [call.idempotency_key for call in announced] == ["key_refund"]
    assert [(e["kind"], e["amount"], e["reference"]) for e in merchant.effects()] == [
        ("authorization", 1000, "op_authorize"),
        ("capture", 400, "op_capture"),
        ("void", 600, "op_void"),
        ("refund", 150, "op_refund"),
    ]


@pytest.mark.parametrize(
    ("token", "expected", "charged", "found"),
    [
        ("tok_success", OutcomeStatus.SUCCEEDED, 1000, OutcomeStatus.SUCCEEDED),
        ("tok_decline_hard", OutcomeStatus.DECLINED, None, OutcomeStatus.DECLINED),
        ("tok_decline_insufficient_funds", OutcomeStatus.DECLINED, None, OutcomeStatus.DECLINED),
        ("tok_decline_fraud", OutcomeStatus.DECLINED, None, OutcomeStatus.DECLINED),
        (
            "tok_requires_action",
            *(OutcomeStatus.REQUIRES_ACTION, None),
            OutcomeStatus.REQUIRES_ACTION,
        ),
        ("tok_timeout_after", OutcomeStatus.UNKNOWN, 1000, OutcomeStatus.SUCCEEDED),
        ("tok_timeout_before", OutcomeStatus.UNKNOWN, None, None),
        ("tok_error_5xx", OutcomeStatus.UNKNOWN, None, None),
        ("tok_garbage", OutcomeStatus.UNKNOWN, 1000, OutcomeStatus.SUCCEEDED),
        ("tok_wrong_amount", OutcomeStatus.UNKNOWN, 1001, OutcomeStatus.UNKNOWN),
        ("tok_nope", OutcomeStatus.DECLINED, None, None),
    ],
)
async def test_each_token_ends_as_it_should_and_the_lookup_tells_the_truth(
    simulator: SimulatorProcess,
    driver: Driver,
    *,
    token: str,
    expected: OutcomeStatus,
    charged: int | None,
    found: OutcomeStatus | None,
) -> None:
    merchant = simulator.merchant()
    operation = an_operation(merchant, "SALE", token)

    outcome, _ = await run(driver, ADAPTER.authorize(operation))
    lookup, announced = await run(driver, ADAPTER.lookup(operation))

    assert isinstance(outcome, Outcome)
    assert check_integrity(operation, outcome).status is expected
    assert merchant.kinds() == ([] if charged is None else [("charge", charged)])
    assert announced == []
    assert isinstance(lookup, LookupResult)
    if found is None:
        assert lookup == LookupResult(not_found_is_conclusive=True)
    else:
        assert lookup.outcome is not None
        assert check_integrity(operation, lookup.outcome).status is found


@pytest.mark.parametrize("kind", ["CAPTURE", "VOID", "REFUND"])
@pytest.mark.parametrize(
    ("fault", "expected", "executed"),
    [
        ("refuse", OutcomeStatus.NOT_EXECUTED, False),
        ("error_500_before", OutcomeStatus.UNKNOWN, False),
        ("drop_before", OutcomeStatus.UNKNOWN, False),
        ("drop_after", OutcomeStatus.UNKNOWN, True),
        ("error_500_after", OutcomeStatus.UNKNOWN, True),
        ("garbage", OutcomeStatus.UNKNOWN, True),
    ],
)
async def test_faults_of_the_other_operations_are_never_guessed(
    simulator: SimulatorProcess,
    driver: Driver,
    *,
    kind: str,
    fault: str,
    expected: OutcomeStatus,
    executed: bool,
) -> None:
    merchant = simulator.merchant()
    payment = merchant.pay("tok_success", capture=kind == "REFUND").json()["id"]
    operation = an_operation(merchant, kind, parent_ref=payment)
    match = {"account": merchant.name, "method": "POST"}
    simulator.fault(fault, match=match, times=1)
    flows = {"CAPTURE": ADAPTER.capture, "VOID": ADAPTER.void, "REFUND": ADAPTER.refund}

    outcome, _ = await run(driver, flows[kind](operation))
    lookup, _ = await run(driver, ADAPTER.lookup(operation))

    assert outcome.status is expected
    assert merchant.kinds(reference=operation.id) == ([(kind.lower(), 1000)] if executed else [])
    if executed:
        assert lookup.outcome.status is OutcomeStatus.SUCCEEDED
    else:
        assert lookup.not_found_is_conclusive


async def test_the_probe_moves_nothing(simulator: SimulatorProcess, driver: Driver) -> None:
    merchant = simulator.merchant()
    account = an_operation(merchant, "SALE").account

    alive, announced = await run(driver, ADAPTER.probe(account))

    assert alive is True
    assert announced == []
    assert merchant.effects() == []


@respx.mock
async def test_nothing_listening_means_not_executed(driver: Driver) -> None:
    respx.post("http://gone.test/v1/payments").mock(side_effect=httpx.ConnectError("refused"))
    account = Account("prv", "http://gone.test", secrets={"secret_key": ("sk",)})
    operation = Operation("op", "SALE", "key", Money(1, "EUR"), account, token="tok_success")

    outcome, announced = await run(driver, ADAPTER.authorize(operation))

    assert outcome.status is OutcomeStatus.NOT_EXECUTED
    assert len(announced) == 1


@respx.mock
async def test_the_secret_goes_only_into_its_header(driver: Driver) -> None:
    route = respx.post("http://sim.test/v1/refunds").respond(422, json={"error": {"code": "x"}})
    account = Account("prv", "http://sim.test", secrets={"secret_key": ("sk_canary",)})
    operation = Operation("op", "REFUND", "key", Money(1, "EUR"), account, parent_ref="sp_1")

    outcome, _ = await run(driver, ADAPTER.refund(operation))

    request = route.calls.last.request
    assert request.headers["authorization"] == "Bearer sk_canary"
    assert b"sk_canary" not in request.content
    assert "sk_canary" not in str(request.url)
    assert "sk_canary" not in repr(outcome)
