"""A process that is the sequencer, or stands by, until it is killed.

python -m tests.events.holder DATABASE_URL
"""

import asyncio
import random
import sys

from prometheus_client import CollectorRegistry

from core.database import Database, DatabaseSettings
from events import EventMetrics, Sequencer


async def main(url: str) -> None:
    database = await Database.open(DatabaseSettings(url, pool_size=2))
    metrics = EventMetrics(CollectorRegistry())
    await Sequencer(database, random.Random(1), metrics).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
