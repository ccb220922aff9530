import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.discretion import strike

ROWAN = ("Rowan Müller-Pike", "18 Larch Row", "Flat 2", "Boise", "ID", "83702", "+1 (208) 555-0142")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("The order is too old.", "The order is too old."),
        ("Invalid address for ROWAN MÜLLER-PIKE", "Invalid address for […]"),
        ("unknown: 'Mueller', 'MULLER', 'Mu\u0308ller'", "unknown: '[…]'"),
        ("no route to 18 Larch Row, Flat 2, Boise ID 83702-1234", "no route to […]"),
        ("call 2085550142 or 208-555-0142 or +12085550142.", "call […] or […] or […]."),
        ("RowanPike is unknown", "[…] is unknown"),
        ("the line '18 Lar", "the line '[…]"),
        ("addressLine1=18%20Larch%20Row is refused", "[…] is refused"),
        ("refused: R\\u006fwan, rowan.pike@example.net", "refused: […]"),
        ("\uff32\uff4f\uff57\uff41\uff4e is refused", "[…] is refused"),
        ("Rowan Pike, 18 Larch Row", ""),
        ("", ""),
    ],
)
def test_no_word_of_the_shoppers_is_left(said, kept):
    """However a vendor spells, joins, cuts or encodes what it was sent, only the other words are kept."""
    assert strike(said, ROWAN) == kept


def test_a_name_that_no_blank_sets_apart_is_struck_with_what_it_is_part_of():
    """In Chinese, words are not set apart, and two letters are a name."""
    assert strike("收件人张伟无效 (refused)", ["张伟"]) == "[…] (refused)"


def test_short_words_are_struck_only_where_they_stand_alone():
    """A shopper named Li does not make every list unreadable."""
    assert strike("The list says: Li is absent", ["Li"]) == "The list says: […] is absent"


@pytest.mark.parametrize("private", [(), ("",), (" ", "…")])
def test_without_anything_to_go_by_nothing_is_kept(private):
    """Who cannot tell what is private cannot tell what is not."""
    assert strike("Invalid address for Rowan Pike", private) == ""


@given(st.text(max_size=40), st.lists(st.text(alphabet=st.characters(categories=["L", "N"]), min_size=4), min_size=1))
def test_nothing_private_survives(before, private):
    """Whatever is said around it, a private word is never in what is kept."""
    kept = strike(f"{before} {private[0]} after", private)
    assert private[0].casefold() not in kept.casefold().split()
