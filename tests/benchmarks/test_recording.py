"""The bare server must do the same work again, each time for a payment of its own."""

import time
from uuid import UUID

from benchmarks.load import Latencies
from benchmarks.recording import KEY, Call, Script, Statement
from core.identifiers import encode, new_id

ACCOUNT = UUID("01890a5d-ac96-774b-bcce-b302099a8057")  # made long before
BEGAN_MS = time.time_ns() // 1_000_000
PAYMENT, OPERATION = new_id(), new_id()
REFERENCE = "sp_0123456789abcdef"

NEW_PAYMENT = {"id": str(PAYMENT), "client_secret_hash": rf"\x{'68' * 32}"}


def a_script() -> Script:
    return Script(
        began_ms=BEGAN_MS,
        steps=[
            Statement("BEGIN; SET LOCAL app.tenant = '1'", ()),
            Statement("SELECT 1 FROM provider_account WHERE id = $1", (ACCOUNT,)),
            Statement("COMMIT", ()),
            Statement("BEGIN; SET LOCAL app.tenant = '1'", ()),
            Statement("INSERT INTO idempotency_key VALUES ($1, $2)", (KEY, b"f" * 32)),
            Statement("INSERT INTO payment SELECT $1", ([NEW_PAYMENT],)),
            Statement("INSERT INTO outbox VALUES ($1)", ([{"id": encode("pay", PAYMENT)}],)),
            Statement("COMMIT", ()),
            Call(
                "POST",
                "http://provider/v1/payments",
                {"idempotency-key": f"{encode('op', OPERATION)}.1"},
                encode("op", OPERATION).encode(),
            ),
            Statement("BEGIN; SET LOCAL app.tenant = '1'", ()),
            Statement("SELECT ledger_post($1, $2)", (OPERATION, REFERENCE)),
            Statement("COMMIT", ()),
        ],
        answer=b"{}",
    )


def test_units_of_work_are_counted_by_whether_they_write() -> None:
    script = a_script()

    assert script.commits() == [False, True, script.steps[8], True]


def test_a_replay_is_for_another_payment_and_the_same_account() -> None:
    script = a_script()

    first, second = script.anew().steps, script.anew().steps

    assert first[1] == script.steps[1]
    assert isinstance(first[5], Statement)
    ((payment,),) = first[5].arguments
    assert payment["id"] != NEW_PAYMENT["id"]
    assert payment["client_secret_hash"] != NEW_PAYMENT["client_secret_hash"]
    assert first[6] == Statement(
        "INSERT INTO outbox VALUES ($1)", ([{"id": encode("pay", UUID(payment["id"]))}],)
    )
    for number in (4, 5, 6, 8, 10):
        assert len({repr(steps[number]) for steps in (script.steps, first, second)}) == 3


def test_the_provider_is_asked_under_the_name_the_ledger_posts() -> None:
    steps = a_script().anew().steps

    assert isinstance(steps[8], Call)
    assert isinstance(steps[10], Statement)
    operation = encode("op", steps[10].arguments[0])
    assert steps[8].body == operation.encode()
    assert steps[8].headers == {"idempotency-key": f"{operation}.1"}


def test_a_quantile_is_one_of_the_times() -> None:
    found = Latencies([0.004, 0.001, 0.003, 0.002])

    assert [found.quantile(part) for part in (0.5, 0.99)] == [2, 4]
