"""Which route answered."""

from collections.abc import Mapping
from typing import Final

from starlette.types import Scope

UNMATCHED: Final = "unmatched"


def route_of(scope: Scope) -> str:
    """The template of the route that answered: `/webhooks/{account}`; "unmatched" if none did."""
    if "endpoint" not in scope:
        return UNMATCHED
    path, params = str(scope["path"]), scope.get("path_params")
    assert isinstance(params, Mapping)
    for name, value in params.items():
        if "/" in str(value):  # the rest of the path, whatever it is
            return f"{path.removesuffix(str(value))}{{{name}}}"
    names = {str(value): f"{{{name}}}" for name, value in params.items()}
    return "/".join(names.get(part, part) for part in path.split("/"))
