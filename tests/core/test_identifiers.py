from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.identifiers import PREFIXES, MalformedId, decode, encode, new_id, split


def test_fresh_ids_are_version_7_and_rise() -> None:
    ids = [new_id() for _ in range(1000)]

    assert {id.version for id in ids} == {7}
    assert len(set(ids)) == 1000
    assert [str(id)[:13] for id in ids] == sorted(str(id)[:13] for id in ids)


@given(st.uuids(), st.sampled_from(sorted(PREFIXES)))
def test_a_public_id_reads_back(id: UUID, prefix: str) -> None:
    assert decode(prefix, encode(prefix, id)) == id
    assert split(encode(prefix, id)) == (prefix, id)


def test_an_id_of_another_kind_is_refused() -> None:
    with pytest.raises(MalformedId):
        decode("pay", encode("ref", new_id()))


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(MalformedId):
        decode("pay", text)
    with pytest.raises(MalformedId):
        split(text)
