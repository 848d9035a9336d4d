"""What can be read. Every root field says who may (@requires) or why anybody may (@public)."""

from datetime import datetime
from typing import Annotated, Any

import strawberry
from strawberry import UNSET

from resolvers import checkout, customers, ledger, node, payments, providers, records, saved_methods
from resolvers.paging import PageRequest
from resolvers.views.customers import Customer as CustomerView
from schema import filters
from schema.base import After, First, Info, cost, method, page, present, public, requires
from schema.checkout import CheckoutOption
from schema.customers import Customer
from schema.directives import Scope
from schema.enums import HoldStatus
from schema.inputs import (
    AccountFilter,
    AuditFilter,
    DiscrepancyFilter,
    InboundWebhookFilter,
    MoneyInput,
    PaymentFilter,
    PaymentSort,
    TransactionFilter,
)
from schema.ledger import (
    Account,
    AccountConnection,
    Balance,
    HoldConnection,
    Transaction,
    TrialBalanceLine,
)
from schema.parsing import checked_text
from schema.payments import Payment, PaymentConnection, Refund
from schema.providers import Provider
from schema.records import (
    AuditConnection,
    DiscrepancyConnection,
    IdempotentResult,
    InboundWebhookConnection,
    Viewer,
)
from schema.references import TransactionConnection
from schema.saved_methods import SavedMethodConnection
from schema.scalars import IdempotencyKey
from schema.shapes import Node

_PAGE = cost(1, per="first")
_PAYMENTS = requires(Scope.PAYMENTS_READ)
_LEDGER = requires(Scope.LEDGER_READ)
_PROVIDERS = requires(Scope.PROVIDERS_READ)

Which = strawberry.argument(description="Which ones; all, unless given.")
Id = Annotated[strawberry.ID, strawberry.argument(description="The id.")]
ClientSecret = Annotated[str, strawberry.argument(description="The payment's client secret.")]
At = Annotated[
    datetime | None, strawberry.argument(description="As the books stood then; now, unless given.")
]
PathPrefix = Annotated[
    str, strawberry.argument(description="Beginning of a path, such as psp:simulator-a.")
]


