"""The fault script: which requests go wrong, and how. Seeded, so that a failing run repeats."""

import enum
import random
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from simulator.books import Tx
from simulator.fields import Fields
from simulator.problems import Refused, invalid

RULES_MAX: Final = 100
_DELAY_MS_MAX: Final = 10 * 60 * 1000
_METHODS: Final = frozenset({"GET", "POST"})


class FaultKind(enum.StrEnum):
    """What goes wrong. *before*: nothing happened; *after*: it happened and was written."""

    REFUSE = "refuse"
    """Before: HTTP 429, turned away."""
    HANG = "hang"
    """Before: no answer for `delay_ms`, then the connection is dropped."""
    DROP_BEFORE = "drop_before"
    """Before: the connection is dropped."""
    ERROR_500_BEFORE = "error_500_before"
    """Before: HTTP `status`."""
    DROP_AFTER = "drop_after"
    """After: the connection is dropped, `delay_ms` later."""
    ERROR_500_AFTER = "error_500_after"
    """After: HTTP `status`, frozen under the key."""
    GARBAGE = "garbage"
    """After: HTTP 200 with something that is not JSON, frozen under the key."""
    WRONG_AMOUNT = "wrong_amount"
    """After: another amount was moved, and the answer says so."""
    SLOW = "slow"
    """After: the right answer, `delay_ms` late."""


BEFORE: Final = frozenset(
    {FaultKind.REFUSE, FaultKind.HANG, FaultKind.DROP_BEFORE, FaultKind.ERROR_500_BEFORE}
)
_DELAY_MS_DEFAULT: Final[Mapping[FaultKind, int]] = {FaultKind.HANG: 30_000, FaultKind.SLOW: 1000}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong with one request."""

    kind: FaultKind
    delay_ms: int = 0
    status: int = 500


@dataclass(frozen=True, slots=True)
class Subject:
    """What a rule may match on."""

    account: str
    method: str
    path: str
    token: str | None


def decide(tx: Tx, subject: Subject) -> Fault | None:
    """The fault of the first rule that matches and fires; counts what it saw."""
    for rule in tx.execute("SELECT * FROM fault_rule ORDER BY position").fetchall():
        if _matches(orjson.loads(rule["match"]), subject) and _fires(tx, rule):
            return Fault(FaultKind(rule["fault"]), rule["delay_ms"], rule["status"])
    return None


def replace_script(tx: Tx, fields: Fields) -> list[Mapping[str, object]]:
    """Forget the rules there are and follow these."""
    seed = fields.integer("seed", 0, 2**53, 0)
    rules = fields.array_or_none("rules", RULES_MAX)
    fields.done()
    clear(tx)
    for position, rule in enumerate(rules or []):
        if not isinstance(rule, dict):
            raise invalid("rules", "must hold objects")
        _insert(tx, position, seed, Fields(rule))
    return list_rules(tx)


def clear(tx: Tx) -> None:
    tx.execute("DELETE FROM fault_rule")


def list_rules(tx: Tx) -> list[Mapping[str, object]]:
    """The rules with how often each matched and fired."""
    rows = tx.execute("SELECT * FROM fault_rule ORDER BY position").fetchall()
    return [{**dict(row), "match": orjson.loads(row["match"])} for row in rows]


def _insert(tx: Tx, position: int, seed: int, fields: Fields) -> None:
    kind = fields.text("fault")
    if kind not in set(FaultKind):
        raise Refused(400, "fault_unknown", "no such fault", parameter="fault")
    match = _read_match(fields.object_or_none("match"))
    rate = fields.number("rate", 0.0, 1.0, 1.0)
    times = fields.integer("times", 0, 2**31, -1)
    delay_default = _DELAY_MS_DEFAULT.get(FaultKind(kind), 0)
    delay_ms = fields.integer("delay_ms", 0, _DELAY_MS_MAX, delay_default)
    status = fields.integer("status", 500, 599, 500)
    fields.done()
    tx.execute(
        """
        INSERT INTO fault_rule (position, seed, match, fault, rate, times, delay_ms, status)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            position,
            seed,
            orjson.dumps(match).decode(),
            kind,
            rate,
            None if times < 0 else times,
            delay_ms,
            status,
        ),
    )


def _read_match(fields: Fields | None) -> Mapping[str, str]:
    """Path is a prefix, the rest is exact."""
    if fields is None:
        return {}
    values = {name: fields.text_or_none(name) for name in ("path", "method", "token", "account")}
    fields.done()
    if values["method"] is not None and values["method"] not in _METHODS:
        raise invalid("match.method", "must be GET or POST")
    return {name: value for name, value in values.items() if value is not None}


def _matches(match: Mapping[str, str], subject: Subject) -> bool:
    return (
        subject.path.startswith(match.get("path", ""))
        and match.get("method", subject.method) == subject.method
        and match.get("account", subject.account) == subject.account
        and match.get("token", subject.token) == subject.token
    )


def _fires(tx: Tx, rule: sqlite3.Row) -> bool:
    """Throw the rule's next die: it depends on the seed, the rule and how often it was thrown."""
    if rule["times"] is not None and rule["fired"] >= rule["times"]:
        return False
    die = random.Random(f"{rule['seed']}:{rule['position']}:{rule['seen']}")  # noqa: S311 - a test's dice
    fires: bool = die.random() < rule["rate"]
    tx.execute(
        "UPDATE fault_rule SET seen = seen + 1, fired = fired + ? WHERE position = ?",
        (fires, rule["position"]),
    )
    return fires
