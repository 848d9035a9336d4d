"""Inbox of callbacks, outbox of events."""

from counterfoil.migrate import run_body

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_body("0004_callbacks_and_events.sql")
