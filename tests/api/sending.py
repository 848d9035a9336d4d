"""Ways to send what a well-behaved client would not, and what must come back."""

import json
from typing import Any

import httpx

from tests.api import inputs
from tests.api.gateway import FULL, Shop, assert_typed


def post(shop: Shop, body: bytes, path: str = FULL, **headers: str) -> httpx.Response:
    named = {"authorization": f"Bearer {shop.key}", "content-type": "application/json", **headers}
    return shop.gateway.client.post(path, content=body, headers=named)


def mutate(shop: Shop, mutation: str, input: Any) -> httpx.Response:
    """As JSON in which anything may stand: lone surrogates as escapes, big integers as they are."""
    body = {"query": inputs.document_of(mutation), "variables": {"input": input}}
    return post(shop, json.dumps(body).encode())


def assert_refused(answer: httpx.Response, mutation: str, way: inputs.Way, label: str) -> None:
    """Refused before execution with a code, or by a ValidationError that names the field."""
    if assert_typed(answer, label):
        assert answer.json().get("data") is None, f"{label}: {answer.text}"
        return
    result = answer.json()["data"][mutation]
    if result["__typename"] == "NotFoundError":
        assert str(way[-1]).lower().endswith("id"), f"{label}: {answer.text}"
        return
    assert result["__typename"] == "ValidationError", f"{label}: {answer.text}"
    assert result["code"] == "VALIDATION"
    assert not result["retryable"]
    expected = ("input", *map(str, way))
    for problem in result["fields"]:
        path = tuple(problem["path"])
        assert path[: len(expected)] == expected or expected[: len(path)] == path, (
            f"{label}: {answer.text}"
        )
        assert problem["code"], label
        assert problem["message"], label
