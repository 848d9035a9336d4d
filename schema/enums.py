"""The closed lists of the API. Members are spelled as the database stores them."""

from enum import Enum

import strawberry

_one = strawberry.enum_value


@strawberry.enum(description="Which end of a list comes first.")
class SortDirection(Enum):
    """Which end of a list comes first."""

    ASC = _one("ASC", description="Smallest or oldest first.")
    DESC = _one("DESC", description="Largest or newest first.")


@strawberry.enum(description="What kind of problem it is.")
class ErrorCode(Enum):
    """What kind of problem it is."""

    VALIDATION = _one("VALIDATION", description="The input breaks a rule; `fields` says which.")
    NOT_FOUND = _one("NOT_FOUND", description="There is nothing of this id that you may see.")
    IDEMPOTENCY_KEY_REUSED = _one(
        "IDEMPOTENCY_KEY_REUSED", description="The key was used before with another input."
    )
    OPERATION_IN_PROGRESS = _one(
        "OPERATION_IN_PROGRESS", description="The first call with this key is still running."
    )
    INVALID_STATE = _one(
        "INVALID_STATE", description="What is asked for is not possible in the present state."
    )
    AMOUNT_EXCEEDED = _one("AMOUNT_EXCEEDED", description="More was asked for than is available.")
    INSUFFICIENT_FUNDS = _one("INSUFFICIENT_FUNDS", description="The account does not hold enough.")
    NO_PROVIDER_AVAILABLE = _one(
        "NO_PROVIDER_AVAILABLE", description="No provider could take it. Nothing was sent."
    )
    UNSUPPORTED = _one("UNSUPPORTED", description="The provider cannot do this.")
    VERSION_CONFLICT = _one("VERSION_CONFLICT", description="It was changed since you read it.")
    OUTCOME_UNKNOWN = _one(
        "OUTCOME_UNKNOWN",
        description="An earlier operation has an unknown outcome; another could move money twice.",
    )
    RISK_REJECTED = _one("RISK_REJECTED", description="The risk rules refuse it.")


@strawberry.enum(description="What a provider's adapter can do.")
class Capability(Enum):
    """What a provider's adapter can do."""

    AUTHORIZE = _one("AUTHORIZE", description="Reserve an amount.")
    SALE = _one("SALE", description="Take an amount at once.")
    CAPTURE = _one("CAPTURE", description="Take a reserved amount.")
    PARTIAL_CAPTURE = _one("PARTIAL_CAPTURE", description="Take a part of a reserved amount.")
    MULTI_CAPTURE = _one("MULTI_CAPTURE", description="Take a reserved amount in several parts.")
    VOID = _one("VOID", description="Give a reserved amount back.")
    REFUND = _one("REFUND", description="Return a captured amount.")
    PARTIAL_REFUND = _one("PARTIAL_REFUND", description="Return a part of a captured amount.")
    INCREMENTAL_AUTH = _one("INCREMENTAL_AUTH", description="Raise a reserved amount.")
    ZERO_AUTH = _one("ZERO_AUTH", description="Check a method without money.")
    THREE_DS = _one("THREE_DS", description="Strong customer authentication.")
    STORED_METHODS = _one("STORED_METHODS", description="Keep methods for later payments.")
    MANDATES = _one("MANDATES", description="Collect by mandate.")
    PAYOUT = _one("PAYOUT", description="Pay money out.")
    DISPUTES = _one("DISPUTES", description="Answer disputes.")
    WEBHOOKS = _one("WEBHOOKS", description="Tell us what happens by webhook.")
    SETTLEMENT_REPORTS = _one("SETTLEMENT_REPORTS", description="Deliver settlement reports.")
    LOOKUP_BY_OP_ID = _one("LOOKUP_BY_OP_ID", description="Find an operation by our own id.")
    IDEMPOTENCY = _one("IDEMPOTENCY", description="Recognise a repeated request by its key.")
    CLIENT_CONFIGURATION = _one(
        "CLIENT_CONFIGURATION", description="Say what its script in a page needs."
    )
    HEALTH = _one("HEALTH", description="Answer health probes.")


