"""Whether a printed label leads to the fulfillment center, judged by its text.

A label with sender and receiver swapped would bring the parcel back to the shopper.
"""

import re
from enum import StrEnum

_SHIP_TO = re.compile(r"(?:ship|deliver|return|mail)\s*to\b|^\s*to\b", re.IGNORECASE | re.MULTILINE)
_ZIP = re.compile(r"(?<![\w-])(\d{5})(?:-?\d{4})?(?![\w-])")


class Direction(StrEnum):
    """What a label says about where it leads."""

    UNSEEN = "unseen"  # not checked yet
    SHOWN = "shown"  # its text names the fulfillment center as the receiver
    UNREADABLE = "unreadable"  # a picture, or text that does not tell
    WRONG = "wrong"  # its text names another place
    ACCEPTED = "accepted"  # a person has checked it


def direction_of(text: str, center_code: str, shopper_code: str) -> Direction:
    """What a label's text shows, given the postal codes of both ends."""
    center, shopper = _plain(center_code), _plain(shopper_code)
    codes = [(match.start(), match[1]) for match in _ZIP.finditer(text)]
    if not center or not codes:
        return Direction.UNREADABLE
    if all(code != center for _, code in codes):
        return Direction.WRONG
    if center == shopper or all(code != shopper for _, code in codes):
        return Direction.SHOWN
    return _told_apart(text, codes, center, shopper)


def _told_apart(text: str, codes: list[tuple[int, str]], center: str, shopper: str) -> Direction:
    """If both ends are printed, the receiver's code is the first one after the words that introduce the receiver."""
    for marker in _SHIP_TO.finditer(text):
        after = next((code for at, code in codes if at >= marker.end() and code in {center, shopper}), None)
        if after is not None:
            return Direction.SHOWN if after == center else Direction.WRONG
    return Direction.UNREADABLE


def _plain(code: str) -> str:
    match = _ZIP.search(code.strip())
    return match[1] if match else ""
