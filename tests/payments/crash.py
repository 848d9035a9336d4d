"""A process that does one thing and dies at a named place on the way."""

import asyncio
import importlib
import os
from datetime import timedelta
from typing import Any
from uuid import UUID

from core import killpoints
from core.claims import Claim
from core.database import Database, DatabaseSettings
from core.money import Money
from payments import Actor, CapturePayment, CreateRefund, capture, create, refund
from payments.advance import advance
from tests.payments.world import MovingClock, a_payment, some_services
from tests.programs import FORKS


async def die(kill_at: str, wanted: dict[str, Any]) -> int | None:
    """Do what is wanted in a process that is killed at `kill_at`; how it ended."""
    process = FORKS.Process(target=_run, args=(kill_at, wanted))
    process.start()
    await asyncio.to_thread(process.join)
    return process.exitcode


def _run(kill_at: str, wanted: dict[str, Any]) -> None:
    os.environ["KILL_AT"] = kill_at
    importlib.reload(killpoints)  # which reads it once
    asyncio.run(_do(wanted))


async def _do(wanted: dict[str, Any]) -> None:
    database = await Database.open(DatabaseSettings(wanted["url"], pool_size=2))
    actor = Actor(wanted["tenant_id"], "key:test", "server", "request-crash")
    clock = MovingClock()
    clock.ahead = timedelta(seconds=wanted.get("later", 0))
    async with some_services(database, clock) as services:
        match wanted["do"]:
            case "create":
                await create(a_payment(key=wanted["key"]), actor, services)
            case "capture":
                id, money = UUID(wanted["payment_id"]), Money(1000, "EUR")
                input = {"paymentId": str(id), "amount": 1000, "final": True}
                await capture(CapturePayment(wanted["key"], input, id, money), actor, services)
            case "refund":
                id = UUID(wanted["payment_id"])
                input = {"paymentId": str(id), "amount": None}
                await refund(CreateRefund(wanted["key"], input, id), actor, services)
            case "advance":
                claim = Claim(wanted["tenant_id"], UUID(wanted["operation_id"]), wanted["fence"])
                await advance(services, claim)
            case other:
                raise ValueError(other)
    await database.close()
