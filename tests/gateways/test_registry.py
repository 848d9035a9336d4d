"""Adapters are checked against what they say of themselves before they are used."""

from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from gateways.port import Capability
from gateways.registry import AdapterRefused, UnknownAdapter, make_registry
from gateways.stripe import StripeAdapter
from tests.gateways.builders import PlainAdapter


def an_adapter(**changes: Any) -> PlainAdapter:
    class Changed(PlainAdapter):
        manifest = replace(PlainAdapter.manifest, **changes)

    return Changed()


def test_adapters_are_found_by_name() -> None:
    registry = make_registry([PlainAdapter(), StripeAdapter()], installed=())

    assert registry.of("stripe").manifest.name == "stripe"
    assert list(registry.adapters) == ["plain", "stripe"]
    with pytest.raises(UnknownAdapter):
        registry.of("acme")


def test_other_packages_bring_adapters_by_entry_point() -> None:
    point = EntryPoint("plain", "tests.gateways.builders:PlainAdapter", "counterfoil.gateways")

    registry = make_registry([], installed=[point])

    assert registry.of("plain").manifest.version == "1"


def test_an_adapter_for_another_sdk_is_refused() -> None:
    make_registry([an_adapter(sdk="1.7")], installed=())
    with pytest.raises(AdapterRefused):
        make_registry([an_adapter(sdk="2")], installed=())


def test_a_name_is_taken_once() -> None:
    with pytest.raises(AdapterRefused):
        make_registry([PlainAdapter(), PlainAdapter()], installed=())


def test_what_is_declared_must_be_implemented() -> None:
    declared = PlainAdapter.manifest.capabilities | {Capability.REFUND}

    with pytest.raises(AdapterRefused):
        make_registry([an_adapter(capabilities=declared)], installed=())


def test_what_is_implemented_must_be_declared() -> None:
    class Silent(StripeAdapter):
        manifest = replace(
            StripeAdapter.manifest,
            capabilities=StripeAdapter.manifest.capabilities - {Capability.VOID},
        )

    with pytest.raises(AdapterRefused):
        make_registry([Silent()], installed=())
