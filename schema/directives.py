"""The three directives every field speaks: who may see it, and what it costs.

    @requires(scope)    the caller's key needs this scope; on a type: to narrow to it
    @public(reason)     no scope, and why that is safe; only on root fields
    @cost(weight, per)  what the field costs; `per` names the argument that multiplies its subtree

They are read once, when the endpoint is built (schema/endpoint/rules.py), and enforced there only.
"""

from enum import Enum

import strawberry
from strawberry.schema_directive import Location


@strawberry.enum(description="What an API key may do.")
class Scope(Enum):
    """What an API key may do. The name of the member is what keys store and documents say."""

    PAYMENTS_READ = strawberry.enum_value("PAYMENTS_READ", description="Read payments and refunds.")
    PAYMENTS_WRITE = strawberry.enum_value(
        "PAYMENTS_WRITE", description="Create, confirm, capture and cancel payments."
    )
    REFUNDS_WRITE = strawberry.enum_value("REFUNDS_WRITE", description="Create refunds.")
    PAYOUTS_READ = strawberry.enum_value("PAYOUTS_READ", description="Read payouts.")
    PAYOUTS_WRITE = strawberry.enum_value("PAYOUTS_WRITE", description="Create and cancel payouts.")
    PAYOUTS_APPROVE = strawberry.enum_value(
        "PAYOUTS_APPROVE", description="Approve payouts that somebody else created."
    )
    LEDGER_READ = strawberry.enum_value(
        "LEDGER_READ", description="Read accounts, balances, transactions and statements."
    )
    LEDGER_WRITE = strawberry.enum_value(
        "LEDGER_WRITE", description="Create accounts, transfer and reverse."
    )
    DISPUTES_WRITE = strawberry.enum_value("DISPUTES_WRITE", description="Answer disputes.")
    RECONCILIATION_READ = strawberry.enum_value(
        "RECONCILIATION_READ", description="Read reconciliation runs and discrepancies."
    )
    RECONCILIATION_WRITE = strawberry.enum_value(
        "RECONCILIATION_WRITE", description="Start reconciliations and resolve discrepancies."
    )
    PROVIDERS_READ = strawberry.enum_value(
        "PROVIDERS_READ", description="Read providers, their health and the routing."
    )
    PROVIDERS_WRITE = strawberry.enum_value(
        "PROVIDERS_WRITE", description="Change providers and their routing."
    )
    WEBHOOKS_READ = strawberry.enum_value(
        "WEBHOOKS_READ", description="Read inbound webhooks and webhook endpoints."
    )
    WEBHOOKS_WRITE = strawberry.enum_value(
        "WEBHOOKS_WRITE", description="Replay webhooks and change webhook endpoints."
    )
    EVENTS_READ = strawberry.enum_value("EVENTS_READ", description="Read the event stream.")
    ADMIN = strawberry.enum_value(
        "ADMIN", description="Read raw payloads and the audit log, resolve operations by hand."
    )


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION, Location.OBJECT],
    name="requires",
    description=(
        "The field needs this scope; without it the whole request is refused (FORBIDDEN)."
        " On a type: narrowing to it (`... on Payment`) needs the scope."
    ),
)
class Requires:
    """The field needs this scope; without it the whole request is refused and nothing runs."""

    scope: Scope = strawberry.field(description="The scope the caller's key must have.")


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="public",
    description="The field needs no scope.",
)
class Public:
    """The field needs no scope. Every root field is either this or `Requires`."""

    reason: str = strawberry.field(description="Why that is safe.")


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="cost",
    description="What the field counts towards the cost limit of a request.",
)
class Cost:
    """(weight + what is selected below) times the page size."""

    weight: int = strawberry.field(default=1, description="Cost of the field itself.")
    per: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The argument that multiplies the cost of what is selected below.",
    )
    max: int | None = strawberry.field(
        default=strawberry.UNSET,
        description="The largest value the argument named by `per` may have; 100 unless said.",
    )
