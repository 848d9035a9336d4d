"""What clients send: input types only. schema/parsing.py turns them into commands."""

from datetime import datetime

import strawberry

from schema.base import given, shown
from schema.enums import (
    AccountKind,
    CaptureMode,
    Direction,
    DiscrepancyKind,
    DiscrepancyStatus,
    InboundStatus,
    OperatorOutcome,
    PaymentSortKey,
    PaymentStatus,
    RefundReason,
    SortDirection,
)
from schema.scalars import CurrencyCode, DecimalText, IdempotencyKey, MinorUnits, Url

_KEY = "Make it before the first try and send the same one with every retry."
_VERSION = "Refuse with VERSION_CONFLICT unless the payment still has this version."


@strawberry.input(
    description="An amount above zero: exactly one of amountMinor and decimal. A decimal with more"
    " digits than the currency has is refused, never rounded."
)
class MoneyInput:
    amount_minor: MinorUnits | None = given("In minor units (cents).")
    decimal: DecimalText | None = given('As a plain decimal: "12.30".')
    currency: CurrencyCode = shown("ISO 4217 code.")


@strawberry.input(description="A key and a value of your own. Never put card numbers here.")
class MetadataInput:
    key: str = shown("At most 40 characters; each key once.")
    value: str = shown("At most 500 characters.")


@strawberry.input(description="A span of time; either end may be left open.")
class DateTimeRange:
    gte: datetime | None = given("From this instant on.")
    lt: datetime | None = given("Before this instant.")


@strawberry.input(description="A span of amounts in one currency; either end may be left open.")
class MoneyRange:
    currency: CurrencyCode = shown("ISO 4217 code.")
    gte: MinorUnits | None = given("At least, in minor units.")
    lte: MinorUnits | None = given("At most, in minor units.")


@strawberry.input(description="The span of a statement: from ≤ posted < to.")
class StatementPeriodInput:
    from_: datetime = shown("First instant of the period.", name="from")
    to: datetime = shown("First instant after the period.")


@strawberry.input(description="What is charged: exactly one of these.", one_of=True)
class PaymentMethodInput:
    token: str | None = given(
        "Token made by the provider's own script in the browser (tok_success at the simulator)."
    )
    saved_method_id: strawberry.ID | None = given(
        "A method the payment's customer keeps. From your server, or from a page that sends the"
        " customer's own token; a client secret alone is not enough."
    )


@strawberry.input(description="What you ask of the router.")
class RoutingInput:
    provider: strawberry.ID | None = given("Use this provider and no other.")
    exclude_providers: list[strawberry.ID] | None = given("Do not use these.")
    allow_failover: bool | None = given(
        "Whether another provider may be tried after one that certainly did nothing.", True
    )


@strawberry.input(description="A share of the price for another account.")
class SplitInput:
    account_id: strawberry.ID = shown("The account that gets the share.")
    amount: MoneyInput = shown("The share, in the currency of the payment.")


@strawberry.input(description="The part of the price that is paid from store credit.")
class StoreCreditInput:
    account_id: strawberry.ID = shown("The customer's store-credit account.")
    amount: MoneyInput = shown("How much, in the currency of the payment.")


@strawberry.input(description="A new payment.")
class PaymentCreateInput:
    idempotency_key: IdempotencyKey = shown(_KEY)
    amount: MoneyInput = shown("The whole price, store credit included.")
    reference: str | None = given(
        "Your order or cart id, at most 255 characters. Unique among your payments."
    )
    method: PaymentMethodInput | None = given("What is charged. May come later, with the confirm.")
    capture_mode: CaptureMode = given(
        "Take the money at once or only reserve it.", CaptureMode.AUTOMATIC
    )
    confirm: bool = given("Try to charge at once, if there is a method.", True)
    return_url: Url | None = given("Where the shopper comes back to after a redirect.")
    customer_id: str | None = given("Your own customer id, at most 255 characters.")
    merchant_account_id: strawberry.ID | None = given(
        "The account that gets what the splits leave; income:sales unless given."
    )
    splits: list[SplitInput] | None = given(
        "Who gets which share. Together at most the amount; the rest goes to merchantAccountId."
    )
    store_credit: StoreCreditInput | None = given(
        "Taken first: reserved before the card is charged, released if the card is refused."
    )
    routing: RoutingInput | None = given("What you ask of the router.")
    statement_descriptor: str | None = given(
        "Text for the shopper's bank statement, at most 22 characters."
    )
    metadata: list[MetadataInput] | None = given("At most 50 keys and values of your own.")
    save_method: bool | None = given(
        "Whether the customer keeps the method for their next payment, once it was charged. Needs"
        " customerId, and the customer's consent. Where the provider cannot keep methods, the"
        " payment is made all the same.",
        False,
    )


