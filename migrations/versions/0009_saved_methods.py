"""Methods that customers keep for their next payment."""

from counterfoil.migrate import run_body

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_body("0009_saved_methods.sql")
