"""Every code of an error, what it means and what to do: the one source of docs/errors.md, of the
page `/errors`, and of the links to it that answers carry.
"""

import enum
from dataclasses import dataclass
from typing import Final


class Place(enum.Enum):
    """Where a code is met."""

    RESULT = "Members of a mutation's result (`... on Error { code }`)"
    REQUEST = "Errors of the whole request (`errors[].extensions.code`)"
    FIELD = "Codes of a `ValidationError`'s `fields`"
    OPERATOR = "Told to operators: on the command line, in the log, or as `INTERNAL` to callers"


@dataclass(frozen=True, slots=True)
class ErrorEntry:
    """One code. `status` is that of HTTP, where the code decides it."""

    code: str
    meaning: str
    remedy: str
    place: Place
    status: int | None = None
    retryable: bool = False
    """The same request, with the same idempotency key, may succeed a little later."""


def docs_of(code: str) -> str:
    """Where a code is explained, on this server."""
    return f"/errors#{code}"


def _result(code: str, meaning: str, remedy: str, *, retryable: bool = False) -> ErrorEntry:
    return ErrorEntry(code, meaning, remedy, Place.RESULT, None, retryable)


def _request(
    code: str, meaning: str, remedy: str, *, status: int = 400, retryable: bool = False
) -> ErrorEntry:
    return ErrorEntry(code, meaning, remedy, Place.REQUEST, status, retryable)


def _field(code: str, meaning: str, remedy: str = "Correct the field.") -> ErrorEntry:
    return ErrorEntry(code, meaning, remedy, Place.FIELD)


def _operator(code: str, meaning: str, remedy: str) -> ErrorEntry:
    return ErrorEntry(code, meaning, remedy, Place.OPERATOR)


_BUG: Final = "Run `python -m counterfoil verify` and report it with the correlation id."

_RESULTS: Final = (
    _result(
        "VALIDATION",
        "The input breaks a rule; `fields` says which. Nothing was written.",
        "Correct the fields named; the key may be used again.",
    ),
    _result(
        "NOT_FOUND",
        "There is nothing of this id that you may see.",
        "Check the id, and that key and id are of the same tenant.",
    ),
    _result(
        "IDEMPOTENCY_KEY_REUSED",
        "The key was used before with another input; `differingPaths` names what differs.",
        "For a new intent make a new key; for a retry send the very input of the first try.",
    ),
    _result(
        "OPERATION_IN_PROGRESS",
        "The first call with this key is still running.",
        "Send it again after `retryAfterMs`, with the same key.",
        retryable=True,
    ),
    _result(
        "INVALID_STATE",
        "Not possible in the present state; `allowed` lists the states in which it is.",
        "Read the payment again and decide by its `allowedActions`.",
    ),
    _result(
        "AMOUNT_EXCEEDED",
        "More was asked for than there is.",
        "Ask for `available` at most.",
    ),
    _result(
        "INSUFFICIENT_FUNDS",
        "The account does not hold enough.",
        "Take less, or fund the account first. The answer is kept: a new try needs a new key.",
    ),
    _result(
        "NO_PROVIDER_AVAILABLE",
        "No provider could take it. Nothing was sent; the payment is kept.",
        "Send the same request with the same key after `retryAfterMs`; `candidates` says why.",
        retryable=True,
    ),
    _result(
        "UNSUPPORTED",
        "The provider cannot do this.",
        "See `capabilities` of the provider; use another way or another provider.",
    ),
    _result(
        "VERSION_CONFLICT",
        "It was changed since you read it.",
        "Read it again and decide anew.",
    ),
    _result(
        "OUTCOME_UNKNOWN",
        "An earlier operation has an unknown outcome; a new one could move money twice.",
        "Wait until it is resolved, or call `paymentSync`. Do not charge another way.",
    ),
    _result(
        "RISK_REJECTED",
        "The risk rules refuse it. Nothing was sent.",
        "Do not retry. Which rule it was stands in our records, not in the answer.",
    ),
)

