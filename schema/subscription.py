"""What can be watched. Every stream first sends the state as it is, then each change."""

from typing import Annotated, Any

import strawberry

from resolvers import subscriptions
from schema.base import Info, public, requires, stream
from schema.directives import Scope
from schema.payments import Payment
from schema.query import ClientSecret

PaymentId = Annotated[strawberry.ID, strawberry.argument(description="The payment.")]


@strawberry.type(
    description="What can be watched, over WebSocket (graphql-transport-ws). Every stream first"
    " sends the state as it is, so nothing falls between asking and watching."
)
class Subscription:
    @stream(
        "A payment: as it is, then as it is after each change; its version grows.",
        Payment,
        requires(Scope.PAYMENTS_READ),
    )
    @staticmethod
    async def payment_changed(info: Info, payment_id: PaymentId) -> Any:
        return await subscriptions.payment_changed(info.context, payment_id)

    @stream(
        "For browsers: the payment a client secret opens, as it is and after each change.",
        Payment,
        public("The client secret itself is the permission, for this one payment."),
    )
    @staticmethod
    async def payment_changed_by_client_secret(info: Info, client_secret: ClientSecret) -> Any:
        return await subscriptions.payment_changed_by_client_secret(info.context, client_secret)
