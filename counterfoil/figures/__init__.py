"""Figures of the process as a whole: what waits in the database, how busy the process itself is.

What a part does (a provider call, a callback, an event) that part counts itself.
"""

from counterfoil.figures.process import count_process, keep_watching_loop
from counterfoil.figures.waiting import WaitingMetrics, keep_measuring, measure_waiting

__all__ = [
    "WaitingMetrics",
    "count_process",
    "keep_measuring",
    "keep_watching_loop",
    "measure_waiting",
]
