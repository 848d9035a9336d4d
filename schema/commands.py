"""Each mutation's input as the command of the use case behind it.

`canonical_input` holds the coerced values with defaults filled in, without the idempotency key: two
requests with one key are the same request exactly when these are equal.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from core.card_numbers import contains_card_number
from core.identifiers import encode
from payments import recipes
from payments.commands import (
    DEFAULT_MERCHANT_ACCOUNT,
    CancelPayment,
    CaptureMode,
    CapturePayment,
    ConfirmPayment,
    CreatePayment,
    CreateRefund,
    Method,
    OperatorOutcome,
    RefundReason,
    RemoveSavedMethod,
    ResolveOperation,
    Routing,
    SavedMethod,
    Split,
    StoreCredit,
)
from resolvers.bookkeeping import CreateAccount, CreateTransfer, TransferLeg
from resolvers.customers import CreateCustomerToken
from schema.base import present
from schema.inputs import (
    AccountCreateInput,
    CustomerTokenCreateInput,
    OperationResolveInput,
    PaymentCancelInput,
    PaymentCaptureInput,
    PaymentConfirmInput,
    PaymentCreateInput,
    PaymentMethodInput,
    RefundCreateInput,
    RoutingInput,
    SavedMethodRemoveInput,
    SplitInput,
    StoreCreditInput,
    TransferCreateInput,
)
from schema.parsing import INPUT, Path, Reader, canonical_money
from tenants import CUSTOMER_TOKEN_SECONDS

TEXT_MAX: Final = 255
NOTE_MAX: Final = 1000
REASON_MAX: Final = 500
TOKEN_MAX: Final = 500
DESCRIPTOR_MAX: Final = 22
SPLITS_MAX: Final = 50
KIND_MAX: Final = 60
LEGS_MIN: Final = 2
LEGS_MAX: Final = 50
RESERVED_KINDS: Final = (recipes.NAMES - recipes.OPERATORS_MAY_POST) | {"reversal"}
"""A transfer of an operator cannot pass itself off as what a provider did."""

_KIND = re.compile(r"[a-z][a-z_]*")


def _key(reader: Reader, key: str, header: str | None) -> str:
    """The idempotency key. A header may repeat it, and may not differ."""
    path = (*INPUT, "idempotencyKey")
    reader.text(path, key, TEXT_MAX, length_min=8)
    if header is not None and header != key:
        reader.refuse(path, "KEYS_DIFFER", "The Idempotency-Key header has another key.")
    return key


def _method(
    reader: Reader, path: Path, method: PaymentMethodInput | None
) -> Method | SavedMethod | None:
    value = present(method)
    if value is None:
        return None
    saved = present(value.saved_method_id)
    if saved is not None:
        return SavedMethod(reader.required_id((*path, "savedMethodId"), "sm", saved))
    return Method(_token(reader, (*path, "token"), present(value.token) or ""))


_VISIBLE: Final = re.compile(r"[\x21-\x7e]*")


def _token(reader: Reader, path: Path, token: str) -> str:
    """What a provider would trim must not pass for another token than the one we know."""
    if _VISIBLE.fullmatch(token) or contains_card_number(token):
        return reader.text(path, token, TOKEN_MAX) or ""
    reader.refuse(path, "BAD_TEXT", "A token has visible ASCII characters only.")
    return ""


def _routing(reader: Reader, routing: RoutingInput | None) -> Routing:
    value = present(routing)
    if value is None:
        return Routing()
    path = (*INPUT, "routing")
    return Routing(
        provider_account_id=reader.id((*path, "provider"), "prv", value.provider),
        exclude=reader.ids((*path, "excludeProviders"), "prv", value.exclude_providers),
        allow_failover=value.allow_failover is not False,
    )


def account_ids_of(input: PaymentCreateInput) -> dict[Path, UUID]:
    """The accounts an input names, by the path of the field. Raises: ValidationFailed."""
    reader = Reader()
    named: dict[Path, str | None] = {
        (*INPUT, "merchantAccountId"): present(input.merchant_account_id)
    }
    for index, split in enumerate(present(input.splits) or ()):
        named[*INPUT, "splits", str(index), "accountId"] = split.account_id
    credit = present(input.store_credit)
    if credit is not None:
        named[*INPUT, "storeCredit", "accountId"] = credit.account_id
    found = {path: reader.id(path, "acc", id) for path, id in named.items() if id is not None}
    reader.finish()
    return {path: id for path, id in found.items() if id is not None}


def _splits(
    reader: Reader, splits: Sequence[SplitInput] | None, paths: Mapping[Path, str]
) -> tuple[Split, ...]:
    given = present(splits) or ()
    if len(given) > SPLITS_MAX:
        reader.refuse((*INPUT, "splits"), "TOO_MANY", f"Give at most {SPLITS_MAX} splits.")
        return ()
    found = []
    for index, split in enumerate(given):
        at = (*INPUT, "splits", str(index))
        amount = reader.required_money((*at, "amount"), split.amount)
        found.append(Split(paths[*at, "accountId"], amount))
    return tuple(found)


def _store_credit(
    reader: Reader, credit: StoreCreditInput | None, paths: Mapping[Path, str]
) -> StoreCredit | None:
    value = present(credit)
    if value is None:
        return None
    at = (*INPUT, "storeCredit")
    amount = reader.required_money((*at, "amount"), value.amount)
    return StoreCredit(paths[*at, "accountId"], amount)


def create_payment(
    input: PaymentCreateInput, paths: Mapping[Path, str], header: str | None = None
) -> CreatePayment:
    """`paths` are the ledger paths of `account_ids_of`. Raises: ValidationFailed."""
    reader = Reader()
    found: dict[str, Any] = {
        "amount": reader.required_money((*INPUT, "amount"), input.amount),
        "method": _method(reader, (*INPUT, "method"), input.method),
        "capture_mode": CaptureMode(input.capture_mode.name),
        "confirm": input.confirm,
        "reference": reader.text((*INPUT, "reference"), input.reference, TEXT_MAX),
        "return_url": reader.url((*INPUT, "returnUrl"), input.return_url),
        "customer_id": reader.text((*INPUT, "customerId"), input.customer_id, TEXT_MAX),
        "merchant_account": paths.get((*INPUT, "merchantAccountId"), DEFAULT_MERCHANT_ACCOUNT),
        "splits": _splits(reader, input.splits, paths),
        "store_credit": _store_credit(reader, input.store_credit, paths),
        "routing": _routing(reader, input.routing),
        "statement_descriptor": reader.text(
            (*INPUT, "statementDescriptor"), input.statement_descriptor, DESCRIPTOR_MAX
        ),
        "metadata": reader.metadata((*INPUT, "metadata"), input.metadata),
        "save_method": present(input.save_method) is True,
    }
    key = _key(reader, input.idempotency_key, header)
    reader.finish()
    return CreatePayment(key, _canonical_create(found), **found)


def _canonical_create(found: Mapping[str, Any]) -> Mapping[str, object]:
    credit, routing = found["store_credit"], found["routing"]
    return {
        "amount": canonical_money(found["amount"]),
        "method": _canonical_method(found["method"]),
        "captureMode": found["capture_mode"].value,
        "confirm": found["confirm"],
        "reference": found["reference"],
        "returnUrl": found["return_url"],
        "customerId": found["customer_id"],
        "merchantAccountId": found["merchant_account"],
        "splits": [
            {"accountId": split.account, "amount": canonical_money(split.amount)}
            for split in found["splits"]
        ],
        "storeCredit": credit
        and {"accountId": credit.account, "amount": canonical_money(credit.amount)},
        "routing": _canonical_routing(routing),
        "statementDescriptor": found["statement_descriptor"],
        "metadata": found["metadata"],
        **_canonical_wish(save_method=found["save_method"] or None),
    }


def _canonical_method(method: Method | SavedMethod | None) -> Mapping[str, str] | None:
    match method:
        case None:
            return None
        case SavedMethod():
            return {"savedMethodId": encode("sm", method.id)}
        case Method():
            return {"type": method.type, "token": method.token}


def _canonical_wish(*, save_method: bool | None) -> Mapping[str, bool]:
    """Nothing where nothing is wished: such inputs are the same as before there was this field."""
    return {} if save_method is None else {"saveMethod": save_method}


def _canonical_routing(routing: Routing) -> Mapping[str, object]:
    provider = routing.provider_account_id
    return {
        "provider": provider and encode("prv", provider),
        "excludeProviders": sorted(encode("prv", id) for id in routing.exclude),
        "allowFailover": routing.allow_failover,
    }


def confirm_payment(
    input: PaymentConfirmInput, payment_id: UUID, header: str | None = None
) -> ConfirmPayment:
    """Who the payment is was found out before. Raises: ValidationFailed."""
    reader = Reader()
    key = _key(reader, input.idempotency_key, header)
    method = _method(reader, (*INPUT, "method"), input.method)
    return_url = reader.url((*INPUT, "returnUrl"), input.return_url)
    reader.finish()
    save_method = present(input.save_method)
    canonical = {
        "paymentId": encode("pay", payment_id),
        "method": _canonical_method(method),
        "returnUrl": return_url,
        **_canonical_wish(save_method=save_method),
    }
    return ConfirmPayment(key, canonical, payment_id, method, return_url, save_method)


def named_payment(input: PaymentConfirmInput) -> tuple[UUID | None, str | None]:
    """The payment id or the client secret of a confirmation. Raises: ValidationFailed."""
    reader = Reader()
    id = reader.id((*INPUT, "paymentId"), "pay", input.payment_id)
    secret = reader.text((*INPUT, "clientSecret"), input.client_secret, TEXT_MAX)
    if (present(input.payment_id) is None) == (secret is None):
        reader.refuse(INPUT, "ONE_OF", "Give exactly one of paymentId and clientSecret.")
    reader.finish()
    return id, secret


def capture_payment(input: PaymentCaptureInput, header: str | None = None) -> CapturePayment:
    """Raises: ValidationFailed."""
    reader = Reader()
    key = _key(reader, input.idempotency_key, header)
    id = reader.required_id((*INPUT, "paymentId"), "pay", input.payment_id)
    amount = reader.money((*INPUT, "amount"), input.amount)
    version = reader.version((*INPUT, "expectedVersion"), input.expected_version)
    reader.finish()
    canonical = {
        "paymentId": encode("pay", id),
        "amount": canonical_money(amount),
        "final": input.final,
        "expectedVersion": version,
    }
    return CapturePayment(key, canonical, id, amount, input.final, version)


def cancel_payment(input: PaymentCancelInput, header: str | None = None) -> CancelPayment:
    """Raises: ValidationFailed."""
    reader = Reader()
    key = _key(reader, input.idempotency_key, header)
    id = reader.required_id((*INPUT, "paymentId"), "pay", input.payment_id)
    reason = reader.text((*INPUT, "reason"), input.reason, REASON_MAX)
    version = reader.version((*INPUT, "expectedVersion"), input.expected_version)
    reader.finish()
    canonical = {
        "paymentId": encode("pay", id),
        "reason": reason,
        "expectedVersion": version,
    }
    return CancelPayment(key, canonical, id, reason, version)


def create_refund(input: RefundCreateInput, header: str | None = None) -> CreateRefund:
    """Raises: ValidationFailed."""
    reader = Reader()
    key = _key(reader, input.idempotency_key, header)
    id = reader.required_id((*INPUT, "paymentId"), "pay", input.payment_id)
    amount = reader.money((*INPUT, "amount"), input.amount)
    note = reader.text((*INPUT, "note"), input.note, NOTE_MAX)
    metadata = reader.metadata((*INPUT, "metadata"), input.metadata)
    reason = RefundReason(input.reason.name)
    reader.finish()
    canonical = {
        "paymentId": encode("pay", id),
        "amount": canonical_money(amount),
        "reason": reason.value,
        "note": note,
        "metadata": metadata,
    }
    return CreateRefund(key, canonical, id, amount, reason, note, metadata)


def remove_saved_method(
    input: SavedMethodRemoveInput, header: str | None = None
) -> RemoveSavedMethod:
    """Raises: ValidationFailed."""
    reader = Reader()
    key = _key(reader, input.idempotency_key, header)
    id = reader.required_id((*INPUT, "id"), "sm", input.id)
    reader.finish()
    return RemoveSavedMethod(key, {"id": encode("sm", id)}, id)


def resolve_operation(input: OperationResolveInput, header: str | None = None) -> ResolveOperation:
    """Raises: ValidationFailed."""
    reader = Reader()
    key = _key(reader, input.idempotency_key, header)
    id = reader.required_id((*INPUT, "operationId"), "op", input.operation_id)
    reference = reader.text((*INPUT, "providerRef"), input.provider_ref, TEXT_MAX)
    note = reader.required_text((*INPUT, "evidenceNote"), input.evidence_note, NOTE_MAX)
    reader.finish()
    outcome = OperatorOutcome(input.outcome.name)
    canonical = {
        "operationId": encode("op", id),
        "outcome": outcome.value,
        "providerRef": reference,
        "evidenceNote": note,
    }
    return ResolveOperation(key, canonical, id, outcome, note, reference)


def create_transfer(input: TransferCreateInput, header: str | None = None) -> CreateTransfer:
    """Raises: ValidationFailed."""
    reader = Reader()
    key = _key(reader, input.idempotency_key, header)
    kind = reader.required_text((*INPUT, "kind"), input.kind, KIND_MAX)
    if kind in RESERVED_KINDS or not _KIND.fullmatch(kind):
        message = "Give lower-case letters and _, and no kind that payments use."
        reader.refuse((*INPUT, "kind"), "BAD_KIND", message)
    if not LEGS_MIN <= len(input.legs) <= LEGS_MAX:
        message = f"Give from {LEGS_MIN} to {LEGS_MAX} legs."
        reader.refuse((*INPUT, "legs"), "BAD_LENGTH", message)
        reader.finish()
    legs = []
    for index, leg in enumerate(input.legs):
        at = (*INPUT, "legs", str(index))
        account_id = reader.required_id((*at, "accountId"), "acc", leg.account_id)
        amount = reader.required_money((*at, "amount"), leg.amount)
        legs.append(TransferLeg(account_id, leg.direction.name, amount))
    description = reader.text((*INPUT, "description"), input.description, REASON_MAX)
    metadata = reader.metadata((*INPUT, "metadata"), input.metadata)
    reader.finish()
    canonical = {
        "kind": kind,
        "legs": [
            {
                "accountId": encode("acc", leg.account_id),
                "direction": leg.direction,
                "amount": canonical_money(leg.amount),
            }
            for leg in legs
        ],
        "description": description,
        "metadata": metadata,
    }
    return CreateTransfer(key, canonical, kind, legs, description, metadata)


def create_account(input: AccountCreateInput, header: str | None = None) -> CreateAccount:
    """Raises: ValidationFailed."""
    reader = Reader()
    key = _key(reader, input.idempotency_key, header)
    path = reader.required_text((*INPUT, "path"), input.path, TEXT_MAX)
    currency = reader.currency((*INPUT, "currency"), input.currency)
    reader.finish()
    kind = input.kind.name
    canonical = {"path": path, "currency": currency, "kind": kind}
    return CreateAccount(key, canonical, path, currency, kind)


def create_customer_token(input: CustomerTokenCreateInput) -> CreateCustomerToken:
    """Raises: ValidationFailed."""
    reader = Reader()
    customer_id = reader.required_text((*INPUT, "customerId"), input.customer_id, TEXT_MAX)
    seconds = input.expires_in_seconds
    if seconds not in CUSTOMER_TOKEN_SECONDS:
        shortest, longest = CUSTOMER_TOKEN_SECONDS[0], CUSTOMER_TOKEN_SECONDS[-1]
        message = f"Give from {shortest} to {longest} seconds."
        reader.refuse((*INPUT, "expiresInSeconds"), "OUT_OF_RANGE", message)
    reader.finish()
    return CreateCustomerToken(customer_id, seconds)