@strawberry.enum(description="Whether calls to a provider are let through.")
class BreakerState(Enum):
    """Whether calls to a provider are let through."""

    CLOSED = _one("CLOSED", description="Calls are let through.")
    HALF_OPEN = _one(
        "HALF_OPEN", description="One call is let through to see whether the provider is back."
    )
    OPEN = _one("OPEN", description="Calls are refused until the next probe.")
    FORCED_OPEN = _one("FORCED_OPEN", description="An operator refuses all calls.")


@strawberry.enum(description="How a provider is doing, judged by its breakers.")
class HealthLevel(Enum):
    """How a provider is doing, judged by its breakers."""

    HEALTHY = _one("HEALTHY", description="No breaker is open.")
    DEGRADED = _one("DEGRADED", description="Some breaker is open.")
    DOWN = _one("DOWN", description="Every breaker that ever changed is open.")


@strawberry.enum(description="What the router decided about one candidate.")
class RoutingVerdict(Enum):
    """What the router decided about one candidate."""

    CHOSEN = _one("CHOSEN", description="It gets the payment.")
    FALLBACK = _one(
        "FALLBACK", description="It gets the payment if the chosen one fails without effect."
    )
    SKIPPED_LIMIT = _one("SKIPPED_LIMIT", description="The amount is outside its limits.")
    SKIPPED_CURRENCY = _one("SKIPPED_CURRENCY", description="It does not take the currency.")
    SKIPPED_METHOD = _one("SKIPPED_METHOD", description="It cannot charge the method.")
    SKIPPED_COUNTRY = _one("SKIPPED_COUNTRY", description="It does not serve the country.")
    SKIPPED_CAPABILITY = _one("SKIPPED_CAPABILITY", description="It cannot do what is needed.")
    SKIPPED_BREAKER_OPEN = _one("SKIPPED_BREAKER_OPEN", description="Its breaker is open.")
    SKIPPED_DISABLED = _one("SKIPPED_DISABLED", description="It is switched off.")
    SKIPPED_RULE = _one("SKIPPED_RULE", description="The caller excluded it.")
    TRIED_FAILED = _one("TRIED_FAILED", description="It was tried in vain; no money moved.")


@strawberry.enum(description="How the order of candidates came about.")
class RoutingStrategy(Enum):
    """How the order of candidates came about."""

    FIXED = _one("FIXED", description="The caller named the provider.")
    PRIORITY = _one("PRIORITY", description="By the priority of the provider accounts.")


@strawberry.enum(description="Where a payment stands. Computed from evidence, never set by hand.")
class PaymentStatus(Enum):
    """Where a payment stands. Computed from evidence, never set by hand."""

    REQUIRES_PAYMENT_METHOD = _one(
        "REQUIRES_PAYMENT_METHOD",
        description="It waits for a method: none was given yet, or the last one was declined.",
    )
    REQUIRES_CONFIRMATION = _one(
        "REQUIRES_CONFIRMATION", description="It has a method and waits to be confirmed."
    )
    REQUIRES_ACTION = _one(
        "REQUIRES_ACTION", description="The shopper must do something first; see nextAction."
    )
    PROCESSING = _one(
        "PROCESSING",
        description="The provider is at work, or the outcome is not known yet. Do not try again.",
    )
    AUTHORIZED = _one("AUTHORIZED", description="The amount is reserved and can be captured.")
    PARTIALLY_CAPTURED = _one(
        "PARTIALLY_CAPTURED", description="A part was captured; the rest is still reserved."
    )
    CAPTURED = _one("CAPTURED", description="The money was taken.")
    CANCELED = _one("CANCELED", description="It was canceled before money was taken.")
    FAILED = _one("FAILED", description="It was declined, and no further try is allowed.")
    EXPIRED = _one("EXPIRED", description="Nobody finished it in time.")
    IN_REVIEW = _one(
        "IN_REVIEW", description="The evidence contradicts itself; a person looks at it."
    )


