"""The contract between Counterfoil and an adapter. Third-party adapters import only this module.

A flow is a generator: it yields `HttpCall`s, is sent `HttpResponse`s, and returns what it learnt.

    adapter ── yield HttpCall ──▶ driver ── bytes ──▶ provider
            ◀── HttpResponse ───         ◀── bytes ──
            ── return Outcome ──▶ payments: one fact more about the operation
"""

import enum
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, Final, Protocol, TypeVar, runtime_checkable

from core.money import Money

SDK_VERSION: Final = "1"
"""Major version of this contract; an adapter built for another one is refused."""

WEBHOOK_SECRET: Final = "webhook_secret"  # noqa: S105 - the name of a secret
"""Under this name an account keeps what its callbacks are signed with; `verify_webhook` gets it."""


AGREED: Final = "yes"
"""What an account field of `Manifest.agreements` says when the provider has agreed."""


class Effect(enum.Enum):
    """What a call may do at the provider."""

    NONE = "none"
    """Token fetch, lookup, list: safe to repeat."""
    MONEY = "money"
    """May move money or create an obligation: never blindly repeated."""


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One HTTP request an adapter wants sent.

    `effect` defaults to the dangerous kind. `idempotency_key` is informational for the transcript:
    the adapter also puts it where the provider expects it. Times are seconds; `secrets` are
    substrings masked wherever the call is stored or logged.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    effect: Effect = Effect.MONEY
    idempotency_key: str | None = None
    connect_timeout_seconds: float = 3.0
    read_timeout_seconds: float = 20.0
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What came back: status, header names in lower case, the raw body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class OutcomeStatus(enum.StrEnum):
    """What is known about one operation after a call."""

    SUCCEEDED = "SUCCEEDED"
    """The provider is certain: done."""
    PENDING = "PENDING"
    """The provider accepted it; the final answer comes later."""
    REQUIRES_ACTION = "REQUIRES_ACTION"
    """The shopper must do something first (3-D Secure, redirect)."""
    DECLINED = "DECLINED"
    """The provider is certain: refused, no money moved."""
    NOT_EXECUTED = "NOT_EXECUTED"
    """We are certain that it never happened."""
    UNKNOWN = "UNKNOWN"
    """Money may or may not have moved. Never guessed."""
    REVERSED = "REVERSED"
    """It had succeeded and was undone (capture failed later, refund returned, void of a sale)."""


class DeclineKind(enum.StrEnum):
    """Why a provider refused, in our words."""

    HARD = "HARD"
    SOFT = "SOFT"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    SCA_REQUIRED = "SCA_REQUIRED"
    FRAUD = "FRAUD"
    INVALID_METHOD = "INVALID_METHOD"
    LIMIT = "LIMIT"
    CONFIG = "CONFIG"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an operation did not succeed.

    `code` is ours and stable; `message` is safe to show to the merchant. `network_code` is the
    ISO 8583 response code, `advice_code` the scheme's merchant advice, where the provider tells.
    `outage` marks a refusal of everybody's calls (throttled as a whole, declared down): it counts
    against the provider's breaker, as no refusal of one operation does.
    """

    code: str
    message: str
    decline: DeclineKind | None = None
    provider_code: str | None = None
    network_code: str | None = None
    advice_code: str | None = None
    retry_same_provider: bool = False
    retry_other_provider: bool = False
    retry_after_seconds: float | None = None
    outage: bool = False


class NextActionKind(enum.StrEnum):
    """What the shopper is asked to do."""

    REDIRECT = "REDIRECT"
    FORM_POST = "FORM_POST"
    SDK = "SDK"
    DISPLAY_CODE = "DISPLAY_CODE"
    BANK_TRANSFER = "BANK_TRANSFER"


@dataclass(frozen=True, slots=True)
class NextAction:
    """The step the shopper must take before the payment can go on."""

    kind: NextActionKind
    url: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredMethod:
    """A method the provider keeps for a customer: never a card number.

    `token` charges it again, as `Operation.token`; `provider_customer` is the provider's own
    customer it belongs to, where the provider has such a thing.
    """

    token: str = field(repr=False)
    provider_customer: str | None = field(default=None, repr=False)
    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call, lookup or callback says about an operation.

    `amount` is what the provider says it did and is checked against what was asked for;
    SUCCEEDED without an amount is not understood. `provider_ref` names the provider's object.
    `stored_method` is what the provider keeps since it charged with it (`Operation.store_method`).
    """

    status: OutcomeStatus
    provider_ref: str | None = None
    amount: Money | None = None
    fee: Money | None = None
    failure: Failure | None = None
    next_action: NextAction | None = None
    raw_status: str | None = None
    occurred_at: datetime | None = None
    stored_method: StoredMethod | None = None


