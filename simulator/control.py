"""The test's side: accounts, faults, webhook policy, the dashboard, and the log to ask."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Final

import orjson

from simulator import accounts, faults, movements, settings
from simulator.books import Tx
from simulator.events import queue_copies
from simulator.fields import Fields
from simulator.movements import MovementOrder
from simulator.payments import Origin, find_any
from simulator.problems import Refused, not_found
from simulator.times import now_ms, rfc3339

Answer = Mapping[str, object]
PAGE_MAX: Final = 1000
_REFLOW_MS: Final = 300


def register_account(tx: Tx, fields: Fields) -> Answer:
    account = accounts.register(tx, fields)
    return {"name": account.name, "webhook_url": account.webhook_url}


def list_accounts(tx: Tx, fields: Fields) -> Answer:
    fields.done()
    found = accounts.list_all(tx)
    return {"data": [{"name": one.name, "webhook_url": one.webhook_url} for one in found]}


def change_config(tx: Tx, fields: Fields) -> Answer:
    return asdict(settings.change_pace(tx, fields))


def script_faults(tx: Tx, fields: Fields) -> Answer:
    return {"data": faults.replace_script(tx, fields)}


def list_faults(tx: Tx, fields: Fields) -> Answer:
    fields.done()
    return {"data": faults.list_rules(tx)}


def clear_faults(tx: Tx, fields: Fields) -> Answer:
    fields.done()
    faults.clear(tx)
    return {"data": []}


def change_webhooks(tx: Tx, fields: Fields) -> Answer:
    """Set the policy; ending a pause lets go of what was held."""
    policy = settings.change_webhook_policy(tx, fields)
    released = 0 if policy.pause else _release(tx, None, seed=policy.seed, reorder=policy.reorder)
    return {**asdict(policy), "released": released}


def flush_webhooks(tx: Tx, fields: Fields) -> Answer:
    """Send everything that is held or waiting now, also while paused."""
    account = fields.text_or_none("account")
    fields.done()
    policy = settings.read_webhook_policy(tx)
    return {"released": _release(tx, account, seed=policy.seed, reorder=policy.reorder)}


def _release(tx: Tx, account: str | None, *, seed: int, reorder: bool) -> int:
    """Make held and waiting copies due: in order, or shuffled over a short while."""
    spread = f"abs(({seed} + id) * 2654435761 % {_REFLOW_MS})" if reorder else "0"
    changed = tx.execute(
        f"""
        UPDATE delivery SET state = 'pending', due_ms = ? + {spread}
        WHERE state IN ('held', 'pending') AND (?2 IS NULL OR account = ?2)
        """,
        (now_ms(), account),
    )
    return changed.rowcount


def redeliver_webhooks(tx: Tx, fields: Fields) -> Answer:
    """Queue further copies of the events named by id, reference or payment, or of all."""
    times = fields.integer("times", 1, 20_000, 1)
    names = ("event", "reference", "payment", "account")
    wanted = {name: fields.text_or_none(name) for name in names}
    fields.done()
    events = tx.execute(
        """
        SELECT id FROM event
        WHERE (?1 IS NULL OR id = ?1) AND (?2 IS NULL OR reference = ?2)
          AND (?3 IS NULL OR payment = ?3) AND (?4 IS NULL OR account = ?4)
        ORDER BY sequence
        """,
        tuple(wanted[name] for name in names),
    ).fetchall()
    if not events:
        raise not_found("event")
    return {"events": len(events), "queued": sum(queue_copies(tx, e["id"], times) for e in events)}


def list_webhooks(tx: Tx, fields: Fields) -> Answer:
    """Deliveries in order of their making, and how many are still to go."""
    account, reference, after, limit = _page_of(fields)
    state = fields.text_or_none("state")
    fields.done()
    rows = tx.execute(
        """
        SELECT delivery.*, event.type, event.reference, event.payment, event.sequence
        FROM delivery JOIN event ON event.id = delivery.event
        WHERE delivery.id > ?1 AND (?2 IS NULL OR delivery.account = ?2)
          AND (?3 IS NULL OR event.reference = ?3) AND (?4 IS NULL OR delivery.state = ?4)
        ORDER BY delivery.id LIMIT ?5
        """,
        (after, account, reference, state, limit),
    ).fetchall()
    open_count = tx.execute(
        """
        SELECT count(*) FROM delivery
        WHERE state IN ('held', 'pending') AND (?1 IS NULL OR account = ?1)
        """,
        (account,),
    ).fetchone()[0]
    found = [{**dict(row), "statuses": orjson.loads(row["statuses"])} for row in rows]
    return {"open": open_count, "data": found, "next_after": _next_after(rows, "id", limit)}


def read_log(tx: Tx, fields: Fields) -> Answer:
    """One page of the effects (or requests), oldest first. `after` is the last `seq` seen."""
    kind = fields.text_or_none("kind") or "effects"
    account, reference, after, limit = _page_of(fields)
    payment = fields.text_or_none("payment")
    fields.done()
    if kind not in {"effects", "requests"}:
        raise Refused(400, "parameter_invalid", "effects or requests", parameter="kind")
    of_payment = "AND (?4 IS NULL OR payment = ?4)" if kind == "effects" else "AND ?4 IS NULL"
    rows = tx.execute(
        f"""
        SELECT * FROM {"effect" if kind == "effects" else "request"}
        WHERE seq > ?1 AND (?2 IS NULL OR account = ?2) AND (?3 IS NULL OR reference = ?3)
          {of_payment}
        ORDER BY seq LIMIT ?5
        """,
        (after, account, reference, payment, limit),
    ).fetchall()
    found = [_log_line(dict(row)) for row in rows]
    return {"data": found, "next_after": _next_after(rows, "seq", limit)}


def read_log_summary(tx: Tx, fields: Fields) -> Answer:
    """Totals by account, kind and currency; references with more than one effect or key."""
    account = fields.text_or_none("account")
    fields.done()
    totals = tx.execute(
        """
        SELECT account, kind, currency, count(*) AS count, sum(amount) AS amount, sum(fee) AS fee
        FROM effect WHERE ?1 IS NULL OR account = ?1
        GROUP BY account, kind, currency ORDER BY account, kind, currency
        """,
        (account,),
    ).fetchall()
    repeated = tx.execute(
        """
        SELECT reference, count(*) AS effects, count(DISTINCT account) AS accounts,
          count(DISTINCT idempotency_key) AS keys
        FROM effect WHERE reference IS NOT NULL AND (?1 IS NULL OR account = ?1)
        GROUP BY reference HAVING count(*) > 1 ORDER BY reference LIMIT ?2
        """,
        (account, PAGE_MAX),
    ).fetchall()
    requests = tx.execute(
        "SELECT count(*) FROM request WHERE ?1 IS NULL OR account = ?1", (account,)
    ).fetchone()[0]
    return {
        "requests": requests,
        "effects": sum(row["count"] for row in totals),
        "totals": [dict(row) for row in totals],
        "repeated": [dict(row) for row in repeated],
    }


def dashboard_refund(tx: Tx, fields: Fields) -> Answer:
    payment, order = _dashboard_order(tx, fields)
    return movements.refund(tx, Origin(payment["account"], by="dashboard"), payment, order)


def dashboard_capture(tx: Tx, fields: Fields) -> Answer:
    payment, order = _dashboard_order(tx, fields)
    return movements.capture(tx, Origin(payment["account"], by="dashboard"), payment, order)


def dashboard_expire(tx: Tx, fields: Fields) -> Answer:
    payment = find_any(tx, fields.text("payment"))
    fields.done()
    return movements.expire(tx, payment)


def dashboard_fail_refund(tx: Tx, fields: Fields) -> Answer:
    refund = fields.text("refund")
    fields.done()
    return movements.fail_refund(tx, refund)


def _dashboard_order(tx: Tx, fields: Fields) -> tuple[sqlite3.Row, MovementOrder]:
    payment = find_any(tx, fields.text("payment"))
    amount = fields.amount_or_none()
    final = fields.boolean("final", default=True)
    fields.done()
    return payment, MovementOrder(None, amount, final=final)


def _page_of(fields: Fields) -> tuple[str | None, str | None, int, int]:
    """Account, reference, after and limit: what every list understands."""
    return (
        fields.text_or_none("account"),
        fields.text_or_none("reference"),
        fields.integer("after", 0, 2**62, 0),
        fields.integer("limit", 1, PAGE_MAX, 100),
    )


def _next_after(rows: list[sqlite3.Row], column: str, limit: int) -> int | None:
    """Where the next page begins; None after the last one."""
    return rows[-1][column] if len(rows) == limit else None


def _log_line(row: dict[str, object]) -> Answer:
    at_ms = row.pop("at_ms")
    assert isinstance(at_ms, int)
    return {**row, "at": rfc3339(at_ms)}


Handler = Callable[[Tx, Fields], Answer]
ROUTES: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "/_accounts", list_accounts),
    ("POST", "/_accounts", register_account),
    ("POST", "/_config", change_config),
    ("GET", "/_faults", list_faults),
    ("POST", "/_faults", script_faults),
    ("DELETE", "/_faults", clear_faults),
    ("GET", "/_webhooks", list_webhooks),
    ("POST", "/_webhooks", change_webhooks),
    ("POST", "/_webhooks/flush", flush_webhooks),
    ("POST", "/_webhooks/redeliver", redeliver_webhooks),
    ("GET", "/_log", read_log),
    ("GET", "/_log/summary", read_log_summary),
    ("POST", "/_dashboard/refunds", dashboard_refund),
    ("POST", "/_dashboard/captures", dashboard_capture),
    ("POST", "/_dashboard/expire", dashboard_expire),
    ("POST", "/_dashboard/refund_failures", dashboard_fail_refund),
)
"""Method, path and what it does. GET takes its fields from the query string."""
