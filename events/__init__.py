"""Facts for the world: their catalogue, the outbox, its sequencer, and the feed that follows it."""

from events.catalogue import Event, Subject
from events.feed import Feed, Watch
from events.metrics import EventMetrics, measure_outbox
from events.outbox import append, insert_from, outbox_rows
from events.sequencer import Sequencer

__all__ = [
    "Event",
    "EventMetrics",
    "Feed",
    "Sequencer",
    "Subject",
    "Watch",
    "append",
    "insert_from",
    "measure_outbox",
    "outbox_rows",
]