@strawberry.input(description="Try a prepared or declined payment. Name it by id or client secret.")
class PaymentConfirmInput:
    idempotency_key: IdempotencyKey = shown(_KEY)
    payment_id: strawberry.ID | None = given("From a server: the payment.")
    client_secret: str | None = given("From a browser: the payment's client secret.")
    method: PaymentMethodInput | None = given("Needed unless the payment has a method.")
    return_url: Url | None = given("Where the shopper comes back to after a redirect.")
    save_method: bool | None = given(
        "Whether the customer keeps the method; as the payment was created, unless given."
    )


@strawberry.input(description="A saved method to be removed.")
class SavedMethodRemoveInput:
    idempotency_key: IdempotencyKey = shown(_KEY)
    id: strawberry.ID = shown("The saved method.")


@strawberry.input(description="A token for one customer's browser.")
class CustomerTokenCreateInput:
    customer_id: str = shown("Your own id of the customer who is logged in.")
    expires_in_seconds: int = given("How long it is valid: from 60 to 3600 seconds.", 900)


@strawberry.input(description="What became of an operation, and how you know.")
class OperationResolveInput:
    idempotency_key: IdempotencyKey = shown(f"{_KEY} Each administrator has one of their own.")
    operation_id: strawberry.ID = shown("The operation: UNKNOWN or IN_REVIEW.")
    outcome: OperatorOutcome = shown("What became of it. SUCCEEDED means in its full amount.")
    provider_ref: str | None = given(
        "The provider's own reference. Needed for a payment that SUCCEEDED, unless it is known."
    )
    evidence_note: str = shown(
        "What you saw and where, for people: at most 1000 characters. Never card numbers."
    )


@strawberry.input(description="Take what was reserved.")
class PaymentCaptureInput:
    idempotency_key: IdempotencyKey = shown(_KEY)
    payment_id: strawberry.ID = shown("The payment.")
    amount: MoneyInput | None = given("Everything still capturable, unless given.")
    final: bool = given("False keeps the rest capturable; not every provider can.", True)
    expected_version: int | None = given(_VERSION)


@strawberry.input(description="End a payment that took nothing, or give back what is reserved.")
class PaymentCancelInput:
    idempotency_key: IdempotencyKey = shown(_KEY)
    payment_id: strawberry.ID = shown("The payment.")
    reason: str | None = given("For people, at most 500 characters.")
    expected_version: int | None = given(_VERSION)


@strawberry.input(description="Give captured money back.")
class RefundCreateInput:
    idempotency_key: IdempotencyKey = shown(_KEY)
    payment_id: strawberry.ID = shown("The payment.")
    amount: MoneyInput | None = given("Everything still refundable, unless given.")
    reason: RefundReason = given("Why.", RefundReason.REQUESTED_BY_CUSTOMER)
    note: str | None = given("For people, at most 1000 characters.")
    metadata: list[MetadataInput] | None = given("At most 50 keys and values of your own.")


@strawberry.input(description="A new account of the ledger.")
class AccountCreateInput:
    idempotency_key: IdempotencyKey = shown(_KEY)
    path: str = shown("A path of the chart, such as customer:42:wallet: names joined by colons.")
    kind: AccountKind = shown("Must be the class the chart gives to the path.")
    currency: CurrencyCode = shown("ISO 4217 code.")


