"""What clients see: the GraphQL types, their directives and scalars, and the endpoint.

build()         both views: the full schema, and the storefront's
export_sdl()    the full schema as text
"""

from schema.build import build, export_sdl

__all__ = ["build", "export_sdl"]
