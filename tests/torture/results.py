"""What the scenarios found: said while they run, and once more as a table at the end."""

import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

_SCREEN = Console(stderr=True, width=150, highlight=False)


class Violated(AssertionError):
    """Something the product promises is not so. Every violation is one line."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        shown = "\n  ".join(problems[:20])
        super().__init__(f"{len(problems)} violations\n  {shown}")


def demand(condition: object, what: str) -> None:
    """Raises: Violated."""
    if not condition:
        raise Violated(what)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the final table."""

    scenario: str
    found: str
    seconds: float
    passed: bool


@dataclass
class Results:
    """Everything found so far."""

    rows: list[Row] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def say(self, line: str) -> None:
        """Progress, with the seconds since the beginning."""
        _SCREEN.print(f"[{time.monotonic() - self.started:6.1f} s] {line}", markup=False)

    def record(self, scenario: str, found: str, seconds: float, *, passed: bool) -> None:
        self.rows.append(Row(scenario, found, seconds, passed))
        self.say(f"{'held' if passed else 'VIOLATED'}: {scenario}: {found}")

    def print_table(self) -> None:
        table = Table("scenario", "found", "seconds", "", title="Torture", show_lines=False)
        for row in self.rows:
            verdict = "[green]held[/]" if row.passed else "[red]violated[/]"
            table.add_row(row.scenario, row.found, f"{row.seconds:.1f}", verdict)
        _SCREEN.print(table)


RESULTS = Results()
