"""What waits, over all tenants, for the metrics."""

from counterfoil.migrate import run_body

revision = "0009"
down_revision = "0005"


def upgrade() -> None:
    run_body("0009_figures.sql")
