"""Anything by its id. The scope depends on what the prefix names, and is checked only here.

A foreign id, a missing one and a malformed one are the same: nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from core.identifiers import MalformedId, split
from resolvers import ledger
from resolvers.context import Context, Forbidden
from resolvers.loaders import load
from resolvers.paging import PAGE_SIZE_MAX, BadPageSize
from resolvers.problems import (
    InsufficientFundsProblem,
    OperationInProgressProblem,
    OutcomeUnknownProblem,
)
from resolvers.views.records import AuditEntry, IdempotentResult

Load = Callable[[Context, UUID], Awaitable[Any]]

SCOPES: Final[Mapping[str, str]] = {
    "pay": "PAYMENTS_READ",
    "att": "PAYMENTS_READ",
    "op": "PAYMENTS_READ",
    "ref": "PAYMENTS_READ",
    "acc": "LEDGER_READ",
    "txn": "LEDGER_READ",
    "ent": "LEDGER_READ",
    "hld": "LEDGER_READ",
    "sm": "PAYMENTS_READ",
    "prv": "PROVIDERS_READ",
    "whk": "WEBHOOKS_READ",
    "dis": "RECONCILIATION_READ",
    "aud": "ADMIN",
}
"""Scope each kind of node needs, by the prefix of its id."""

_LOADERS: Final[Mapping[str, Load]] = {
    "pay": lambda context, bare: load(context).payment.load(bare),
    "att": lambda context, bare: load(context).attempt.load(bare),
    "op": lambda context, bare: load(context).operation.load(bare),
    "ref": lambda context, bare: load(context).refund.load(bare),
    "acc": lambda context, bare: load(context).account.load(bare),
    "txn": lambda context, bare: load(context).transaction.load(bare),
    "hld": lambda context, bare: load(context).hold.load(bare),
    "sm": lambda context, bare: load(context).saved_method.load(bare),
    "prv": lambda context, bare: load(context).provider.load(bare),
    "whk": lambda context, bare: load(context).webhook.load(bare),
    "dis": lambda context, bare: load(context).discrepancy.load(bare),
    "aud": lambda context, bare: load(context).audit_entry.load(bare),
}


async def node(context: Context, id: str) -> Any:
    """What the id names, if the caller may see it. Raises: Forbidden."""
    prefix = id.partition("_")[0]
    scope = SCOPES.get(prefix)
    if scope is None:
        return None
    context.demand(scope)
    if prefix == "ent":
        return await ledger.entry(context, id)
    try:
        _, bare = split(id)
    except MalformedId:
        return None
    return await _LOADERS[prefix](context, bare)


async def nodes(context: Context, ids: Sequence[str]) -> list[Any]:
    """Several at once. Raises: BadPageSize."""
    if len(ids) > PAGE_SIZE_MAX:
        raise BadPageSize(asked=len(ids), maximum=PAGE_SIZE_MAX)
    return list(await asyncio.gather(*(_node_or_refusal(context, id) for id in ids)))


async def _node_or_refusal(context: Context, id: str) -> Any:
    """An error that is returned, not raised, concerns only its place in the list."""
    try:
        return await node(context, id)
    except Forbidden as refusal:
        return refusal


async def resource_of(
    context: Context, parent: IdempotentResult | OperationInProgressProblem
) -> Any:
    """What a call made or acted on."""
    return await node(context, parent.resource_id) if parent.resource_id else None


async def subject_of(context: Context, parent: AuditEntry) -> Any:
    """What an audit line is about; nothing when that is no node (a key, a setting)."""
    return await node(context, parent.subject_id) if parent.subject_id else None


async def account_of_problem(context: Context, parent: InsufficientFundsProblem) -> Any:
    """The account that lacks funds."""
    return await ledger.account_at(context, parent.account_path, parent.available.currency)


async def operation_of_problem(context: Context, parent: OutcomeUnknownProblem) -> Any:
    """The operation whose outcome is not known."""
    return await load(context).operation.load(parent.operation_id)
