"""What can be changed. Expected problems are members of the result."""

from datetime import datetime
from typing import Annotated, Any

import strawberry

from resolvers import bookkeeping, customers, mutations, saved_methods
from schema import commands
from schema.base import Info, cost, method, public, requires, shown, shows
from schema.directives import Scope
from schema.errors import (
    AmountExceededError,
    IdempotencyKeyReusedError,
    InsufficientFundsError,
    InvalidStateError,
    NoProviderAvailableError,
    NotFoundError,
    OperationInProgressError,
    OutcomeUnknownError,
    RiskRejectedError,
    UnsupportedError,
    ValidationError,
    VersionConflictError,
)
from schema.inputs import (
    AccountCreateInput,
    CustomerTokenCreateInput,
    OperationResolveInput,
    PaymentCancelInput,
    PaymentCaptureInput,
    PaymentConfirmInput,
    PaymentCreateInput,
    RefundCreateInput,
    SavedMethodRemoveInput,
    TransferCreateInput,
)
from schema.ledger import Account, Transaction
from schema.payments import Payment, ProviderOperation, Refund
from schema.saved_methods import SavedMethod

_REPLAYED = "True when this answers an earlier call with the same key: nothing was done again."


@strawberry.type(description="A payment after the mutation.")
class PaymentPayload:
    is_type_of = shows(mutations.PaymentPayload)

    payment: Payment = shown("The payment, as it is now.")
    replayed: bool = shown(_REPLAYED)


@strawberry.type(description="A refund after the mutation.")
class RefundPayload:
    is_type_of = shows(mutations.RefundPayload)

    refund: Refund = shown("The refund, as it is now.")
    payment: Payment = shown("Its payment, as it is now.")
    replayed: bool = shown(_REPLAYED)


@strawberry.type(description="A saved method after the mutation.")
class SavedMethodPayload:
    is_type_of = shows(saved_methods.SavedMethodPayload)

    saved_method: SavedMethod = shown("The saved method, as it is now.")
    replayed: bool = shown(_REPLAYED)


@strawberry.type(description="An account after the mutation.")
class AccountPayload:
    is_type_of = shows(bookkeeping.AccountPayload)

    account: Account = shown("The account, as it is now.")
    replayed: bool = shown(_REPLAYED)


@strawberry.type(description="A transaction after the mutation.")
class TransactionPayload:
    is_type_of = shows(bookkeeping.TransactionPayload)

    transaction: Transaction = shown("The transaction.")
    replayed: bool = shown(_REPLAYED)


@strawberry.type(description="A token for one customer's browser. It is not shown again.")
class CustomerTokenPayload:
    is_type_of = shows(customers.CustomerTokenPayload)

    token: str = shown("The token, cf_cus_…; send it as `Authorization: Bearer`.")
    expires_at: datetime = shown("From then on it is refused.")


@strawberry.type(description="An operation after the mutation.")
class OperationPayload:
    is_type_of = shows(mutations.OperationPayload)

    operation: ProviderOperation = shown("The operation, as it is now.")
    approvals_missing: int = shown(
        "How many other administrators must still say the same; 0: nothing is waited for."
    )
    replayed: bool = shown(_REPLAYED)


@strawberry.type(description="What was put back into its queue.")
class RequeuePayload:
    is_type_of = shows(mutations.RequeuePayload)

    requeued: int = shown("How many.")