@strawberry.enum(description="Where one try at one provider stands.")
class AttemptStatus(Enum):
    """Where one try at one provider stands."""

    CREATED = _one("CREATED", description="It is recorded and not sent yet.")
    SENT = _one("SENT", description="It was sent; no answer yet.")
    REQUIRES_ACTION = _one("REQUIRES_ACTION", description="The shopper must do something first.")
    PENDING = _one("PENDING", description="The provider accepted it and will decide later.")
    UNKNOWN = _one("UNKNOWN", description="Money may or may not have moved; it is being found out.")
    AUTHORIZED = _one("AUTHORIZED", description="The amount is reserved.")
    CAPTURED = _one("CAPTURED", description="The money was taken.")
    DECLINED = _one("DECLINED", description="The provider refused.")
    NOT_EXECUTED = _one("NOT_EXECUTED", description="Certain: nothing was ever executed.")
    VOIDED = _one("VOIDED", description="The reservation was given back.")
    EXPIRED = _one("EXPIRED", description="The provider let it expire.")
    REVERSED = _one("REVERSED", description="The capture was undone later.")
    IN_REVIEW = _one("IN_REVIEW", description="The evidence contradicts itself.")


@strawberry.enum(description="What a provider is asked to do.")
class OperationKind(Enum):
    """What a provider is asked to do."""

    AUTHORIZE = _one("AUTHORIZE", description="Reserve an amount.")
    SALE = _one("SALE", description="Take an amount at once.")
    CAPTURE = _one("CAPTURE", description="Take a reserved amount.")
    VOID = _one("VOID", description="Give a reserved amount back.")
    INCREMENT = _one("INCREMENT", description="Raise a reserved amount.")
    REFUND = _one("REFUND", description="Return a captured amount.")
    PAYOUT = _one("PAYOUT", description="Pay money out.")


@strawberry.enum(description="What is known about one provider operation.")
class OperationStatus(Enum):
    """What is known about one provider operation."""

    CREATED = _one("CREATED", description="It is recorded and not sent yet.")
    SENT = _one("SENT", description="It was sent; no answer yet.")
    REQUIRES_ACTION = _one("REQUIRES_ACTION", description="The shopper must do something first.")
    PENDING = _one("PENDING", description="The provider accepted it and will decide later.")
    UNKNOWN = _one("UNKNOWN", description="Money may or may not have moved; it is being found out.")
    SUCCEEDED = _one("SUCCEEDED", description="Certain: it was done.")
    DECLINED = _one("DECLINED", description="Certain: it was refused.")
    NOT_EXECUTED = _one("NOT_EXECUTED", description="Certain: it never happened.")
    REVERSED = _one("REVERSED", description="It was done and undone later.")
    IN_REVIEW = _one("IN_REVIEW", description="The evidence contradicts itself.")


@strawberry.enum(description="When the money is taken.")
class CaptureMode(Enum):
    """When the money is taken."""

    AUTOMATIC = _one("AUTOMATIC", description="At once.")
    MANUAL = _one(
        "MANUAL", description="Later, by paymentCapture; until then the amount is reserved."
    )


@strawberry.enum(description="Why a provider refused, in our words.")
class DeclineKind(Enum):
    """Why a provider refused, in our words."""

    HARD = _one("HARD", description="This method will not be accepted.")
    SOFT = _one("SOFT", description="A later try may be accepted.")
    INSUFFICIENT_FUNDS = _one(
        "INSUFFICIENT_FUNDS", description="The shopper's account does not hold enough."
    )
    SCA_REQUIRED = _one("SCA_REQUIRED", description="The shopper must authenticate.")
    FRAUD = _one("FRAUD", description="Suspected fraud.")
    INVALID_METHOD = _one("INVALID_METHOD", description="The method is wrong, expired or unusable.")
    LIMIT = _one("LIMIT", description="A limit of the card or account is reached.")
    CONFIG = _one("CONFIG", description="The provider account is not set up for this.")
    OTHER = _one("OTHER", description="Anything else.")


@strawberry.enum(description="What the shopper is asked to do.")
class NextActionKind(Enum):
    """What the shopper is asked to do."""

    REDIRECT = _one("REDIRECT", description="Go to the URL.")
    FORM_POST = _one("FORM_POST", description="Post the fields to the URL.")
    SDK = _one("SDK", description="Hand the fields to the provider's own script.")
    DISPLAY_CODE = _one("DISPLAY_CODE", description="Show the fields (a code, a voucher).")
    BANK_TRANSFER = _one("BANK_TRANSFER", description="Transfer money as the fields say.")


