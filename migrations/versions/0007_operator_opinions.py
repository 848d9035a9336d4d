"""What administrators say became of an operation, before a second one agrees."""

from counterfoil.migrate import run_body

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_body("0007_operator_opinions.sql")