@strawberry.input(description="One entry of a transfer.")
class TransferLegInput:
    account_id: strawberry.ID = shown("The account.")
    direction: Direction = shown("Debit or credit.")
    amount: MoneyInput = shown("How much, in the account's currency.")


@strawberry.input(description="A transaction of your own: debits equal credits in each currency.")
class TransferCreateInput:
    idempotency_key: IdempotencyKey = shown(_KEY)
    kind: str = shown(
        "What it is, such as store_credit_grant: lower-case letters and _, at most 60."
    )
    legs: list[TransferLegInput] = shown("From 2 to 50 entries.")
    description: str | None = given("For people, at most 500 characters.")
    metadata: list[MetadataInput] | None = given("At most 50 keys and values of your own.")


@strawberry.input(description="Which payments. Conditions are joined by AND.")
class PaymentFilter:
    status: list[PaymentStatus] | None = given("In one of these states.")
    provider: list[strawberry.ID] | None = given("Tried at one of these providers.")
    reference: str | None = given("With this reference.")
    customer_id: str | None = given("Of this customer.")
    amount: MoneyRange | None = given("Of this size.")
    created_at: DateTimeRange | None = given("Made in this span.")
    updated_at: DateTimeRange | None = given("Last changed in this span.")
    has_unknown_operation: bool | None = given("With (or without) an operation of unknown outcome.")
    metadata: list[MetadataInput] | None = given("With all of these keys and values.")
    provider_ref: str | None = given("With an operation the provider knows by this name.")


@strawberry.input(description="How payments are sorted.")
class PaymentSort:
    key: PaymentSortKey = given("By what.", PaymentSortKey.CREATED_AT)
    direction: SortDirection = given("Which end comes first.", SortDirection.DESC)


@strawberry.input(description="Which accounts. Conditions are joined by AND.")
class AccountFilter:
    path_prefix: str | None = given("Whose path begins with this.")
    kind: list[AccountKind] | None = given("Of one of these classes.")
    currency: list[CurrencyCode] | None = given("In one of these currencies.")
    ids: list[strawberry.ID] | None = given("With one of these ids; at most 100.")


@strawberry.input(description="Which entries of an account. Conditions are joined by AND.")
class EntryFilter:
    posted_at: DateTimeRange | None = given("Posted in this span.")
    direction: Direction | None = given("On this side.")
    amount: MoneyRange | None = given("Of this size.")
    transaction_kind: list[str] | None = given("Of a transaction of one of these kinds.")


@strawberry.input(description="Which transactions. Conditions are joined by AND.")
class TransactionFilter:
    kind: list[str] | None = given("Of one of these kinds.")
    posted_at: DateTimeRange | None = given("Posted in this span.")
    account_id: strawberry.ID | None = given("With an entry on this account.")
    external_id: str | None = given("With this external id.")
    payment_id: strawberry.ID | None = given("Caused by this payment.")


@strawberry.input(description="Which callbacks. Conditions are joined by AND.")
class InboundWebhookFilter:
    provider: list[strawberry.ID] | None = given("From one of these providers.")
    status: list[InboundStatus] | None = given("In one of these states.")
    provider_event_id: str | None = given("With this event id of the provider.")
    received_at: DateTimeRange | None = given("Received in this span.")


@strawberry.input(description="Which discrepancies. Conditions are joined by AND.")
class DiscrepancyFilter:
    kind: list[DiscrepancyKind] | None = given("Of one of these kinds.")
    status: list[DiscrepancyStatus] | None = given("In one of these states.")
    provider: list[strawberry.ID] | None = given("At one of these providers.")
    older_than_hours: int | None = given("Found longer ago than this.")


@strawberry.input(description="Which lines of the audit log. Conditions are joined by AND.")
class AuditFilter:
    actor: str | None = given("Done by this actor.")
    action: str | None = given("Of this action, such as key.issue.")
    subject_id: strawberry.ID | None = given("Done to this thing.")
    at: DateTimeRange | None = given("Done in this span.")
