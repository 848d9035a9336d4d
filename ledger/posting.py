"""Posting: one call of one SQL function with everything a unit of work writes to the books."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import orjson

from core.database import Tx
from core.errors import Rejected
from core.identifiers import new_id
from ledger.errors import (
    AccountFrozen,
    AmountOutOfRange,
    BalanceLimitExceeded,
    HoldExceeded,
    HoldMissing,
    InsufficientFunds,
    KeyReused,
    NotReversible,
    UnknownAccount,
    UnknownVerdict,
)
from ledger.types import POSTINGS_MAX, AccountRef, HoldState, Layer, Leg, Posted, Posting

_REFUSALS: Final[Mapping[str, type[Rejected]]] = {
    "INSUFFICIENT_FUNDS": InsufficientFunds,
    "BALANCE_LIMIT": BalanceLimitExceeded,
    "ACCOUNT_FROZEN": AccountFrozen,
    "UNKNOWN_ACCOUNT": UnknownAccount,
    "KEY_REUSED": KeyReused,
    "HOLD_MISSING": HoldMissing,
    "HOLD_EXCEEDED": HoldExceeded,
    "NOT_REVERSIBLE": NotReversible,
    "OUT_OF_RANGE": AmountOutOfRange,
}

_LAYERS: Final = {Layer.POSTED: 0, Layer.PENDING: 1}
_UNDOING_A_HOLD: Final = 2

_POST: Final = """
SELECT item, verdict, transaction_id, account_path, account_currency, available
  FROM ledger_post($1::ledger_account_ref[], $2::ledger_posting[], $3::ledger_leg[])
 ORDER BY item
"""

_OPEN: Final = "SELECT ledger_open_accounts($1::ledger_account_ref[])"

_LOCK_HOLDS: Final = """
SELECT hold_id, currency, amount, captured, released FROM ledger_lock_holds($1, $2)
"""


async def post(tx: Tx, tenant_id: int, postings: Sequence[Posting]) -> list[Posted]:
    """Write all of the postings or none; the answers are in the same order.

    Call it once in a unit of work, last but for the outbox: it locks holds, then accounts, in id
    order. A key that was posted before with the same money is a replay. When it raises, nothing
    of this call is written and the unit of work may go on.
    Raises: InsufficientFunds, BalanceLimitExceeded, AccountFrozen, UnknownAccount, KeyReused,
    HoldMissing, HoldExceeded, NotReversible, AmountOutOfRange; asyncpg.SerializationError when a
    key was used at the same moment for other accounts (core.database's `run` tries again).
    """
    assert len(postings) <= POSTINGS_MAX
    first_by_key = _first_of_each_key(postings)
    if not first_by_key:
        return []
    accounts = _accounts_of(first_by_key.values())
    rows = await tx.fetch(
        _POST,
        [(tenant_id, account.path, account.currency) for account in accounts],
        [_posting_row(tenant_id, posting) for posting in first_by_key.values()],
        _leg_rows(first_by_key.values(), {account: n for n, account in enumerate(accounts, 1)}),
    )
    return _answers(postings, list(first_by_key.values()), rows)


async def open_accounts(tx: Tx, tenant_id: int, accounts: Sequence[AccountRef]) -> None:
    """Open accounts before anything is posted to them; those open already stay as they are.

    Raises: UnknownAccount.
    """
    refs = sorted(set(accounts))
    ids = await tx.fetchval(_OPEN, [(tenant_id, ref.path, ref.currency) for ref in refs])
    for ref, id in zip(refs, ids or [], strict=True):
        if id is None:
            raise UnknownAccount(account=ref.path, currency=ref.currency)


async def hold_state(tx: Tx, tenant_id: int, hold_ids: Iterable[UUID]) -> dict[UUID, HoldState]:
    """The holds that exist, locked in id order until the unit of work ends."""
    rows = await tx.fetch(_LOCK_HOLDS, tenant_id, sorted(set(hold_ids)))
    return {row["hold_id"]: HoldState(*row.values()) for row in rows}


def _first_of_each_key(postings: Sequence[Posting]) -> dict[str, Posting]:
    first_by_key: dict[str, Posting] = {}
    for posting in postings:
        first = first_by_key.setdefault(posting.key, posting)
        if not first.moves_same_money_as(posting):
            raise KeyReused(key=posting.key)
    return first_by_key


def _accounts_of(postings: Iterable[Posting]) -> list[AccountRef]:
    legs = [leg for posting in postings for leg in posting.legs]
    return sorted({leg.account for leg in legs} | {leg.spill for leg in legs if leg.spill})


def _posting_row(tenant_id: int, posting: Posting) -> tuple[object, ...]:
    hold = posting.opens or posting.settles
    opens, settles = posting.opens, posting.settles
    return (
        tenant_id,
        new_id(),
        posting.key,
        posting.recipe,
        hold.hold_id if hold else None,
        opens.minor_units if opens else None,
        opens.reason if opens else None,
        opens.expires_at if opens else None,
        settles.captured if settles else None,
        settles.released if settles else None,
        posting.reverses,
        posting.payment_id,
        posting.refund_id,
        posting.operation_id,
        posting.provider_account_id,
        posting.provider_ref,
        posting.correlation_id,
        posting.effective_at,
        posting.description,
        orjson.dumps(dict(posting.metadata), option=orjson.OPT_SORT_KEYS).decode(),
        posting.external_fact,
        posting.created_by,
    )


def _leg_rows(
    postings: Iterable[Posting], numbers: Mapping[AccountRef, int]
) -> list[tuple[int, int, int | None, int, str, int]]:
    return [
        (
            item,
            numbers[leg.account],
            numbers[leg.spill] if leg.spill else None,
            _layer_number(posting, leg),
            leg.direction.value,
            leg.minor_units,
        )
        for item, posting in enumerate(postings, 1)
        for leg in posting.legs
    ]


def _layer_number(posting: Posting, leg: Leg) -> int:
    if leg.layer is Layer.PENDING and posting.settles:
        return _UNDOING_A_HOLD
    return _LAYERS[leg.layer]


def _answers(
    postings: Sequence[Posting], asked: Sequence[Posting], rows: Sequence[Any]
) -> list[Posted]:
    answers: dict[str, Posted] = {}
    for row in rows:
        posting = asked[row["item"] - 1]
        verdict = row["verdict"]
        if verdict not in ("POSTED", "REPLAYED"):
            raise _refusal(posting, row)
        answers[posting.key] = Posted(posting.key, row["transaction_id"], verdict == "REPLAYED")
    seen: set[str] = set()
    result = []
    for posting in postings:
        answer = answers[posting.key]
        repeated = posting.key in seen
        seen.add(posting.key)
        result.append(Posted(answer.key, answer.transaction_id, answer.replayed or repeated))
    return result


def _refusal(posting: Posting, row: Any) -> Rejected | UnknownVerdict:
    rule = _REFUSALS.get(row["verdict"])
    if rule is None:
        return UnknownVerdict(verdict=row["verdict"], key=posting.key)
    facts: dict[str, object] = {"key": posting.key}
    if row["account_path"] is not None:
        facts |= {"account": row["account_path"], "currency": row["account_currency"]}
    if row["available"] is not None:
        facts["available"] = row["available"]
    return rule(**facts)