PaymentCreateResult = Annotated[
    PaymentPayload
    | ValidationError
    | NotFoundError
    | InsufficientFundsError
    | IdempotencyKeyReusedError
    | OperationInProgressError
    | NoProviderAvailableError
    | UnsupportedError
    | RiskRejectedError,
    strawberry.union("PaymentCreateResult", description="The new payment, or why there is none."),
]
PaymentConfirmResult = Annotated[
    PaymentPayload
    | ValidationError
    | InsufficientFundsError
    | NotFoundError
    | IdempotencyKeyReusedError
    | OperationInProgressError
    | InvalidStateError
    | NoProviderAvailableError
    | OutcomeUnknownError
    | RiskRejectedError,
    strawberry.union("PaymentConfirmResult", description="The payment, or why it was not tried."),
]
PaymentCaptureResult = Annotated[
    PaymentPayload
    | ValidationError
    | NotFoundError
    | IdempotencyKeyReusedError
    | OperationInProgressError
    | InvalidStateError
    | AmountExceededError
    | UnsupportedError
    | OutcomeUnknownError
    | VersionConflictError,
    strawberry.union("PaymentCaptureResult", description="The payment, or why nothing was taken."),
]
PaymentCancelResult = Annotated[
    PaymentPayload
    | ValidationError
    | NotFoundError
    | IdempotencyKeyReusedError
    | OperationInProgressError
    | InvalidStateError
    | OutcomeUnknownError
    | VersionConflictError,
    strawberry.union("PaymentCancelResult", description="The payment, or why it goes on."),
]
PaymentSyncResult = Annotated[
    PaymentPayload | NotFoundError | UnsupportedError,
    strawberry.union("PaymentSyncResult", description="The payment, or why nobody was asked."),
]
RefundCreateResult = Annotated[
    RefundPayload
    | ValidationError
    | NotFoundError
    | IdempotencyKeyReusedError
    | OperationInProgressError
    | InvalidStateError
    | AmountExceededError
    | InsufficientFundsError
    | UnsupportedError
    | OutcomeUnknownError,
    strawberry.union("RefundCreateResult", description="The refund, or why there is none."),
]


SavedMethodRemoveResult = Annotated[
    SavedMethodPayload | ValidationError | NotFoundError | IdempotencyKeyReusedError,
    strawberry.union(
        "SavedMethodRemoveResult", description="The removed method, or why it was not removed."
    ),
]
OperationResolveResult = Annotated[
    OperationPayload
    | ValidationError
    | NotFoundError
    | IdempotencyKeyReusedError
    | InvalidStateError
    | OperationInProgressError,
    strawberry.union(
        "OperationResolveResult", description="The operation, or why nothing was taken down."
    ),
]
AccountCreateResult = Annotated[
    AccountPayload | ValidationError | IdempotencyKeyReusedError,
    strawberry.union("AccountCreateResult", description="The account, or why there is none."),
]
TransactionResult = Annotated[
    TransactionPayload
    | ValidationError
    | NotFoundError
    | IdempotencyKeyReusedError
    | InvalidStateError
    | InsufficientFundsError,
    strawberry.union("TransactionResult", description="The transaction, or why there is none."),
]
CustomerTokenCreateResult = Annotated[
    CustomerTokenPayload | ValidationError,
    strawberry.union("CustomerTokenCreateResult", description="The token, or why there is none."),
]
RequeueResult = Annotated[
    RequeuePayload | NotFoundError,
    strawberry.union("RequeueResult", description="How many, or why none."),
]


def _input(description: str) -> Any:
    return strawberry.argument(description=description)


_WRITE = requires(Scope.PAYMENTS_WRITE)
_LEDGER = requires(Scope.LEDGER_WRITE)
_HEAVY = cost(50)