_REQUESTS: Final = (
    _request(
        "BAD_REQUEST",
        "The HTTP request is malformed, or its body is not the JSON expected.",
        "Correct the request.",
    ),
    _request("BAD_TEXT", "The text has characters that cannot be kept.", "Remove them."),
    _request(
        "BAD_USER_INPUT", "A variable or argument has a value its type refuses.", "Correct it."
    ),
    _request("GRAPHQL_PARSE_FAILED", "The document is not GraphQL.", "Correct the document."),
    _request(
        "GRAPHQL_VALIDATION_FAILED",
        "The document does not fit the schema.",
        "Compare it with the schema.",
    ),
    _request(
        "OPERATION_NOT_FOUND",
        "`operationName` names no operation of the document, or is missing among several.",
        "Name one that is there.",
    ),
    _request(
        "SUBSCRIPTION_NOT_SUPPORTED",
        "A subscription was sent over plain HTTP.",
        "Subscribe over WebSocket, subprotocol graphql-transport-ws, at the same address.",
    ),
    _request(
        "ONLY_SUBSCRIPTIONS",
        "A query or mutation was sent over a WebSocket.",
        "Send it over HTTP.",
    ),
    _request(
        "LIMIT_EXCEEDED",
        "The request is too deep, too wide, too long or too costly; `limit` says which.",
        "Ask for smaller pages, or in several requests.",
    ),
    _request("BAD_PAGE_SIZE", "A page of this size is not given.", "Take a `first` in range."),
    _request("BAD_CURSOR", "The cursor is not one of ours.", "Pass `endCursor` unchanged."),
    _request("BAD_PERIOD", "A period must end after it begins.", "Exchange the two."),
    _request("MALFORMED_ID", "The id is malformed.", "Pass ids as you were given them."),
    _request("UNKNOWN_LOCALE", "There is no such locale.", "Use a BCP 47 tag: `de-CH`."),
    _request("UNKNOWN_CURRENCY", "There is no such currency.", "Use a code of ISO 4217: `EUR`."),
    _request(
        "UNAUTHENTICATED",
        "No credentials, or not valid ones (any more).",
        "Send `Authorization: Bearer …` with a key that is neither revoked nor expired.",
        status=401,
    ),
    _request(
        "ORIGIN_NOT_ALLOWED",
        "The page is of an origin that the tenant does not allow. Nothing ran.",
        "Allow it: `python -m counterfoil origins add https://shop.example`.",
        status=403,
    ),
    _request(
        "PERSISTED_OPERATIONS_ONLY",
        "Only operations that are kept here are run, and this is none of them.",
        "Add it to the file of persisted operations, or send the id of one that is there.",
    ),
    _request(
        "PERSISTED_QUERY_NOT_FOUND",
        "No operation of this id or hash is known (any more).",
        "Send the text with its hash once; Apollo's clients do so by themselves.",
        status=200,
    ),
    _request(
        "PERSISTED_QUERY_NOT_SUPPORTED",
        "Operations cannot be named by an id here.",
        "Send the text.",
        status=200,
    ),
    _request(
        "PERSISTED_QUERY_HASH_MISMATCH",
        "The hash is not that of the text.",
        "Send the SHA-256 of exactly the text that is sent, in hexadecimal.",
    ),
    _request(
        "FORBIDDEN",
        "The key lacks a scope; `missingScopes` names it. Nothing ran.",
        "Use a key with that scope.",
        status=403,
    ),
    _request("METHOD_NOT_ALLOWED", "The HTTP method is not allowed here.", "Use POST.", status=405),
    _request(
        "NOT_ACCEPTABLE",
        "`Accept` allows no media type we answer in.",
        "Accept `application/graphql-response+json` or `application/json`.",
        status=406,
    ),
    _request(
        "BODY_TOO_SLOW",
        "The body came too slowly.",
        "Send it again over a better connection.",
        status=408,
        retryable=True,
    ),
    _request("BODY_TOO_LARGE", "The body is too large.", "Send less at once.", status=413),
    _request(
        "UNSUPPORTED_MEDIA_TYPE",
        "The body is of another type than `application/json`.",
        "Send `Content-Type: application/json`.",
        status=415,
    ),
    _request(
        "RATE_LIMITED",
        "Too many requests, or too costly ones, in a while. Nothing was begun.",
        "Wait for `Retry-After`; ask for less at once. Every limit: docs/limits.md.",
        status=429,
        retryable=True,
    ),
    _request(
        "OVERLOADED",
        "More is asked than this process can do at once. Nothing was begun.",
        "Send it again after `Retry-After`, with the same key.",
        status=503,
        retryable=True,
    ),
    _request(
        "IDENTITY_PROVIDER_UNAVAILABLE",
        "The keys of the identity provider could not be read yet, so no token can be checked.",
        "Send it again after `Retry-After`.",
        status=503,
        retryable=True,
    ),
    _request(
        "INTERNAL",
        "A bug of ours, or an invariant that did not hold. Its unit of work was rolled back.",
        "Report the correlation id. Ask `operationByIdempotencyKey` what became of a mutation.",
        status=500,
    ),
    _request(
        "DATABASE_UNAVAILABLE",
        "The database cannot be reached or is too busy; nothing was written.",
        "Send it again after `Retry-After`, with the same key.",
        status=503,
        retryable=True,
    ),
    _request(
        "COMMIT_OUTCOME_UNKNOWN",
        "The connection was lost while committing: it may have taken effect.",
        "Send it again with the same key: you get what it made, or it is made now.",
        status=503,
        retryable=True,
    ),
    _request(
        "DEADLINE_EXCEEDED",
        "The request took too long; a mutation goes on and may still take effect.",
        "Send it again with the same key.",
        status=503,
        retryable=True,
    ),
    _request(
        "LEASE_LOST",
        "Another process took the operation over; it is carried on there.",
        "Read the payment again: it shows what came of it.",
        status=200,
    ),
    _request(
        "PAYMENT_MOVED",
        "The payment was changed by somebody else meanwhile.",
        "Read it again, then decide.",
        status=200,
    ),
    _request("CONFLICT", "Something changed meanwhile.", "Read again, then decide.", status=200),
    _request(
        "UNAVAILABLE",
        "Not available right now.",
        "Send it again after `Retry-After`, with the same key.",
        status=503,
        retryable=True,
    ),
)

