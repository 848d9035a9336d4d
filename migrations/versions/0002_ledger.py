"""Chart, accounts, transactions, entries, holds and the posting function."""

from counterfoil.migrate import run_body

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_body("0002_ledger.sql")
    run_body("0002_ledger_post.sql")
