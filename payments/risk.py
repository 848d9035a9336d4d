"""Whether a payment may be tried at all: a protocol, and the check that is built in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from core.database import Tx
from core.money import Money
from payments.errors import RiskRejected
from payments.model import Payment

VELOCITY_WINDOW: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class RiskQuestion:
    """What is known when a payment is about to be tried.

    `method_fingerprint` recognises a method without telling what it is. `payment_id` is left out
    when earlier payments are counted.
    """

    tenant_id: int
    payment_id: UUID
    amount: Money
    customer_id: str | None
    method_fingerprint: str | None
    country: str | None


class RiskCheck(Protocol):
    """Something that may refuse a payment before any provider hears of it."""

    async def objection(self, tx: Tx, question: RiskQuestion) -> str | None:
        """The rule the payment breaks, or None. Only reads; runs inside unit of work A."""
        ...


@dataclass(frozen=True, slots=True)
class RuleCheck:
    """The built-in rules, kept in `tenant.risk_rules` and `block_list`:

    {"amount_max": {"EUR": 500000}, "payments_per_customer_per_hour": 20,
     "payments_per_method_per_hour": 10}
    """

    async def objection(self, tx: Tx, question: RiskQuestion) -> str | None:
        """The first rule broken: block list, then amount, then velocity."""
        row = await tx.fetchrow(
            """
            SELECT t.risk_rules,
                   (SELECT b.kind FROM block_list AS b
                     WHERE b.tenant_id = t.tenant_id
                       AND (b.kind, b.value) IN (('CUSTOMER', $2), ('METHOD', $3),
                                                 ('COUNTRY', $4), ('CURRENCY', $5))
                     ORDER BY b.kind LIMIT 1) AS blocked
              FROM tenant AS t WHERE t.tenant_id = $1
            """,
            question.tenant_id,
            question.customer_id,
            question.method_fingerprint,
            question.country,
            question.amount.currency,
        )
        if row is None:
            return None
        if row["blocked"]:
            return f"block_list.{row['blocked'].lower()}"
        return _above_amount_max(row["risk_rules"], question.amount) or await _too_many(
            tx, row["risk_rules"], question
        )


def _above_amount_max(rules: Mapping[str, Any], amount: Money) -> str | None:
    limit = rules.get("amount_max", {}).get(amount.currency)
    return "amount_max" if limit is not None and amount.minor_units > int(limit) else None


async def _too_many(tx: Tx, rules: Mapping[str, Any], question: RiskQuestion) -> str | None:
    for rule, column, value in (
        ("payments_per_customer_per_hour", "p.customer_id", question.customer_id),
        ("payments_per_method_per_hour", "p.method ->> 'fingerprint'", question.method_fingerprint),
    ):
        limit = rules.get(rule)
        if limit is None or value is None:
            continue
        earlier = await tx.fetchval(
            f"""
            SELECT count(*) FROM (
              SELECT 1 FROM payment AS p
               WHERE p.tenant_id = $1 AND {column} = $2 AND p.id <> $3
                 AND p.created_at > clock_timestamp() - $4::INTERVAL
               LIMIT $5) AS recent
            """,
            question.tenant_id,
            value,
            question.payment_id,
            VELOCITY_WINDOW,
            int(limit),
        )
        if earlier >= int(limit):
            return rule
    return None


async def assess(tx: Tx, checks: Sequence[RiskCheck], tenant_id: int, payment: Payment) -> None:
    """Ask every check. Raises: RiskRejected."""
    question = RiskQuestion(
        tenant_id=tenant_id,
        payment_id=payment.id,
        amount=payment.money(payment.amount),
        customer_id=payment.customer_id,
        method_fingerprint=payment.method.get("fingerprint"),
        country=payment.country,
    )
    for check in checks:
        rule = await check.objection(tx, question)
        if rule is not None:
            raise RiskRejected(rule)