@strawberry.type(description="What can be read.")
class Query:
    @method(
        "Anything by its id; null if there is nothing you may see.",
        Node | None,
        public("The scope depends on what the id names; it is checked before anything is read."),
    )
    @staticmethod
    async def node(info: Info, id: Id) -> Any:
        return await node.node(info.context, id)

    @method(
        "Several things by their ids, in that order; at most 100.",
        list[Node | None],
        public("The scope depends on what each id names; it is checked before anything is read."),
        cost(1, per="ids"),
    )
    @staticmethod
    async def nodes(
        info: Info, ids: Annotated[list[strawberry.ID], strawberry.argument(description="The ids.")]
    ) -> Any:
        return await node.nodes(info.context, ids)

    @method("Who is asking.", Viewer, public("It tells callers only about themselves."))
    @staticmethod
    async def viewer(info: Info) -> Any:
        return await records.viewer(info.context)

    @method("A payment by its id.", Payment | None, _PAYMENTS)
    @staticmethod
    async def payment(info: Info, id: Id) -> Any:
        return await payments.payment(info.context, id)

    @method("A payment by your own reference.", Payment | None, _PAYMENTS)
    @staticmethod
    async def payment_by_reference(
        info: Info,
        reference: Annotated[str, strawberry.argument(description="Your order or cart id.")],
    ) -> Any:
        return await payments.payment_by_reference(
            info.context, checked_text(("reference",), reference)
        )

    @method(
        "For browsers: the payment a client secret opens.",
        Payment | None,
        public("The client secret itself is the permission, for this one payment."),
    )
    @staticmethod
    async def payment_by_client_secret(info: Info, client_secret: ClientSecret) -> Any:
        return await payments.payment_by_client_secret(info.context, client_secret)

    @method(
        "For browsers: the customer whose token is sent; null for every other caller.",
        Customer | None,
        public("The customer token is the permission, for what is this one customer's own."),
    )
    @staticmethod
    async def customer(info: Info) -> Any:
        return await customers.customer(info.context)

    @method(
        "Ways to pay an amount, in the order routing would try them.",
        list[CheckoutOption],
        public("It tells what the page of a shop tells everybody; the tenant's own, no secrets."),
        cost(10),
    )
    @staticmethod
    async def checkout_options(
        info: Info,
        amount: Annotated[MoneyInput, strawberry.argument(description="What is to be paid.")],
        country: Annotated[
            str | None,
            strawberry.argument(description="Where the shopper is, ISO 3166-1 alpha-2: DE."),
        ] = UNSET,
    ) -> Any:
        wanted = filters.checkout(amount, country)
        return await checkout.options(info.context, *wanted)

    @method(
        "What became of an earlier mutation, by its key: did my timed-out call work?",
        IdempotentResult | None,
        _PAYMENTS,
    )
    @staticmethod
    async def operation_by_idempotency_key(
        info: Info,
        mutation: Annotated[
            str, strawberry.argument(description="Name of the mutation, such as paymentCreate.")
        ],
        key: Annotated[IdempotencyKey, strawberry.argument(description="The key.")],
    ) -> Any:
        name = checked_text(("mutation",), mutation)
        return await payments.operation_by_idempotency_key(info.context, name, key)

    @method("Payments.", PaymentConnection, _PAYMENTS, _PAGE)
    @staticmethod
    async def payments(
        info: Info,
        *,
        first: First = 20,
        after: After = UNSET,
        last: Annotated[
            int | None, strawberry.argument(description="How many before `before`; at most 100.")
        ] = UNSET,
        before: Annotated[
            str | None,
            strawberry.argument(description="Cursor: what comes before it is returned."),
        ] = UNSET,
        filter: Annotated[PaymentFilter | None, Which] = UNSET,
        sort: Annotated[
            PaymentSort | None,
            strawberry.argument(description="In which order; the newest first, unless given."),
        ] = UNSET,
    ) -> Any:
        wanted = PageRequest.either(first, *map(present, (after, last, before)))
        return await payments.payments(info.context, filters.payments(filter, sort), wanted)

    @method(
        "Methods a customer keeps and can pay with, the newest first.",
        SavedMethodConnection,
        _PAYMENTS,
        _PAGE,
    )
    @staticmethod
    async def saved_methods(
        info: Info,
        customer_id: Annotated[
            str, strawberry.argument(description="Your own id of the customer.")
        ],
        first: First = 20,
        after: After = UNSET,
    ) -> Any:
        whose = CustomerView(checked_text(("customerId",), customer_id))
        return await saved_methods.saved_methods_of(info.context, whose, page(first, after))

    @method("A refund by its id.", Refund | None, _PAYMENTS)
    @staticmethod
    async def refund(info: Info, id: Id) -> Any:
        return await payments.refund(info.context, id)

    @method("An account by its id, or by its path.", Account | None, _LEDGER)
    @staticmethod
    async def account(
        info: Info,
        id: Annotated[
            strawberry.ID | None, strawberry.argument(description="The id; or give the path.")
        ] = UNSET,
        path: Annotated[
            str | None,
            strawberry.argument(
                description="The path; the account in your base currency, if there are several."
            ),
        ] = UNSET,
    ) -> Any:
        return await ledger.account(info.context, present(id), checked_text(("path",), path))

    @method("Accounts, by path.", AccountConnection, _LEDGER, _PAGE)
    @staticmethod
    async def accounts(
        info: Info,
        first: First = 50,
        after: After = UNSET,
        filter: Annotated[AccountFilter | None, Which] = UNSET,
    ) -> Any:
        query, wanted = filters.accounts(filter), page(first, after)
        return await ledger.accounts(info.context, query, wanted)

    @method(
        "Sums of the accounts under a path, one for each currency.",
        list[Balance],
        _LEDGER,
        cost(10),
    )
    @staticmethod
    async def balances(info: Info, path_prefix: PathPrefix, at: At = UNSET) -> Any:
        prefix = checked_text(("pathPrefix",), path_prefix)
        return await ledger.balances(info.context, prefix, present(at))

    @method("A transaction by its id.", Transaction | None, _LEDGER)
    @staticmethod
    async def transaction(info: Info, id: Id) -> Any:
        return await ledger.transaction(info.context, id)

    @method("Transactions, the newest first.", TransactionConnection, _LEDGER, _PAGE)
    @staticmethod
    async def transactions(
        info: Info,
        first: First = 50,
        after: After = UNSET,
        filter: Annotated[TransactionFilter | None, Which] = UNSET,
    ) -> Any:
        query, wanted = filters.transactions(filter), page(first, after)
        return await ledger.transactions(info.context, query, wanted)

    @method(
        "Provider accounts, in the order routing tries them.", list[Provider], _PROVIDERS, cost(5)
    )
    @staticmethod
    async def providers(info: Info) -> Any:
        return await providers.providers(info.context)

    @method("A provider account by its id.", Provider | None, _PROVIDERS)
    @staticmethod
    async def provider(info: Info, id: Id) -> Any:
        return await providers.provider(info.context, id)

    @method(
        "What does not add up, the newest first.",
        DiscrepancyConnection,
        requires(Scope.RECONCILIATION_READ),
        _PAGE,
    )
    @staticmethod
    async def discrepancies(
        info: Info,
        first: First = 50,
        after: After = UNSET,
        filter: Annotated[DiscrepancyFilter | None, Which] = UNSET,
    ) -> Any:
        query, wanted = filters.discrepancies(filter), page(first, after)
        return await records.discrepancies(info.context, query, wanted)

    @method(
        "Callbacks of providers, the newest first.",
        InboundWebhookConnection,
        requires(Scope.WEBHOOKS_READ),
        _PAGE,
    )
    @staticmethod
    async def inbound_webhooks(
        info: Info,
        first: First = 50,
        after: After = UNSET,
        filter: Annotated[InboundWebhookFilter | None, Which] = UNSET,
    ) -> Any:
        query, wanted = filters.inbound_webhooks(filter), page(first, after)
        return await records.inbound_webhooks(info.context, query, wanted)

    @method("What is reserved, the newest first.", HoldConnection, _LEDGER, _PAGE)
    @staticmethod
    async def holds(
        info: Info,
        first: First = 20,
        after: After = UNSET,
        status: Annotated[
            HoldStatus | None, strawberry.argument(description="In this state; all, unless given.")
        ] = UNSET,
    ) -> Any:
        return await ledger.holds(info.context, filters.name_of(status), page(first, after))

    @method(
        "Sums of all debits and of all credits, by currency and layer: equal, always.",
        list[TrialBalanceLine],
        _LEDGER,
        cost(10),
    )
    @staticmethod
    async def trial_balance(info: Info, at: At = UNSET) -> Any:
        return await ledger.trial_balance(info.context, present(at))

    @method("Who did what, the newest first.", AuditConnection, requires(Scope.ADMIN), _PAGE)
    @staticmethod
    async def audit_log(
        info: Info,
        first: First = 50,
        after: After = UNSET,
        filter: Annotated[AuditFilter | None, Which] = UNSET,
    ) -> Any:
        query, wanted = filters.audit(filter), page(first, after)
        return await records.audit_log(info.context, query, wanted)
