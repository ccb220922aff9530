"""What is sealed can be opened by its keys alone, for its purpose alone, and as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.host.vault import SealBroken, Vault
from daemon.errors import McfdError

NEW, OLD, STRANGE = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32


@given(plain=st.binary(max_size=200), purpose=st.text(max_size=20))
def test_what_was_sealed_can_be_opened(plain, purpose):
    """Any bytes come back as they were, and are not to be seen meanwhile."""
    vault = Vault([NEW])
    sealed = vault.seal(plain, purpose)
    assert vault.unseal(sealed, purpose) == plain
    assert len(plain) < 4 or plain not in sealed


def test_the_same_text_is_sealed_differently_each_time():
    """Two sealed values tell nobody that they hold the same."""
    vault = Vault([NEW])
    assert vault.seal(b"label", "p") != vault.seal(b"label", "p")


def test_the_newest_key_seals_and_old_keys_still_open():
    """After a rotation what the old key sealed can be read, and new values no longer need it."""
    old = Vault([OLD]).seal(b"label", "p")
    rotated = Vault([NEW, OLD])
    assert rotated.unseal(old, "p") == b"label"
    assert Vault([NEW]).unseal(rotated.seal(b"label", "p"), "p") == b"label"


def test_a_key_that_was_removed_is_named_as_the_trouble():
    """Without its key a value stays shut, and the operator reads what to do."""
    sealed = Vault([OLD]).seal(b"label", "p")
    with pytest.raises(SealBroken, match="put back the key that was removed"):
        Vault([NEW, STRANGE]).unseal(sealed, "p")


def test_a_value_cannot_be_used_in_another_place():
    """The purpose is authenticated: an offer does not open as a document."""
    sealed = Vault([NEW]).seal(b"label", "postage offer")
    with pytest.raises(SealBroken, match="belongs to another place"):
        Vault([NEW]).unseal(sealed, "label document")


@pytest.mark.parametrize("at", [0, 5, 20, -1])
def test_a_flipped_bit_is_noticed(at):
    """Key mark, nonce, text and tag are all covered."""
    sealed = bytearray(Vault([NEW]).seal(b"label document", "p"))
    sealed[at] ^= 1
    with pytest.raises(SealBroken):
        Vault([NEW]).unseal(bytes(sealed), "p")


@pytest.mark.parametrize("length", [0, 3, 4, 15, 16, 20, 31])
def test_a_truncated_value_is_noticed(length):
    """Whatever is cut off, the answer is the same error."""
    sealed = Vault([NEW]).seal(b"", "p")[:length]
    with pytest.raises(SealBroken):
        Vault([NEW]).unseal(sealed, "p")


def test_its_errors_are_ours_and_tell_nothing():
    """A broken seal is an error of mcfd's whose text holds neither key nor content."""
    sealed = Vault([NEW]).seal(b"the shopper's label", "p")
    with pytest.raises(McfdError) as broken:
        Vault([STRANGE]).unseal(sealed, "p")
    assert "shopper" not in str(broken.value)
    assert STRANGE.hex() not in str(broken.value)
