"""What the ledger refuses. Nothing is written when one of these is raised."""

from core.errors import Broken, Rejected


class InsufficientFunds(Rejected):
    """The account has less available than this would take."""

    code = "INSUFFICIENT_FUNDS"


class BalanceLimitExceeded(Rejected):
    """The account may not hold more than its limit."""

    code = "BALANCE_LIMIT_EXCEEDED"


class AccountFrozen(Rejected):
    """The account is frozen or closed."""

    code = "ACCOUNT_FROZEN"


class UnknownAccount(Rejected):
    """The path fits no account of the chart."""

    code = "UNKNOWN_ACCOUNT"


class KeyReused(Rejected):
    """The key already belongs to a transaction that moved other money."""

    code = "KEY_REUSED"


class Unbalanced(Rejected):
    """Debits and credits differ in some currency and layer."""

    code = "UNBALANCED"


class PendingLegsMismatch(Rejected):
    """The pending legs of a posting must be exactly the hold it opens or the part it settles."""

    code = "PENDING_LEGS_MISMATCH"


class HoldMissing(Rejected):
    """There is no such hold in this currency."""

    code = "HOLD_MISSING"


class HoldExceeded(Rejected):
    """More was settled than is left of the hold."""

    code = "HOLD_EXCEEDED"


class NotReversible(Rejected):
    """The transaction does not exist, is itself a reversal, or has been reversed already."""

    code = "NOT_REVERSIBLE"


class AmountOutOfRange(Rejected):
    """A total would leave the range of signed 64 bits."""

    code = "BAD_AMOUNT"


class UnknownVerdict(Broken):
    """The database gave a verdict this program does not know."""
