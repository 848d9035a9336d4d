"""Paths of the chart of accounts. The chart itself is the table `account_type`.

Each function names one account; a part in braces is a name of ours: a provider account, a
merchant, a customer.
"""

from ledger.types import AccountRef


def clearing(provider: str, currency: str) -> AccountRef:
    """1100 What a provider has captured for us and not paid out yet."""
    return AccountRef(f"psp:{provider}:clearing", currency)


def suspense(source: str, currency: str) -> AccountRef:
    """1900 Money nobody has explained yet; must age to zero."""
    return AccountRef(f"suspense:{source}", currency)


def payable(merchant: str, currency: str) -> AccountRef:
    """2000 What we owe a merchant; never below zero."""
    return AccountRef(f"merchant:{merchant}:payable", currency)


def receivable(merchant: str, currency: str) -> AccountRef:
    """1200 What a merchant owes us."""
    return AccountRef(f"merchant:{merchant}:receivable", currency)


def wallet(customer: str, currency: str) -> AccountRef:
    """2100 A customer's store credit; never below zero."""
    return AccountRef(wallet_path(customer), currency)


def wallet_path(customer: str) -> str:
    """The same in every currency, whatever the id looks like."""
    return f"customer:{customer}:wallet"


def tax(jurisdiction: str, currency: str) -> AccountRef:
    """2200 Tax collected for a jurisdiction."""
    return AccountRef(f"tax:{jurisdiction}", currency)


def platform_fee(currency: str) -> AccountRef:
    """4000 What the operator keeps of other merchants' sales."""
    return AccountRef("income:platform_fee", currency)


def sales(currency: str) -> AccountRef:
    """4020 The operator's own sales: the merchant account of a single shop."""
    return AccountRef("income:sales", currency)


def psp_fee(provider: str, currency: str) -> AccountRef:
    """5000 What a provider charges us."""
    return AccountRef(f"expense:psp_fee:{provider}", currency)


def store_credit_expense(currency: str) -> AccountRef:
    """5040 Store credit given away as goodwill."""
    return AccountRef("expense:store_credit", currency)


def spill_account(account: AccountRef, source: str) -> AccountRef | None:
    """Where the rest goes when an account has too little for an external fact; None: no floor.

    A merchant who has been paid out already owes us the rest; anything else is for a person.
    """
    match account.path.split(":"):
        case ["merchant", merchant, "payable"]:
            return receivable(merchant, account.currency)
        case ["psp" | "bank" | "suspense" | "tax" | "fx" | "income" | "expense", *_]:
            return None
        case _:
            return suspense(source, account.currency)