class AdapterError(Exception):
    """Something an adapter may raise."""


class BadRequest(AdapterError):
    """The request cannot be expressed for this provider: nothing was sent, and never will be."""


class Unparseable(AdapterError):
    """The answer was not understood: unknown, if a money call was sent."""


class BadSignature(AdapterError):
    """The callback is not proven to come from the provider."""


class StaleSignature(BadSignature):
    """The callback is signed, but its time is outside the tolerance."""


@dataclass(frozen=True, slots=True)
class Account:
    """One set of credentials at a provider. `fields` are settings, `secrets` are never shown.

    `secrets` maps a name to every value that is active now (two while one is rotated).
    """

    id: str
    base_url: str
    fields: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    live: bool = False
    omit: frozenset[str] = frozenset()
    """Optional request fields this account must not send."""

    def secret(self, name: str) -> str:
        """The newest value of one secret. Raises: BadRequest when there is none."""
        values = self.secrets.get(name, ())
        if not values:
            raise BadRequest(f"the account has no {name}")
        return values[0]

    def agreed(self, name: str) -> bool:
        """Whether the provider granted this account what the field stands for."""
        return self.fields.get(name) == AGREED


@dataclass(frozen=True, slots=True)
class Operation:
    """What an adapter is asked to do, or to look up.

    `id` is ours and is sent to the provider as its reference; `idempotency_key` stays the same for
    the life of the operation. `provider_ref` is the provider's object of this operation, when it is
    known; `parent_ref` that of the payment it acts on (capture, void, refund). `sent_at` is when
    it was first sent, for lookups that search. `store_method`: the customer keeps the method if it
    can be charged; an adapter without STORED_METHODS charges it all the same. `provider_customer`
    is whom the provider knows the customer as, once a method was kept there.
    """

    id: str
    kind: str
    idempotency_key: str
    amount: Money
    account: Account
    provider_ref: str | None = None
    parent_ref: str | None = None
    token: str | None = field(default=None, repr=False)
    final: bool = True
    return_url: str | None = None
    descriptor: str | None = None
    customer_id: str | None = None
    reason: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    sent_at: datetime | None = None
    store_method: bool = False
    provider_customer: str | None = field(default=None, repr=False)


Result = TypeVar("Result")
Flow = Generator[HttpCall, HttpResponse, Result]


@dataclass(frozen=True, slots=True)
class LookupResult:
    """What a lookup found. Not found is evidence only if the provider says so conclusively."""

    outcome: Outcome | None = None
    not_found_is_conclusive: bool = False


@dataclass(frozen=True, slots=True)
class CallbackRequest:
    """A callback as it arrived: header names in lower case, the raw body."""

    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """One fact in a callback, translated.

    `operation_id` is our reference echoed back; `provider_ref` the object the event is about;
    `payment_ref` the provider's payment it belongs to; `operation_kind` what happened there
    (SALE, AUTHORIZE, CAPTURE, VOID, REFUND). An event of a kind we do not act on has no outcome.
    `live` is the mode the event says it is of; one of the other mode than its account is refused.
    """

    event_id: str
    kind: str
    occurred_at: datetime
    outcome: Outcome | None = None
    operation_kind: str | None = None
    operation_id: str | None = None
    provider_ref: str | None = None
    payment_ref: str | None = None
    live: bool | None = None


class Capability(enum.StrEnum):
    """What an adapter can do. `PROTOCOLS` has what each takes; the registry compares the two."""

    AUTHORIZE = "AUTHORIZE"
    SALE = "SALE"
    CAPTURE = "CAPTURE"
    PARTIAL_CAPTURE = "PARTIAL_CAPTURE"
    MULTI_CAPTURE = "MULTI_CAPTURE"
    VOID = "VOID"
    REFUND = "REFUND"
    PARTIAL_REFUND = "PARTIAL_REFUND"
    INCREMENTAL_AUTH = "INCREMENTAL_AUTH"
    ZERO_AUTH = "ZERO_AUTH"
    THREE_DS = "THREE_DS"
    STORED_METHODS = "STORED_METHODS"
    MANDATES = "MANDATES"
    PAYOUT = "PAYOUT"
    DISPUTES = "DISPUTES"
    WEBHOOKS = "WEBHOOKS"
    SETTLEMENT_REPORTS = "SETTLEMENT_REPORTS"
    LOOKUP_BY_OP_ID = "LOOKUP_BY_OP_ID"
    IDEMPOTENCY = "IDEMPOTENCY"
    HEALTH = "HEALTH"
    CLIENT_CONFIGURATION = "CLIENT_CONFIGURATION"