_FIELDS: Final = (
    _field("REQUIRED", "It must be given here."),
    _field("NOT_POSITIVE", "It must be more than zero."),
    _field("EXCEEDS_AMOUNT", "The parts are more than the whole."),
    _field("BAD_AMOUNT", "It is no amount: digits, range, or decimals of the currency."),
    _field("CURRENCY_MISMATCH", "It must be in the currency of the rest."),
    _field("BAD_LENGTH", "It is too short or too long."),
    _field("BAD_VERSION", "It is no version: a whole number, as you read it."),
    _field("CARD_NUMBER", "It looks like a card number.", "Send a token, never a card number."),
    _field("DUPLICATE_KEY", "The same name stands there twice."),
    _field("ONE_OF", "Exactly one of the alternatives must be given."),
    _field("TOO_MANY", "There are too many."),
    _field("TAKEN", "Somebody else has it already: a payment with this `reference`."),
    _field(
        "NO_CUSTOMER",
        "There is nobody to keep the method for: the payment has no `customerId`.",
        "Create the payment with `customerId`, or do not ask to keep the method.",
    ),
    _field(
        "SAVED",
        "The token is that of a saved method, which only its owner may pay with.",
        "Send `savedMethodId`, with the customer's own token.",
    ),
    _field("STORE_CREDIT", "Store credit cannot be used like this."),
    _field("UNKNOWN_ACCOUNT", "There is no such account, and it is not of a kind we open."),
    _field("WRONG_KIND", "The account is of another kind than is needed here."),
    _field("BALANCE_LIMIT_EXCEEDED", "The balance would leave the range we can hold."),
    _field("BAD_KIND", "There is no such kind."),
    _field("OUT_OF_RANGE", "It is below or above what is allowed."),
    _field("BAD_COUNTRY", "It is no country.", "Give two capital letters of ISO 3166-1: `DE`."),
    _field(
        "AMOUNT_MISMATCH",
        "The provider moved another amount than was asked, so it cannot have gone as you say.",
        "Look the amount up at the provider; the discrepancy says what was booked.",
    ),
    _field("CONTRADICTED", "What the provider said stands against it.", "Read the evidence."),
    _field(
        "OPINIONS_DIFFER",
        "Another administrator said something else of this operation.",
        "Agree on one outcome, then both say so.",
    ),
    _field("OTHER_REFERENCE", "The provider calls the operation otherwise.", "Leave it out."),
    _field("REFERENCE_TAKEN", "Another operation is called so.", "Look the reference up again."),
    _field("KEYS_DIFFER", "The `Idempotency-Key` header and the input name different keys."),
)

