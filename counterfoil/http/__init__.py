"""What stands around every route: correlation id, access log, security headers, body cap, health.

    CorrelationId → AccessLog → SecurityHeaders → BodyLimit → routes

Plain ASGI: nothing is buffered, a response that streams keeps streaming.
"""

from counterfoil.http.cross_origin import CrossOrigin, SameOriginSockets, foreign_origin
from counterfoil.http.health import Health, health_routes
from counterfoil.http.middleware import AccessLog, BodyLimit, CorrelationId, SecurityHeaders

__all__ = [
    "AccessLog",
    "BodyLimit",
    "CorrelationId",
    "CrossOrigin",
    "Health",
    "SameOriginSockets",
    "SecurityHeaders",
    "foreign_origin",
    "health_routes",
]
