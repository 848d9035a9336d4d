"""The books: double entry on PostgreSQL, kept from the operator's point of view.

recipes ──▶ Posting ──▶ post(tx, …) ──▶ ledger_post() in SQL ──▶ entries, balances, holds
"""

from ledger import chart
from ledger.errors import (
    AccountFrozen,
    AmountOutOfRange,
    BalanceLimitExceeded,
    HoldExceeded,
    HoldMissing,
    InsufficientFunds,
    KeyReused,
    NotReversible,
    PendingLegsMismatch,
    Unbalanced,
    UnknownAccount,
)
from ledger.posting import hold_state, open_accounts, post
from ledger.reversal import reversal_of
from ledger.types import (
    POSTINGS_MAX,
    AccountKind,
    AccountRef,
    Direction,
    HoldState,
    Layer,
    Leg,
    OpenHold,
    Posted,
    Posting,
    SettleHold,
)

__all__ = [
    "POSTINGS_MAX",
    "AccountFrozen",
    "AccountKind",
    "AccountRef",
    "AmountOutOfRange",
    "BalanceLimitExceeded",
    "Direction",
    "HoldExceeded",
    "HoldMissing",
    "HoldState",
    "InsufficientFunds",
    "KeyReused",
    "Layer",
    "Leg",
    "NotReversible",
    "OpenHold",
    "PendingLegsMismatch",
    "Posted",
    "Posting",
    "SettleHold",
    "Unbalanced",
    "UnknownAccount",
    "chart",
    "hold_state",
    "open_accounts",
    "post",
    "reversal_of",
]
