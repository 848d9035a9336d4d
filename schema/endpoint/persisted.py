"""Operations known by an id, so that their text need not be sent, or may not be.

off     ids are not understood
allow   ids and texts; a client may also register a text under its SHA-256 (Apollo's protocol)
only    nothing runs but what the operator kept: an id, or exactly one of the kept texts

Source: https://www.apollographql.com/docs/graphos/operations/apq,
https://relay.dev/docs/guides/persisted-queries/,
https://github.com/graphql/graphql-over-http (appendix "Persisted Documents")
"""

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from core.errors import Rejected
from schema.endpoint.problems import HttpProblem, Refusal
from schema.endpoint.request import GraphQLRequest

PersistedMode = Literal["off", "allow", "only"]

ID_LENGTH_MAX: Final = 200
_REGISTERED_MAX: Final = 1_000
_REGISTERED_CHARACTERS_MAX: Final = 4_000_000


class BadPersistedOperation(Rejected):
    """A persisted operation cannot be used."""

    code = "BAD_PERSISTED_OPERATION"


@dataclass(slots=True)
class PersistedOperations:
    """What one endpoint knows by id: kept by the operator, and registered by clients for a while.

    What clients register is bounded, the least recently used go first.
    """

    mode: PersistedMode = "off"
    kept: Mapping[str, str] = field(default_factory=dict)
    _texts: frozenset[str] = field(init=False)
    _by_hash: Mapping[str, str] = field(init=False)
    _registered: OrderedDict[str, str] = field(default_factory=OrderedDict)
    _characters: int = 0

    def __post_init__(self) -> None:
        self._texts = frozenset(self.kept.values())
        self._by_hash = {_hash_of(text): text for text in self._texts}

    def text_of(self, asked: GraphQLRequest) -> str:
        """The text that is to run. Raises: Refusal, HttpProblem."""
        if self.mode == "off":
            return _given(asked, "PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported")
        if asked.query is None:
            found = self._find(asked)
            return found or _given(asked, "PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")
        self._check_agreement(asked, asked.query)
        if self.mode == "only" and asked.query not in self._texts:
            message = "Only operations known to the server are carried out here."
            raise Refusal.because("PERSISTED_OPERATIONS_ONLY", message)
        return asked.query

    def register(self, asked: GraphQLRequest) -> None:
        """A good text came with its hash: from now on the hash will do, where that is allowed."""
        text, hash = asked.query, asked.sha256
        if self.mode != "allow" or text is None or hash is None or hash in self._by_hash:
            return
        if hash not in self._registered:
            self._characters += len(text)
        self._registered[hash] = text
        self._registered.move_to_end(hash)
        while (
            len(self._registered) > _REGISTERED_MAX or self._characters > _REGISTERED_CHARACTERS_MAX
        ):
            _, dropped = self._registered.popitem(last=False)
            self._characters -= len(dropped)

    def _find(self, asked: GraphQLRequest) -> str | None:
        if asked.document_id is not None:
            return self.kept.get(asked.document_id) or self._of_hash(asked.document_id)
        return self._of_hash(asked.sha256 or "")

    def _of_hash(self, hash: str) -> str | None:
        if hash in self._registered:
            self._registered.move_to_end(hash)
            return self._registered[hash]
        return self._by_hash.get(hash.removeprefix("sha256:"))

    def _check_agreement(self, asked: GraphQLRequest, text: str) -> None:
        """An id and a text that were sent together mean the same. Raises: HttpProblem."""
        if asked.sha256 is not None and asked.sha256 != _hash_of(text):
            message = "provided sha does not match query"  # Apollo's words
            raise HttpProblem(400, "PERSISTED_QUERY_HASH_MISMATCH", message)
        if asked.document_id is not None and self._find(asked) not in {None, text}:
            raise HttpProblem(400, "BAD_REQUEST", "The id names another text than was sent.")


def read_operations(path: Path) -> dict[str, str]:
    """Operations by id from a JSON file `{id: text}` as Relay writes it, or a folder of such.

    Raises: BadPersistedOperation.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise BadPersistedOperation(folder=str(path), problem="there is no .json file in it")
    found: dict[str, str] = {}
    for file in files:
        for id, text in _read(file).items():
            if found.setdefault(id, text) != text:
                raise BadPersistedOperation(file=str(file), id=id, problem="it has two texts")
    return found


def _read(file: Path) -> dict[str, str]:
    try:
        operations = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadPersistedOperation(file=str(file), problem=error.strerror) from None
    except (ValueError, RecursionError):
        raise BadPersistedOperation(file=str(file), problem="it is not JSON") from None
    if not isinstance(operations, dict) or not operations:
        raise BadPersistedOperation(file=str(file), problem="it is no object {id: text}")
    for id, text in operations.items():
        if not 0 < len(id) <= ID_LENGTH_MAX or not isinstance(text, str):
            raise BadPersistedOperation(file=str(file), id=id[:80], problem="it is no text")
    return operations


def _given(asked: GraphQLRequest, code: str, message: str) -> str:
    """The text itself. Raises: Refusal, whose message Apollo's clients understand."""
    if asked.query is None:
        raise Refusal.because(code, message)
    return asked.query


def _hash_of(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
