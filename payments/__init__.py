"""Payments: exactly one charge for one intent, whatever fails.

    command ──▶ unit of work A ──▶ provider call ──▶ unit of work B ──▶ result
                intent committed    nothing locked    evidence → projection → outbox → entries

Status is computed from the set of evidence; a callback, a lookup and an answer all go through
`conclude`. What is not certain is left to the worker (`PaymentWork`), which never guesses.
"""

from payments.advance import PaymentWork
from payments.amounts import capturable_of_row, refundable_of_row
from payments.cancel import cancel
from payments.capture import capture
from payments.checkout import CheckoutOption, checkout_options
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
    OperationResult,
    OperatorOutcome,
    PaymentResult,
    RefundReason,
    RefundResult,
    RemoveSavedMethod,
    ResolveOperation,
    Routing,
    SavedMethod,
    SavedMethodResult,
    Split,
    StoreCredit,
    SyncPayment,
)
from payments.confirm import confirm
from payments.create import create
from payments.detaching import DetachmentWork
from payments.evidence import conclude, find_operation, open_discrepancy, record_external
from payments.facts import Fact
from payments.lookup import IdempotentOperation, operation_by_idempotency_key
from payments.methods import client_secret, find_by_client_secret
from payments.refund import refund
from payments.removing import remove_saved_method
from payments.resolve import RESOLVABLE, resolve
from payments.returning import WayBack, count_attempts, open_return, return_token, way_back
from payments.risk import RiskCheck, RiskQuestion, RuleCheck
from payments.services import PaymentServices
from payments.sync import sync
from payments.verify import Difference, verify

__all__ = [
    "DEFAULT_MERCHANT_ACCOUNT",
    "RESOLVABLE",
    "Actor",
    "CancelPayment",
    "CaptureMode",
    "CapturePayment",
    "CheckoutOption",
    "ConfirmPayment",
    "CreatePayment",
    "CreateRefund",
    "DetachmentWork",
    "Difference",
    "Fact",
    "IdempotentOperation",
    "Method",
    "OperationResult",
    "OperatorOutcome",
    "PaymentResult",
    "PaymentServices",
    "PaymentWork",
    "RefundReason",
    "RefundResult",
    "RemoveSavedMethod",
    "ResolveOperation",
    "RiskCheck",
    "RiskQuestion",
    "Routing",
    "RuleCheck",
    "SavedMethod",
    "SavedMethodResult",
    "Split",
    "StoreCredit",
    "SyncPayment",
    "WayBack",
    "cancel",
    "capturable_of_row",
    "capture",
    "checkout_options",
    "client_secret",
    "conclude",
    "confirm",
    "count_attempts",
    "create",
    "find_by_client_secret",
    "find_operation",
    "open_discrepancy",
    "open_return",
    "operation_by_idempotency_key",
    "record_external",
    "refund",
    "refundable_of_row",
    "remove_saved_method",
    "resolve",
    "return_token",
    "sync",
    "verify",
    "way_back",
]
