"""Facts for the world: their catalogue, the outbox, its sequencer, and the feed that follows it."""

from events.catalogue import Event, Subject
from events.feed import Feed, Watch
from events.metrics import EventMetrics, measure_outbox
from events.outbox import append
from events.sequencer import Sequencer

__all__ = [
    "Event",
    "EventMetrics",
    "Feed",
    "Sequencer",
    "Subject",
    "Watch",
    "append",
    "measure_outbox",
]
