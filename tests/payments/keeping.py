"""Short ways to say what happens to methods that customers keep."""

import random
from typing import Any
from uuid import UUID

from core.claims import ClaimLoop
from core.identifiers import encode, new_id
from gateways.port import Outcome, OutcomeStatus, StoredMethod
from payments import (
    Actor,
    ConfirmPayment,
    DetachmentWork,
    Fact,
    PaymentResult,
    RemoveSavedMethod,
    SavedMethod,
    confirm,
    remove_saved_method,
)
from tests.payments.world import World, a_key

ANNA = "anna"


async def kept(world: World, customer: str = ANNA, token: str = "tok_success") -> UUID:
    """A method the customer keeps since a payment of 10.00 EUR."""
    payment_id = await world.pay(token, customer_id=customer, save_method=True)
    (row,) = await saved(world, payment_id=payment_id)
    id: UUID = row["id"]
    return id


async def saved(world: World, **wanted: Any) -> list[Any]:
    """Rows of saved methods, also of removed ones."""
    rows = await world.rows(
        "SELECT * FROM saved_method WHERE tenant_id = $1 ORDER BY id", world.tenant_id
    )
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


async def pay_with(world: World, id: UUID, customer: str | None = ANNA, **changes: Any) -> UUID:
    """The merchant's server pays with a saved method."""
    return await world.pay(None, customer_id=customer, method=SavedMethod(id), **changes)


def a_browser(world: World, payment_id: UUID, customer: str | None = None) -> Actor:
    """A page with the client secret of a payment, and perhaps the token of a customer."""
    scope = encode("pay", payment_id)
    return Actor(world.tenant_id, f"client:{scope}", scope, f"page-{new_id()}", customer)


def owner(world: World, customer: str = ANNA) -> Actor:
    """A customer with their own token."""
    scope = f"customer:{customer}"
    return Actor(world.tenant_id, scope, scope, f"page-{new_id()}", customer)


async def confirm_as(actor: Actor, world: World, payment_id: UUID, **wish: Any) -> PaymentResult:
    key = wish.pop("key", None) or a_key()
    given = {name: str(value) for name, value in sorted(wish.items())}
    return await confirm(ConfirmPayment(key, given, payment_id, **wish), actor, world.services)


async def remove(world: World, id: UUID, actor: Actor | None = None, key: str = "") -> bool:
    """Whether an earlier call with the key was answered again."""
    command = RemoveSavedMethod(key or a_key(), {"id": str(id)}, id)
    result = await remove_saved_method(command, actor or world.actor, world.services)
    return result.replayed


async def tell_providers(world: World) -> None:
    """One round of the worker over removed methods, also of those other tests left behind."""
    loop = ClaimLoop("test", DetachmentWork(world.services), random.Random(1), concurrency=100)
    await loop.run_once()


async def make_due(world: World) -> None:
    """Let time pass for removals: leases end, schedules come due."""
    async with world.database.unit_of_work(world.tenant_id) as tx:
        await tx.execute(
            """UPDATE saved_method SET lease_until = NULL, next_action_at = clock_timestamp()
                WHERE tenant_id = $1 AND next_action_at IS NOT NULL""",
            world.tenant_id,
        )


def detachments(world: World) -> list[int | None]:
    """HTTP statuses of every detachment the provider was asked for."""
    names = {merchant.name for merchant in world.merchants}
    found: list[dict[str, Any]] = []
    after = 0
    while True:
        asked: dict[str, str | int] = {"kind": "requests", "limit": 1000, "after": after}
        page = world.simulator.client.get("/_log", params=asked).json()
        found += page["data"]
        if not page["next_after"]:
            break
        after = page["next_after"]
    return [
        line["status"]
        for line in found
        if line["account"] in names and line["path"].endswith("/detach")
    ]


def says_kept(operation: Any, source: str, dedup_key: str, **details: Any) -> Fact:
    """A report that the operation succeeded and its method is kept."""
    stored = StoredMethod(**{"token": "card_1", "provider_customer": ANNA, **details})
    outcome = Outcome(
        OutcomeStatus.SUCCEEDED,
        provider_ref=operation.provider_ref or "sp_1",
        amount=operation.money,
        stored_method=stored,
    )
    return Fact(source, outcome, dedup_key, operation.created_at)
