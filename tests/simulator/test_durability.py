"""What was answered survives kill -9; what survives is whole."""

import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from simulator.books import Books, Tx
from tests.loopback import TRUSTS_NOBODY
from tests.simulator.process import ROOT, Merchant, SimulatorProcess
from tests.waiting import eventually


class WorkFailed(Exception):
    """Planned."""


def keep_paying(merchant: Merchant, name: str, answered: list[str], stop: threading.Event) -> None:
    """Pay until told to stop or the process dies; note what was answered."""
    with httpx.Client(
        base_url=merchant.simulator.url, trust_env=False, verify=TRUSTS_NOBODY
    ) as client:
        number = 0
        while not stop.is_set():
            reference = f"{name}-{number}"
            body = {"amount": 5, "currency": "EUR", "token": "tok_success", "reference": reference}
            try:
                answer = client.post("/v1/payments", json=body, headers=merchant.headers(reference))
            except httpx.TransportError:
                return
            assert answer.status_code == 201
            answered.append(reference)
            number += 1


@pytest.mark.parametrize("round", range(3))
def test_every_answered_effect_survives_a_crash_exactly_once(
    simulator: SimulatorProcess, round: int
) -> None:
    merchant = simulator.merchant()
    answered: list[str] = []
    stop = threading.Event()
    threads = [
        threading.Thread(target=keep_paying, args=(merchant, f"{round}-{n}", answered, stop))
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: len(answered) >= 60 + 20 * round)

    simulator.end(signal.SIGKILL)
    stop.set()
    for thread in threads:
        thread.join()
    simulator.start()

    kept = [effect["reference"] for effect in merchant.effects()]
    assert len(kept) == len(set(kept))
    assert set(answered) <= set(kept)
    for reference in set(kept) - set(answered):  # in flight: whole all the same
        assert merchant.get("/v1/operations", reference=reference).json()["data"]
    replay = merchant.pay("tok_success", answered[0], key=answered[0], amount=5)
    assert replay.headers["idempotent-replayed"] == "true"


def test_the_log_refuses_to_be_changed(simulator: SimulatorProcess) -> None:
    simulator.merchant().pay("tok_success")
    connection = sqlite3.connect(simulator.folder / "simulator.sqlite3")
    try:
        for statement in (
            "UPDATE effect SET amount = 1",
            "DELETE FROM effect",
            "UPDATE request SET status = 200",
            "DELETE FROM request",
            "UPDATE frozen_answer SET status = 200",
            "DELETE FROM frozen_answer",
        ):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(statement)
    finally:
        connection.close()


def test_a_second_process_does_not_touch_the_same_folder(simulator: SimulatorProcess) -> None:
    command = [sys.executable, "-m", "simulator", "--port", "0", "--data", str(simulator.folder)]

    second = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=30, check=False)

    assert second.returncode != 0
    assert second.stderr.startswith(b"simulator: another one keeps its books in")


async def test_a_unit_of_work_that_fails_leaves_nothing_and_harms_no_other(tmp_path: Path) -> None:
    def write(tx: Tx, name: str) -> None:
        tx.execute("INSERT INTO setting (name, value) VALUES (?, '1')", (name,))

    def write_and_fail(tx: Tx) -> None:
        write(tx, "lost")
        raise WorkFailed

    async with Books(tmp_path) as books:
        await books.run(lambda tx: write(tx, "first"))
        with pytest.raises(WorkFailed):
            await books.run(write_and_fail)
        await books.run(lambda tx: write(tx, "second"))

        names = await books.run(
            lambda tx: [row[0] for row in tx.execute("SELECT name FROM setting")]
        )

    assert sorted(names) == ["first", "second"]
