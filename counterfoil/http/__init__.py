"""What stands around every route: correlation id, access log, security headers, body cap, health.

    CorrelationId → Trace → AccessLog → SecurityHeaders → BodyLimit → routes

Around all of it requests are measured (counterfoil/figures). CrossOrigin and SameOriginSockets
stand around single routes.

Plain ASGI: nothing is buffered, a response that streams keeps streaming.
"""

from counterfoil.http.cross_origin import CrossOrigin, SameOriginSockets, foreign_origin
from counterfoil.http.health import Health, health_routes
from counterfoil.http.middleware import (
    AccessLog,
    BodyLimit,
    CorrelationId,
    SecurityHeaders,
    Trace,
)
from counterfoil.http.routes import route_of

__all__ = [
    "AccessLog",
    "BodyLimit",
    "CorrelationId",
    "CrossOrigin",
    "Health",
    "SameOriginSockets",
    "SecurityHeaders",
    "Trace",
    "foreign_origin",
    "health_routes",
    "route_of",
]
