"""Plans as they are made while tables are tiny, when every index looks alike."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

STATISTICS: Final = ["never analysed", "analysed while empty"]


class Planner:
    """Prepares look-ups once, as a long-lived connection does, and shows their plans."""

    def __init__(self, connection: psycopg.Connection[tuple[str]]) -> None:
        self._connection = connection
        self._prepared = 0

    def plan_of(self, question: str) -> str:
        """The generic plan of `SELECT * FROM {question}`."""
        return self.plan(f"SELECT * FROM {question}")

    def plan(self, statement: str) -> str:
        """The generic plan of a statement with the parameters $1 to $n."""
        self._prepared += 1
        name = f"q{self._prepared}"
        self._connection.execute(f"PREPARE {name} AS {statement}".encode())
        given = ", ".join(["NULL"] * len(set(re.findall(r"\$\d+", statement))))
        call = f"{name} ({given})" if given else name
        rows = self._connection.execute(f"EXPLAIN EXECUTE {call}".encode())
        return "\n".join(row[0] for row in rows)


@contextmanager
def a_planner(admin_url: str, statistics: str, role: str = "none") -> Iterator[Planner]:
    """One on a database nothing was written to, with one of the `STATISTICS`."""
    with psycopg.connect(admin_url, autocommit=True) as admin:
        if statistics == "analysed while empty":
            admin.execute("ANALYZE")
        for setting in (
            "plan_cache_mode = force_generic_plan",
            "enable_seqscan = off",
            f"role = {role}",
        ):
            admin.execute(f"SET {setting}".encode())
        yield Planner(admin)
