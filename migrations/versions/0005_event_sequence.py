"""The sequence of events: who numbers them, and how readers follow."""

from counterfoil.migrate import run_body

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_body("0005_event_sequence.sql")
