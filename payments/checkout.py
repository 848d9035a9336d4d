"""checkoutOptions: what a page may offer for an amount, and what the providers' scripts need."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from core.money import Money
from gateways.accounts import ProviderAccount
from gateways.port import ClientConfiguration, SupportsClientConfiguration
from gateways.routing import RoutingRequest, route
from gateways.store import load_all
from payments.model import OperationKind
from payments.services import PaymentServices


@dataclass(frozen=True, slots=True)
class CheckoutOption:
    """One way to pay. `configuration` may be read by everybody."""

    method: str
    provider_account_id: UUID
    provider_name: str
    adapter: str
    portable: bool
    configuration: Mapping[str, object]


async def checkout_options(
    services: PaymentServices, tenant_id: int, amount: Money, country: str | None
) -> list[CheckoutOption]:
    """Ways to take the amount at once, in the order routing would try them.

    An account whose adapter does not say how a browser reaches it is not offered.
    """
    async with services.database.unit_of_work(tenant_id) as tx:
        accounts = await load_all(tx, services.vault, tenant_id)
    kind = OperationKind.SALE.value
    candidates = services.dispatcher.candidates(accounts, kind, None)
    by_id = {account.id: account for account in accounts}
    methods = sorted({method for each in candidates for method in each.manifest.methods})
    options = []
    for method in methods:
        wanted = RoutingRequest(kind, amount, method_type=method, country=country)
        for account_id in route(candidates, wanted).suitable:
            options += _option(services, by_id[account_id], method)
    ranks = {account.id: rank for rank, account in enumerate(accounts)}
    return sorted(options, key=lambda option: ranks[option.provider_account_id])


def _option(
    services: PaymentServices, account: ProviderAccount, method: str
) -> list[CheckoutOption]:
    configuration = _configuration(services, account, method)
    if configuration is None:
        return []
    return [
        CheckoutOption(
            method=method,
            provider_account_id=account.id,
            provider_name=account.name,
            adapter=account.adapter,
            portable=configuration.portable,
            configuration=configuration.fields,
        )
    ]


def _configuration(
    services: PaymentServices, account: ProviderAccount, method: str
) -> ClientConfiguration | None:
    adapter = services.dispatcher.registry.of(account.adapter)
    if not isinstance(adapter, SupportsClientConfiguration):
        return None
    # Without the secrets: what an adapter never has it cannot tell everybody.
    return adapter.client_configuration(replace(account.credentials(), secrets={}), method)
