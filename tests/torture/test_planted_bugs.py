"""A scenario counts once it was seen to fail: each bug planted here must be caught by one.

The tree is copied, one line of it is changed, a gateway is run from the copy, and the scenario
that must notice is run small.
"""

import re
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.torture.conftest import Launch, recorded
from tests.torture.fleet import ROOT
from tests.torture.results import Violated
from tests.torture.scenarios import hostile, keys, limits, unknown, webhooks
from tests.torture.shop import Shop, open_shop

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True, slots=True)
class Planted:
    """`old` occurs exactly once in `path`; `caught_by` is what the scenario's violation says."""

    name: str
    path: str
    old: str
    new: str
    scenario: Callable[[Shop], Awaitable[str]]
    caught_by: str


PLANTED = (
    Planted(
        "new key on retry",
        "gateways/dispatcher.py",
        "            prepared.begin_again(self._begin(account, operation))\n",
        "            import dataclasses\n"
        "            operation = dataclasses.replace(\n"
        "                operation, idempotency_key=operation.idempotency_key + 'r')\n"
        "            prepared.begin_again(self._begin(account, operation))\n",
        lambda shop: unknown.turned_away_at_first(shop, 4),
        "SEVERAL_KEYS",
    ),
    Planted(
        "failover after unknown",
        "gateways/driver.py",
        "        retry_other_provider=not money_began,\n    )\n"
        "    status = OutcomeStatus.UNKNOWN if money_began else OutcomeStatus.NOT_EXECUTED\n",
        "        retry_other_provider=True,\n    )\n    status = OutcomeStatus.NOT_EXECUTED\n",
        lambda shop: unknown.lost_answers_over_two_providers(shop, 8),
        "CHARGED_TWICE",
    ),
    Planted(
        "dedup skipped",
        "webhooks/inbox.py",
        "[event_key(event.event_id) for event in events]",
        "[event_key(event.event_id) + str(new_id()) for event in events]",
        lambda shop: webhooks.one_webhook_many_times(shop, 60),
        "60 inbox rows for one event",
    ),
    Planted(
        "capture posted twice",
        "payments/booking.py",
        "            recipes.capture(self.cause(), self.split, self.part, merchant=merchant,"
        " hold=settled)\n",
        "            recipes.capture(self.cause(), self.split, self.part, merchant=merchant,"
        " hold=settled),\n"
        "            replace(recipes.capture(self.cause(), self.split, self.part,\n"
        "                    merchant=merchant, hold=None), key=f'again:{self.operation_id}'),\n",
        lambda shop: limits.captures_of_one_authorization(shop, 12),
        "COUNT: capture",
    ),
    Planted(
        "swapped currency",
        "payments/booking.py",
        "    return AccountRef(payment.merchant_account, payment.currency)\n",
        "    return AccountRef(payment.merchant_account, 'USD')\n",
        lambda shop: keys.same_key_many_callers(shop, 3, 4),
        "CURRENCY: charge",
    ),
    Planted(
        "refund of the wrong payment",
        "gateways/simulator/operations.py",
        '    body = {**_amount(operation), "payment": _parent(operation)}\n',
        '    first = globals().setdefault("_first", _parent(operation))\n'
        '    body = {**_amount(operation), "payment": first}\n',
        lambda shop: limits.refunds_of_several_payments(shop, 4),
        "WRONG_PAYMENT",
    ),
    Planted(
        "evidence dropped after a lost lease",
        "payments/sending.py",
        "        operation = _retry_later(services, change, sending, operation)\n",
        "        if change.before.operation(operation.id).fence != sending.fence:\n"
        "            raise LeaseLost(operation=operation.id)\n"
        "        operation = _retry_later(services, change, sending, operation)\n",
        lambda shop: unknown.late_answers_after_a_lost_lease(shop, 8),
        "answers that came late were dropped",
    ),
    Planted(
        "documents without limits",
        "schema/endpoint/documents.py",
        "        check_limits(document, self._limits)\n",
        "",
        lambda shop: hostile.hostile_documents(shop, 12),
        "something ran|of CPU|HTTP 5|refusal",
    ),
    Planted(
        "headers without an end",
        "counterfoil/slow_clients.py",
        "    header_seconds: ClassVar[float] = 5.0\n",
        "    header_seconds: ClassVar[float] = 500.0\n",
        lambda shop: hostile.slow_connections(shop, 3),
        "slow connections were not cut",
    ),
    Planted(
        "bad JSON not foreseen",
        "schema/endpoint/request.py",
        '    except (ValueError, RecursionError):\n        raise bad_request("BAD_JSON"',
        '    except RecursionError:\n        raise bad_request("BAD_JSON"',
        lambda shop: hostile.malformed_bodies(shop, 200),
        "HTTP 500",
    ),
)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
async def test_a_planted_bug_is_caught(launch: Launch, tmp_path: Path, planted: Planted) -> None:
    root = _plant(planted, tmp_path / "tree")
    found: list[str] = []
    async with (
        recorded(f"planted: {planted.name}", found),
        launch(apis=1, root=root) as fleet,
        fleet.database() as database,
    ):
        shop = await open_shop(fleet, database, "planted", patient_breaker=True)
        with pytest.raises(Violated) as caught:
            await planted.scenario(shop)
        noticed = [line for line in caught.value.problems if re.search(planted.caught_by, line)]
        assert noticed, f"caught, but not by {planted.caught_by}: {caught.value}"
        found.append(f"caught: {noticed[0][:150]}")


def _plant(planted: Planted, tree: Path) -> Path:
    """A copy of what the gateway is run from, with the one change."""
    aside = shutil.ignore_patterns(".*", "__pycache__", "tests", "docs", "node_modules", "dist")
    shutil.copytree(ROOT, tree, ignore=aside)
    path = tree / planted.path
    text = path.read_text()
    assert text.count(planted.old) == 1, f"{planted.path} does not have this once: {planted.old}"
    path.write_text(text.replace(planted.old, planted.new))
    return tree
