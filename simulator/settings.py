"""Knobs that can be turned while it runs and that survive a restart."""

from dataclasses import asdict, dataclass
from typing import Any

import orjson

from simulator.books import Tx
from simulator.fields import Fields
from simulator.problems import invalid

_DELAY_MS_MAX = 10 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take. `latency_ms` passes before a POST is looked at."""

    latency_ms: int = 0
    pending_delay_ms: int = 1000


@dataclass(frozen=True, slots=True)
class WebhookPolicy:
    """How webhooks misbehave.

    Each event goes out `duplicate` times, each copy after a delay drawn from `delay_ms`; `reorder`
    widens the range to at least 300 ms, so that copies overtake each other. While `pause` is set
    nothing goes out until a flush.
    """

    duplicate: int = 1
    delay_ms_min: int = 0
    delay_ms_max: int = 0
    reorder: bool = False
    pause: bool = False
    seed: int = 0


def read_pace(tx: Tx) -> Pace:
    stored = _read(tx, "pace")
    return Pace(**stored) if stored else Pace()


def read_webhook_policy(tx: Tx) -> WebhookPolicy:
    stored = _read(tx, "webhooks")
    return WebhookPolicy(**stored) if stored else WebhookPolicy()


def change_pace(tx: Tx, fields: Fields) -> Pace:
    """What is left out stays as it is."""
    current = read_pace(tx)
    pace = Pace(
        latency_ms=fields.integer("latency_ms", 0, _DELAY_MS_MAX, current.latency_ms),
        pending_delay_ms=fields.integer(
            "pending_delay_ms", 0, _DELAY_MS_MAX, current.pending_delay_ms
        ),
    )
    fields.done()
    _write(tx, "pace", asdict(pace))
    return pace


def change_webhook_policy(tx: Tx, fields: Fields) -> WebhookPolicy:
    """The whole policy: what is left out returns to its default."""
    shortest, longest = _delay_range(fields)
    policy = WebhookPolicy(
        duplicate=fields.integer("duplicate", 1, 10_000, 1),
        delay_ms_min=shortest,
        delay_ms_max=longest,
        reorder=fields.boolean("reorder", default=False),
        pause=fields.boolean("pause", default=False),
        seed=fields.integer("seed", 0, 2**53, 0),
    )
    fields.done()
    _write(tx, "webhooks", asdict(policy))
    return policy


def _delay_range(fields: Fields) -> tuple[int, int]:
    bounds = fields.array_or_none("delay_ms", 2)
    if bounds is None:
        return 0, 0
    if len(bounds) != 2:
        raise invalid("delay_ms", "must be [shortest, longest]")
    pair = Fields({"shortest": bounds[0], "longest": bounds[1]})
    shortest = pair.integer("shortest", 0, _DELAY_MS_MAX)
    return shortest, pair.integer("longest", shortest, _DELAY_MS_MAX)


def _read(tx: Tx, name: str) -> dict[str, Any]:
    row = tx.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
    stored: dict[str, Any] = orjson.loads(row["value"]) if row else {}
    return stored


def _write(tx: Tx, name: str, value: dict[str, object]) -> None:
    tx.execute(
        """
        INSERT INTO setting (name, value) VALUES (?, ?)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value
        """,
        (name, orjson.dumps(value).decode()),
    )
