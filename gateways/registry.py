"""The adapters there are, by name: ours, and those that other packages bring.

A package brings one by an entry point:

    [project.entry-points."counterfoil.gateways"]
    acme = "acme_counterfoil:AcmeAdapter"
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from core.errors import Broken, Rejected
from gateways.port import PROTOCOLS, SDK_VERSION, ProviderAdapter

ENTRY_POINT_GROUP: Final = "counterfoil.gateways"


class UnknownAdapter(Rejected):
    """No adapter of this name is installed."""

    code = "UNKNOWN_ADAPTER"


class AdapterRefused(Broken):
    """The adapter does not keep the contract."""

    code = "ADAPTER_REFUSED"


@dataclass(frozen=True, slots=True)
class Registry:
    """Adapters by name; immutable once made."""

    adapters: Mapping[str, ProviderAdapter]

    def of(self, name: str) -> ProviderAdapter:
        """Raises: UnknownAdapter."""
        try:
            return self.adapters[name]
        except KeyError:
            raise UnknownAdapter(adapter=name) from None


def make_registry(
    built_in: Iterable[ProviderAdapter], installed: Iterable[EntryPoint] | None = None
) -> Registry:
    """Check and collect adapters; `installed` defaults to this environment's entry points.

    Raises: AdapterRefused (another SDK, capabilities it does not have, a name taken twice).
    """
    points = entry_points(group=ENTRY_POINT_GROUP) if installed is None else installed
    adapters: dict[str, ProviderAdapter] = {}
    for adapter in [*built_in, *(point.load()() for point in points)]:
        check_adapter(adapter)
        name = adapter.manifest.name
        if name in adapters:
            raise AdapterRefused(adapter=name, reason="the name is taken")
        adapters[name] = adapter
    return Registry(adapters)


def check_adapter(adapter: ProviderAdapter) -> None:
    """Compare what an adapter says with what it is. Raises: AdapterRefused."""
    manifest = adapter.manifest
    if manifest.sdk.split(".")[0] != SDK_VERSION:
        raise AdapterRefused(adapter=manifest.name, reason="made for another SDK", sdk=manifest.sdk)
    for capability, protocol in PROTOCOLS.items():
        declared = capability in manifest.capabilities
        if declared != isinstance(adapter, protocol):
            raise AdapterRefused(
                adapter=manifest.name,
                reason="declared and implemented differ",
                capability=capability.value,
            )
