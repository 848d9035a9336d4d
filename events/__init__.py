"""Facts for the world: the catalogue of events, and the outbox they are written to."""

from events.catalogue import Event, Subject
from events.outbox import append

__all__ = ["Event", "Subject", "append"]
