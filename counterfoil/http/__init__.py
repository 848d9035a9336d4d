"""What stands around every route: correlation id, span, log line, figures, security headers, body
cap; and health.

    Envelope → BodyLimit → routes

CrossOrigin and SameOriginSockets stand around single routes. Plain ASGI: nothing is buffered, a
response that streams keeps streaming.
"""

from counterfoil.http.cross_origin import CrossOrigin, SameOriginSockets, foreign_origin
from counterfoil.http.figures import HttpMetrics
from counterfoil.http.health import Health, health_routes
from counterfoil.http.middleware import BodyLimit, Envelope
from counterfoil.http.routes import route_of

__all__ = [
    "BodyLimit",
    "CrossOrigin",
    "Envelope",
    "Health",
    "HttpMetrics",
    "SameOriginSockets",
    "foreign_origin",
    "health_routes",
    "route_of",
]
