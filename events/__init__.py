"""Facts for the world: their catalogue, the outbox they are written to, and who numbers them."""

from events.catalogue import Event, Subject
from events.metrics import EventMetrics, keep_measuring, measure
from events.outbox import append
from events.sequencer import Sequencer

__all__ = [
    "Event",
    "EventMetrics",
    "Sequencer",
    "Subject",
    "append",
    "keep_measuring",
    "measure",
]
