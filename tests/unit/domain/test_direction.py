"""Where a label leads, by its text."""

import pytest

from daemon.domain.direction import Direction, direction_of

CENTER, SHOPPER = "89506", "83702"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Rowan Pike\nBoise ID 83702\nSHIP TO:\nAmazon Returns\nReno NV 89506-1234", Direction.SHOWN),
        ("SHIP\nTO:\nAmazon Returns\nReno NV 89506\nRowan Pike 83702-0001", Direction.SHOWN),
        ("Amazon Returns Reno NV 89506", Direction.SHOWN),
        ("FROM: Amazon Reno 89506\nSHIP TO: Rowan Pike Boise 83702", Direction.WRONG),
        ("SHIP TO: Somebody, Miami FL 33101", Direction.WRONG),
        ("Boise 83702", Direction.WRONG),
        ("Boise 83702 Reno 89506", Direction.UNREADABLE),
        ("89506 then 83702 then SHIP TO nowhere", Direction.UNREADABLE),
        ("USPS TRACKING 9400100000000000000017", Direction.UNREADABLE),
        ("", Direction.UNREADABLE),
    ],
)
def test_the_receiver_is_told_by_the_text(text, seen):
    """The center's postal code must stand where the receiver stands; a picture or doubtful text tells nothing."""
    assert direction_of(text, CENTER, SHOPPER) is seen


def test_both_ends_may_share_a_postal_code():
    """A shopper who lives beside the center cannot be told apart from it, and need not be."""
    assert direction_of("SHIP TO 89506", CENTER, "89506-0001") is Direction.SHOWN


def test_a_center_without_a_postal_code_tells_nothing():
    """Without the code to look for, nothing is read out of other codes."""
    assert direction_of("SHIP TO 89506", "", SHOPPER) is Direction.UNREADABLE


def test_an_unknown_shopper_does_not_matter():
    """Without the shopper's code, the center's is enough."""
    assert direction_of("89506", CENTER, "") is Direction.SHOWN
