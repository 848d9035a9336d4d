"""Callers, what they waited, and what it cost the process that answered."""

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture.wire import at_once

Ask = Callable[[int], Awaitable[None]]
"""Sends request number n and fails unless the answer is right."""

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Latencies:
    """Seconds each request took."""

    seconds: list[float] = field(default_factory=list)

    def quantile(self, part: float) -> float:
        """In milliseconds: the smallest that `part` of all did not exceed."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[max(0, math.ceil(part * len(ordered)) - 1)]


async def closed_loop(ask: Ask, *, callers: int, count: int) -> Latencies:
    """So many callers, each asking again as soon as it is answered."""
    found = Latencies()

    async def timed(number: int) -> None:
        started = time.perf_counter()
        await ask(number)
        found.seconds.append(time.perf_counter() - started)

    await at_once(callers, count, timed)
    return found


async def open_loop(ask: Ask, *, per_second: float, seconds: float) -> Latencies:
    """Requests at a steady pace whatever the answers do; each is timed from when it was due."""
    found = Latencies()
    begin = time.perf_counter()

    async def timed(number: int) -> None:
        due = begin + number / per_second
        await asyncio.sleep(due - time.perf_counter())
        await ask(number)
        found.seconds.append(time.perf_counter() - due)

    async with asyncio.TaskGroup() as tasks:
        for number in range(round(per_second * seconds)):
            tasks.create_task(timed(number))
    return found


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, its own and the kernel's for it (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_megabytes(pid: int) -> float:
    """What of a process is in memory (proc(5), statm)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6