@strawberry.type(description="What can be changed. One mutation a request.")
class Mutation:
    @method("Take one amount once, or prepare to.", PaymentCreateResult, _WRITE, _HEAVY)
    @staticmethod
    async def payment_create(
        info: Info, input: Annotated[PaymentCreateInput, _input("The payment.")]
    ) -> Any:
        context = info.context
        return await mutations.create(
            context,
            lambda: commands.account_ids_of(input),
            lambda paths: commands.create_payment(input, paths, context.idempotency_header),
        )

    @method(
        "Try a prepared or declined payment, from a server or from a browser.",
        PaymentConfirmResult,
        public("The client secret is the permission; with a paymentId PAYMENTS_WRITE is checked."),
        _HEAVY,
    )
    @staticmethod
    async def payment_confirm(
        info: Info, input: Annotated[PaymentConfirmInput, _input("Which, and with what.")]
    ) -> Any:
        context = info.context
        return await mutations.confirm(
            context,
            lambda: commands.named_payment(input),
            lambda bare: commands.confirm_payment(input, bare, context.idempotency_header),
        )

    @method(
        "Never pay with a saved method again. It takes effect at once; the provider is told"
        " afterwards. By the customer whose it is, or by your server.",
        SavedMethodRemoveResult,
        public("A customer token is the permission for its own; a key needs PAYMENTS_WRITE."),
        cost(20),
    )
    @staticmethod
    async def saved_method_remove(
        info: Info, input: Annotated[SavedMethodRemoveInput, _input("Which.")]
    ) -> Any:
        context = info.context
        return await saved_methods.remove(
            context, lambda: commands.remove_saved_method(input, context.idempotency_header)
        )

    @method("Take what was reserved.", PaymentCaptureResult, _WRITE, _HEAVY)
    @staticmethod
    async def payment_capture(
        info: Info, input: Annotated[PaymentCaptureInput, _input("Which, and how much.")]
    ) -> Any:
        context = info.context
        return await mutations.capture(
            context, lambda: commands.capture_payment(input, context.idempotency_header)
        )

    @method(
        "End a payment that took nothing, or give back what is reserved.",
        PaymentCancelResult,
        _WRITE,
        _HEAVY,
    )
    @staticmethod
    async def payment_cancel(
        info: Info, input: Annotated[PaymentCancelInput, _input("Which.")]
    ) -> Any:
        context = info.context
        return await mutations.cancel(
            context, lambda: commands.cancel_payment(input, context.idempotency_header)
        )

    @method(
        "Ask the provider now. It only reads there, so it needs no idempotency key.",
        PaymentSyncResult,
        requires(Scope.PAYMENTS_READ),
        cost(20),
    )
    @staticmethod
    async def payment_sync(
        info: Info, payment_id: Annotated[strawberry.ID, _input("The payment.")]
    ) -> Any:
        return await mutations.sync(info.context, payment_id)

    @method("Give captured money back.", RefundCreateResult, requires(Scope.REFUNDS_WRITE), _HEAVY)
    @staticmethod
    async def refund_create(
        info: Info, input: Annotated[RefundCreateInput, _input("Which, and how much.")]
    ) -> Any:
        context = info.context
        return await mutations.refund(
            context, lambda: commands.create_refund(input, context.idempotency_header)
        )

    @method(
        "Say what became of an operation that is UNKNOWN or IN_REVIEW. It takes effect once a"
        " second administrator, with another key or token, says the same within 24 hours.",
        OperationResolveResult,
        requires(Scope.ADMIN),
        _HEAVY,
    )
    @staticmethod
    async def operation_resolve(
        info: Info, input: Annotated[OperationResolveInput, _input("Which, and what became of it.")]
    ) -> Any:
        context = info.context
        return await mutations.resolve(
            context, lambda: commands.resolve_operation(input, context.idempotency_header)
        )

    @method(
        "Open an account of the chart. Accounts open by themselves when they are first posted to.",
        AccountCreateResult,
        _LEDGER,
        cost(20),
    )
    @staticmethod
    async def account_create(
        info: Info, input: Annotated[AccountCreateInput, _input("Which.")]
    ) -> Any:
        context = info.context
        return await mutations.open_account(
            context, lambda: commands.create_account(input, context.idempotency_header)
        )

    @method(
        "Post entries of your own, such as store credit given to a customer.",
        TransactionResult,
        _LEDGER,
        cost(20),
    )
    @staticmethod
    async def transfer_create(
        info: Info, input: Annotated[TransferCreateInput, _input("What, from where, to where.")]
    ) -> Any:
        context = info.context
        return await mutations.transfer(
            context, lambda: commands.create_transfer(input, context.idempotency_header)
        )

    @method(
        "Let the browser of a customer who is logged in read what is their own. Each call makes"
        " another token, so it needs no idempotency key.",
        CustomerTokenCreateResult,
        _WRITE,
        cost(20),
    )
    @staticmethod
    async def customer_token_create(
        info: Info, input: Annotated[CustomerTokenCreateInput, _input("For whom, how long.")]
    ) -> Any:
        return await customers.create_token(
            info.context, lambda: commands.create_customer_token(input)
        )

    @method(
        "Process stored callbacks once more. What they did already is not done again.",
        RequeueResult,
        requires(Scope.WEBHOOKS_WRITE),
        cost(1, per="ids"),
    )
    @staticmethod
    async def inbound_webhook_replay(
        info: Info, ids: Annotated[list[strawberry.ID], _input("Which; at most 100.")]
    ) -> Any:
        return await mutations.replay_webhooks(info.context, ids)
