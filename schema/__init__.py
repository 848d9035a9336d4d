"""What clients see: the GraphQL types, their directives and scalars, and the endpoint."""
