"""The table people read and the JSON that is kept."""

import platform
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

import orjson
from rich.console import Console
from rich.table import Table

RESULTS: Final = Path(__file__).resolve().parent / "results" / "latest.json"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: medians of the product's and the bare server's rounds, and their ratio.

    `limit` is the largest ratio that will do; None: printed for information.
    """

    name: str
    unit: str
    product: float
    bare: float
    ratio: float
    limit: float | None

    @classmethod
    def of(
        cls, name: str, unit: str, product: list[float], bare: list[float], limit: float | None
    ) -> Self:
        ours, theirs = statistics.median(product), statistics.median(bare)
        return cls(name, unit, ours, theirs, ours / theirs, limit)

    @property
    def missed(self) -> bool:
        return self.limit is not None and self.ratio > self.limit


def print_table(figures: list[Figure], screen: Console) -> None:
    """One line a figure, with its verdict."""
    table = Table("", "product", "bare", "ratio", "at most", "", title="Benchmarks")
    for figure in figures:
        verdict = (
            "" if figure.limit is None else "[red]missed[/]" if figure.missed else "[green]ok[/]"
        )
        table.add_row(
            figure.name,
            f"{figure.product:.2f} {figure.unit}",
            f"{figure.bare:.2f} {figure.unit}",
            f"{figure.ratio:.2f}",
            "" if figure.limit is None else f"{figure.limit:g}",
            verdict,
        )
    screen.print(table)


def write_json(figures: list[Figure], path: Path = RESULTS) -> None:
    """The same figures, for a machine."""
    found = {
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "python": platform.python_version(),
        },
        "figures": [{**asdict(figure), "missed": figure.missed} for figure in figures],
    }
    path.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
