"""Payments: exactly one charge for one intent, whatever fails.

    command ──▶ unit of work A ──▶ provider call ──▶ unit of work B ──▶ result
                intent committed    nothing locked    evidence → projection → entries → outbox

Status is computed from the set of evidence; a callback, a lookup and an answer all go through
`conclude`. What is not certain is left to the worker (`PaymentWork`), which never guesses.
"""

from payments.commands import (
    DEFAULT_MERCHANT_ACCOUNT,
    Actor,
    CancelPayment,
    CaptureMode,
    CapturePayment,
    ConfirmPayment,
    CreatePayment,
    CreateRefund,
    Method,
    PaymentResult,
    RefundReason,
    RefundResult,
    Routing,
    Split,
    StoreCredit,
    SyncPayment,
)
from payments.services import PaymentServices

__all__ = [
    "DEFAULT_MERCHANT_ACCOUNT",
    "Actor",
    "CancelPayment",
    "CaptureMode",
    "CapturePayment",
    "ConfirmPayment",
    "CreatePayment",
    "CreateRefund",
    "Method",
    "PaymentResult",
    "PaymentServices",
    "RefundReason",
    "RefundResult",
    "Routing",
    "Split",
    "StoreCredit",
    "SyncPayment",
]