_OPERATORS: Final = (
    _operator("ACCOUNT_FROZEN", "The account is frozen.", "Callers are told `INVALID_STATE`."),
    _operator("BROKEN", "An invariant of our own does not hold.", _BUG),
    _operator("SEAL_BROKEN", "A sealed value cannot be opened.", "Is it the right encryption key?"),
    _operator("UNBALANCED", "A transaction's debits differ from its credits.", _BUG),
    _operator("PENDING_LEGS_MISMATCH", "Pending legs do not fit their hold.", _BUG),
    _operator("HOLD_MISSING", "A hold that is needed is not there.", _BUG),
    _operator("HOLD_EXCEEDED", "More was taken from a hold than it has.", _BUG),
    _operator("NOT_REVERSIBLE", "The transaction cannot be reversed.", _BUG),
    _operator("KEY_REUSED", "A ledger key was used with other legs.", _BUG),
    _operator("UNGUARDED_FIELD", "A root field does not say who may use it.", _BUG),
    _operator("BAD_COST", "A cost on the schema is not usable.", _BUG),
    _operator(
        "UNKNOWN_ADAPTER",
        "A provider account names an adapter that is not installed.",
        "Install the package that brings it.",
    ),
    _operator(
        "ADAPTER_REFUSED",
        "An adapter does not keep the contract.",
        "Its message says which part; ask who made it.",
    ),
    _operator("INVALID_SETTINGS", "A setting is wrong.", "Its message names it: docs/settings.md."),
    _operator(
        "SCHEMA_IS_OLD", "The database is older.", "Run `python -m counterfoil migrate` first."
    ),
    _operator("MIGRATION_FAILED", "The database could not be migrated.", "Its message says why."),
    _operator("ADDRESS_TAKEN", "Another program listens there.", "Set `COUNTERFOIL_PORT`."),
    _operator("POSTGRES_NOT_FOUND", "No PostgreSQL was found.", "Set `COUNTERFOIL_PG_BIN`."),
    _operator("POSTGRES_FAILED", "The embedded PostgreSQL failed.", "Its message says why."),
    _operator("CANNOT_DROP_ROOT", "Root's rights cannot be given up.", "Start as another user."),
    _operator("BAD_ORIGIN", "It is no origin.", "Give scheme and host: `https://shop.example`."),
    _operator(
        "BAD_PERSISTED_OPERATION",
        "An operation of the file cannot be run.",
        "Its message names it; the file is read at start.",
    ),
    _operator("WRONG_PACKAGE", "Another package has our name.", "Use the environment of ours."),
    _operator("SIMULATOR_FAILED", "The simulator does not start.", "Its log says why."),
    _operator("SIMULATOR_UNREACHABLE", "The simulator does not answer.", "Is its URL right?"),
    _operator("DEMO_FAILED", "The demo found a difference.", _BUG),
    _operator("GATEWAY_DID_NOT_START", "The demo's gateway did not start.", "Its log says why."),
)

CATALOGUE: Final = (*_RESULTS, *_REQUESTS, *_FIELDS, *_OPERATORS)
