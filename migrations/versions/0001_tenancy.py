"""Tenants, keys, audit log, provider accounts."""

from counterfoil.migrate import run_body

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_body("0001_tenancy.sql")