@strawberry.enum(description="Who says so.")
class EvidenceSource(Enum):
    """Who says so."""

    INTENT = _one("INTENT", description="We intended it.")
    RESPONSE = _one("RESPONSE", description="The provider's answer.")
    WEBHOOK = _one("WEBHOOK", description="The provider's callback.")
    LOOKUP = _one("LOOKUP", description="The provider, when asked again.")
    REPORT = _one("REPORT", description="The provider's settlement report.")
    OPERATOR = _one("OPERATOR", description="A person.")
    CLOCK = _one("CLOCK", description="A time limit that passed.")


@strawberry.enum(description="What an administrator says became of an operation.")
class OperatorOutcome(Enum):
    """What an administrator says became of an operation."""

    SUCCEEDED = _one("SUCCEEDED", description="The provider did it, in its full amount.")
    DECLINED = _one("DECLINED", description="The provider refused; no money moved.")
    NOT_EXECUTED = _one("NOT_EXECUTED", description="It never happened at the provider.")


@strawberry.enum(description="What can be done with a payment now.")
class PaymentAction(Enum):
    """What can be done with a payment now."""

    CONFIRM = _one("CONFIRM", description="paymentConfirm, with a method if it has none.")
    CAPTURE = _one("CAPTURE", description="paymentCapture.")
    CANCEL = _one("CANCEL", description="paymentCancel.")
    REFUND = _one("REFUND", description="refundCreate.")
    SYNC = _one("SYNC", description="paymentSync.")
    RESOLVE = _one("RESOLVE", description="operationResolve, for one of its operations.")


@strawberry.enum(description="Where a refund stands.")
class RefundStatus(Enum):
    """Where a refund stands."""

    CREATED = _one(
        "CREATED", description="It is recorded and not sent yet, or waits to be sent again."
    )
    SENT = _one("SENT", description="It was sent; no answer yet.")
    PENDING = _one("PENDING", description="The provider accepted it and will decide later.")
    REQUIRES_ACTION = _one("REQUIRES_ACTION", description="The shopper must do something first.")
    UNKNOWN = _one(
        "UNKNOWN", description="The money may or may not have gone back; it is being found out."
    )
    SUCCEEDED = _one("SUCCEEDED", description="The money went back.")
    FAILED = _one("FAILED", description="The provider refused.")
    CANCELED = _one("CANCELED", description="It was canceled before it was sent.")
    RETURNED = _one("RETURNED", description="The money went back and came here again.")
    IN_REVIEW = _one("IN_REVIEW", description="The evidence contradicts itself.")


@strawberry.enum(description="Why money is given back.")
class RefundReason(Enum):
    """Why money is given back."""

    REQUESTED_BY_CUSTOMER = _one("REQUESTED_BY_CUSTOMER", description="The customer asked for it.")
    DUPLICATE = _one("DUPLICATE", description="It was charged twice.")
    FRAUDULENT = _one("FRAUDULENT", description="The payment was fraudulent.")
    NOT_RECEIVED = _one("NOT_RECEIVED", description="The goods did not arrive.")
    DEFECTIVE = _one("DEFECTIVE", description="The goods are defective.")
    DISPUTE_PREVENTION = _one("DISPUTE_PREVENTION", description="To prevent a dispute.")
    ORPHANED_PAYMENT = _one(
        "ORPHANED_PAYMENT", description="The money came for a payment that had ended."
    )
    OTHER = _one("OTHER", description="Anything else.")


@strawberry.enum(description="The class of an account.")
class AccountKind(Enum):
    """The class of an account."""

    ASSET = _one("ASSET", description="What we own or are owed.")
    LIABILITY = _one("LIABILITY", description="What we owe.")
    EQUITY = _one("EQUITY", description="What is left for the owners.")
    INCOME = _one("INCOME", description="What we earn.")
    EXPENSE = _one("EXPENSE", description="What we spend.")


@strawberry.enum(description="The side of an entry.")
class Direction(Enum):
    """The side of an entry."""

    DEBIT = _one("DEBIT", description="The left side.")
    CREDIT = _one("CREDIT", description="The right side.")


