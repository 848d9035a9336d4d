"""What waits, over all tenants, for the metrics."""

from counterfoil.migrate import run_body

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_body("0008_figures.sql")
