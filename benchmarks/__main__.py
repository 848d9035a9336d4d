"""How fast the front door is, as ratios to a bare server that does the same work: `make bench`.

    stage.py      PostgreSQL, the product's processes and the bare one
    recording.py  the SQL and the provider call of one request, as the product makes them
    bare.py       the server to compare with: replays a recording, or only its commits
    load.py       callers, latencies, CPU and memory of a process
    measures.py   what is measured, and the ratio each may have
    report.py     the table and benchmarks/results/latest.json

Exit status 1 when a ratio was missed.
"""

import argparse
import asyncio
import sys
import time

from rich.console import Console

from benchmarks.measures import Measures
from benchmarks.report import RESULTS, Figure, print_table, write_json
from benchmarks.stage import a_stage

_SCREEN = Console(width=120, highlight=False)


async def run(scale: float) -> list[Figure]:
    """Start everything, measure everything."""
    started = time.monotonic()

    def say(line: str) -> None:
        _SCREEN.print(f"[{time.monotonic() - started:6.1f} s] {line}", markup=False)

    say("starting PostgreSQL, the simulator, the product and the bare server …")
    async with a_stage() as stage:
        return await Measures(stage, scale, say).all()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure, print, keep."
    )
    parser.add_argument("--scale", type=float, default=1.0, help="0.1 for a quick look")
    figures = asyncio.run(run(parser.parse_args().scale))
    print_table(figures, _SCREEN)
    write_json(figures)
    _SCREEN.print(f"kept in {RESULTS.name}", markup=False)
    return int(any(figure.missed for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