@strawberry.enum(description="Where a hold stands.")
class HoldStatus(Enum):
    """Where a hold stands."""

    ACTIVE = _one("ACTIVE", description="Some of it is still reserved.")
    SETTLED = _one("SETTLED", description="All of it was taken.")
    RELEASED = _one("RELEASED", description="What was not taken is free again.")


@strawberry.enum(description="Which layer of the books.")
class Layer(Enum):
    """Which layer of the books."""

    POSTED = _one("POSTED", description="What has happened.")
    PENDING = _one("PENDING", description="What is reserved or announced.")


@strawberry.enum(description="What does not add up.")
class DiscrepancyKind(Enum):
    """What does not add up."""

    MISSING_AT_PROVIDER = _one(
        "MISSING_AT_PROVIDER", description="The provider does not know something we know."
    )
    MISSING_IN_LEDGER = _one(
        "MISSING_IN_LEDGER", description="The ledger does not know something the provider knows."
    )
    AMOUNT_MISMATCH = _one("AMOUNT_MISMATCH", description="The amounts differ.")
    CURRENCY_MISMATCH = _one("CURRENCY_MISMATCH", description="The currencies differ.")
    FEE_MISMATCH = _one("FEE_MISMATCH", description="The fees differ.")
    STATUS_MISMATCH = _one("STATUS_MISMATCH", description="One says yes, the other no.")
    DUPLICATE_AT_PROVIDER = _one("DUPLICATE_AT_PROVIDER", description="The provider did it twice.")
    UNKNOWN_OUTCOME_EXPIRED = _one(
        "UNKNOWN_OUTCOME_EXPIRED", description="An outcome could not be found out in time."
    )
    ORPHAN_WEBHOOK = _one(
        "ORPHAN_WEBHOOK", description="A callback about something we do not know."
    )
    LATE_SETTLEMENT = _one("LATE_SETTLEMENT", description="The settlement did not come in time.")
    BATCH_TOTAL_MISMATCH = _one(
        "BATCH_TOTAL_MISMATCH", description="A settlement's parts do not add up to its total."
    )


@strawberry.enum(description="Where the handling of a discrepancy stands.")
class DiscrepancyStatus(Enum):
    """Where the handling of a discrepancy stands."""

    OPEN = _one("OPEN", description="Nobody has looked at it.")
    ACKNOWLEDGED = _one("ACKNOWLEDGED", description="Somebody is looking at it.")
    RESOLVED_AUTO = _one("RESOLVED_AUTO", description="Later facts explained it.")
    RESOLVED_MANUAL = _one("RESOLVED_MANUAL", description="A person resolved it.")
    WRITTEN_OFF = _one("WRITTEN_OFF", description="A person gave it up.")


@strawberry.enum(description="Where the processing of a callback stands.")
class InboundStatus(Enum):
    """Where the processing of a callback stands."""

    RECEIVED = _one("RECEIVED", description="It is stored and waits its turn.")
    DEFERRED = _one("DEFERRED", description="What it is about is not known yet; it is tried again.")
    PROCESSED = _one("PROCESSED", description="Its effect is committed.")
    IGNORED = _one("IGNORED", description="It is of a kind nobody acts on.")
    FAILED = _one("FAILED", description="The last try failed; it is tried again.")
    DEAD = _one("DEAD", description="Too many tries failed; it can be replayed.")


@strawberry.enum(description="Whether the call of an idempotency key has finished.")
class IdempotentState(Enum):
    """Whether the call of an idempotency key has finished."""

    IN_PROGRESS = _one("IN_PROGRESS", description="It is still running.")
    COMPLETED = _one("COMPLETED", description="It has finished; the resource is the answer.")


@strawberry.enum(description="What payments are sorted by.")
class PaymentSortKey(Enum):
    """What payments are sorted by."""

    CREATED_AT = _one("CREATED_AT", description="When they were made.")
    UPDATED_AT = _one("UPDATED_AT", description="When they were changed last.")
    AMOUNT = _one("AMOUNT", description="Their amount in minor units, whatever the currency.")
