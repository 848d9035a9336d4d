"""Payments, attempts, operations, evidence."""

from counterfoil.migrate import run_body

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_body("0003_payments.sql")