@dataclass(frozen=True, slots=True)
class Limits:
    """Smallest and largest amount a provider takes in one currency, in ISO minor units."""

    currency: str
    min_minor_units: int
    max_minor_units: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an adapter is and can do.

    `methods` are method types it can charge (card …); an empty `currencies` means any;
    `account_fields` and `secret_fields` are what one account of it needs. `token_prefixes` are how
    the method tokens it can charge begin; none means any token. `agreements` are capabilities that
    the provider grants account by account: each with the account field that says `yes` then.
    """

    name: str
    version: str
    sdk: str
    capabilities: frozenset[Capability]
    methods: frozenset[str]
    currencies: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()
    limits: tuple[Limits, ...] = ()
    idempotency_window: timedelta | None = None
    lookup_delay: timedelta = timedelta(seconds=30)
    lookup_horizon: timedelta = timedelta(days=7)
    account_fields: tuple[str, ...] = ()
    secret_fields: tuple[str, ...] = ()
    token_prefixes: tuple[str, ...] = ()
    agreements: Mapping[Capability, str] = field(default_factory=dict)


class ProviderAdapter(Protocol):
    """The small mandatory part."""

    manifest: ClassVar[Manifest]

    def authorize(self, operation: Operation) -> Flow[Outcome]:
        """Reserve (kind AUTHORIZE) or take (kind SALE) the amount with `operation.token`."""
        ...

    def lookup(self, operation: Operation) -> Flow[LookupResult]:
        """Find out what happened to an operation: by `provider_ref`, else by our `id`."""
        ...

    def is_portable(self, token: str) -> bool:
        """Whether a method token may be tried at another provider account as well."""
        ...


@runtime_checkable
class SupportsCapture(Protocol):
    """Take (part of) an authorized amount."""

    def capture(self, operation: Operation) -> Flow[Outcome]: ...


@runtime_checkable
class SupportsVoid(Protocol):
    """Give an authorization back."""

    def void(self, operation: Operation) -> Flow[Outcome]: ...


@runtime_checkable
class SupportsRefund(Protocol):
    """Return captured money."""

    def refund(self, operation: Operation) -> Flow[Outcome]: ...


@runtime_checkable
class SupportsWebhooks(Protocol):
    """Prove and translate callbacks. Both methods are pure."""

    def verify_webhook(self, request: CallbackRequest, secrets: Sequence[str]) -> None:
        """Raises: BadSignature, StaleSignature. No secret, or an empty one, verifies nothing."""
        ...

    def parse_webhook(self, request: CallbackRequest) -> list[ProviderEvent]:
        """Raises: Unparseable."""
        ...


@runtime_checkable
class SupportsHealth(Protocol):
    """Say whether the provider answers, without moving money."""

    def probe(self, account: Account) -> Flow[bool]: ...


@runtime_checkable
class SupportsStoredMethods(Protocol):
    """Keep methods that were charged (`Operation.store_method`), and forget them."""

    def detach(self, account: Account, method: StoredMethod, key: str) -> Flow[bool]:
        """Forget a method; whether it surely is forgotten, by this call or by an earlier one.

        It is repeated until it is: every call has Effect.NONE. `key` stays the same meanwhile.
        """
        ...


@dataclass(frozen=True, slots=True)
class ClientConfiguration:
    """What the provider's script in a page needs to make a token of a method. Never a secret.

    `portable`: a token made with it may be tried at another provider account as well.
    """

    fields: Mapping[str, object] = field(default_factory=dict)
    portable: bool = False


@runtime_checkable
class SupportsClientConfiguration(Protocol):
    """Say how a page reaches the provider. Pure."""

    def client_configuration(
        self, account: Account, method_type: str
    ) -> ClientConfiguration | None:
        """None when pages cannot use this account. `account` comes without its secrets."""
        ...


PROTOCOLS: Final[Mapping[Capability, type]] = {
    Capability.CAPTURE: SupportsCapture,
    Capability.VOID: SupportsVoid,
    Capability.REFUND: SupportsRefund,
    Capability.WEBHOOKS: SupportsWebhooks,
    Capability.STORED_METHODS: SupportsStoredMethods,
    Capability.HEALTH: SupportsHealth,
    Capability.CLIENT_CONFIGURATION: SupportsClientConfiguration,
}
"""The optional protocol behind each capability that has one."""
