"""Shops in a browser: allowed origins, publishable keys, customer tokens."""

from counterfoil.migrate import run_body

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_body("0006_storefronts.sql")
