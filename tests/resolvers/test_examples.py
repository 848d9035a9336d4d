"""The examples of the schema, asked: those that name nothing that must exist first."""

import pytest

from schema.examples import EXAMPLES
from tests.payments.world import World
from tests.resolvers.asking import Api

ASKABLE = sorted(
    name for name, text in EXAMPLES.items() if "…" not in text and "subscription" not in text
)


@pytest.mark.parametrize("name", ASKABLE)
async def test_an_example_is_answered(name: str, world: World, api: Api) -> None:
    await world.pay()  # opens the accounts of the chart

    data = await api.ask(EXAMPLES[name])

    assert set(data) == {name}
    assert "code" not in (data[name] or {}), data


def test_most_queries_are_asked() -> None:
    assert len(ASKABLE) >= 14
    assert {"payments", "paymentCreate", "accountCreate", "trialBalance"} <= set(ASKABLE)
