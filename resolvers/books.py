"""What is read of an account and of an entry, wherever they are shown."""

from functools import cache
from typing import Any, Final

from sqlalchemy import Select, and_

from ledger.tables import (
    AccountBalanceRow,
    AccountRow,
    AccountTypeRow,
    EntryRow,
    LedgerTransactionRow,
)
from resolvers.reading import columns_of, rows_of, shown_columns, table_of
from resolvers.views.ledger import OF_TRANSACTION, TOTALS

_ACCOUNTS: Final = columns_of(AccountRow)
_TYPES: Final = columns_of(AccountTypeRow)
_BALANCES: Final = columns_of(AccountBalanceRow)
_ENTRIES: Final = columns_of(EntryRow)
_TRANSACTIONS: Final = columns_of(LedgerTransactionRow)
_OF_TRANSACTION: Final = [
    column.label(f"{OF_TRANSACTION}{column.key}") for column in shown_columns(LedgerTransactionRow)
]


@cache
def select_accounts() -> Select[Any]:
    """Accounts with their class in the chart and their running totals."""
    return (
        rows_of(
            AccountRow,
            _TYPES["class"].label("kind"),
            *(_BALANCES[name] for name in (*TOTALS, "seq", "min_available")),
        )
        .join(table_of(AccountTypeRow), _TYPES["code"] == _ACCOUNTS["type_code"])
        .join(
            table_of(AccountBalanceRow),
            and_(
                _BALANCES["tenant_id"] == _ACCOUNTS["tenant_id"],
                _BALANCES["account_id"] == _ACCOUNTS["id"],
            ),
        )
    )


@cache
def select_entries() -> Select[Any]:
    """Entries with the normal side of their account, and their transaction."""
    return (
        rows_of(EntryRow, _ACCOUNTS["normal"], *_OF_TRANSACTION)
        .join(
            table_of(AccountRow),
            and_(
                _ACCOUNTS["tenant_id"] == _ENTRIES["tenant_id"],
                _ACCOUNTS["id"] == _ENTRIES["account_id"],
            ),
        )
        .join(
            table_of(LedgerTransactionRow),
            and_(
                _TRANSACTIONS["tenant_id"] == _ENTRIES["tenant_id"],
                _TRANSACTIONS["id"] == _ENTRIES["transaction_id"],
            ),
        )
    )
