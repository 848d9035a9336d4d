"""Payments as they change: the state now, then a newer one after each change.

Watching begins before the first look, so nothing falls between the two. Each look reads what is
committed, and only a higher version is passed on: what is sent never goes back, and many changes
at once may be one.
"""

from collections.abc import AsyncGenerator
from uuid import UUID

from payments.errors import NotFound
from resolvers.context import Context
from resolvers.loaders import load
from resolvers.payments import bare_id, open_client_secret
from resolvers.views.payments import Payment


async def payment_changed(context: Context, id: str) -> AsyncGenerator[Payment, None]:
    """By id. Raises: NotFound, for another tenant's as for one that is not there."""
    return _states(context, bare_id("pay", id))


async def payment_changed_by_client_secret(
    context: Context, client_secret: str
) -> AsyncGenerator[Payment, None]:
    """The one payment a client secret opens. Raises: NotFound."""
    return _states(context, await open_client_secret(context, client_secret))


async def _states(context: Context, id: UUID | None) -> AsyncGenerator[Payment, None]:
    if id is None:
        raise NotFound("payment")
    async with context.services.feed.watch(context.tenant_id, id) as watch:
        sent = 0
        while True:
            context.forget()
            payment = await load(context).payment.load(id)
            if payment is None:
                raise NotFound("payment")
            if payment.version > sent:
                yield payment
                sent = payment.version
            await watch.changed()
