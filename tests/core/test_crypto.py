import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.crypto import SealBroken, Vault, fingerprint, random_secret

vault = Vault(b"k" * 32)


@given(st.binary(max_size=200), st.text(max_size=40).filter(lambda text: text.isprintable()))
def test_what_is_sealed_opens_again(value: bytes, place: str) -> None:
    assert vault.open(vault.seal(value, place), place) == value


@given(st.integers(0, 8 * 40 - 1))
def test_one_flipped_bit_breaks_the_seal(bit: int) -> None:
    sealed = bytearray(vault.seal(b"secret value", "table.column/1"))
    sealed[bit // 8 % len(sealed)] ^= 1 << bit % 8

    with pytest.raises(SealBroken):
        vault.open(bytes(sealed), "table.column/1")


def test_a_seal_does_not_open_elsewhere_or_with_another_key() -> None:
    sealed = vault.seal(b"secret value", "table.column/1")

    with pytest.raises(SealBroken):
        vault.open(sealed, "table.column/2")
    with pytest.raises(SealBroken):
        Vault(b"x" * 32).open(sealed, "table.column/1")
    with pytest.raises(SealBroken):
        vault.open(b"", "table.column/1")


def test_two_seals_of_one_value_differ() -> None:
    assert vault.seal(b"v", "p") != vault.seal(b"v", "p")


def test_a_proof_is_stable_and_its_own_for_each_subject_and_key() -> None:
    assert vault.proof("pay_1") == vault.proof("pay_1")
    assert len({vault.proof("pay_1"), vault.proof("pay_2"), Vault(b"x" * 32).proof("pay_1")}) == 3
    assert len(vault.proof("pay_1")) == 32


def test_secrets_are_long_and_never_repeat() -> None:
    secrets = {random_secret() for _ in range(1000)}

    assert len(secrets) == 1000
    assert min(map(len, secrets)) == 40
    assert fingerprint("\ud800") != fingerprint("")
