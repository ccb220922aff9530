"""Names derived from the return instead of drawn at random, so that a repeated call finds what the first one made."""

import hashlib
import re
from collections.abc import Sequence

from daemon.domain.copies import replace
from daemon.domain.portal import PortalNote
from daemon.domain.returns import Note, Return

OWN_ITEM = "mcfd-"
ID_LIMIT = 80  # createFulfillmentReturn, sellerReturnItemId
NOTE_LIMIT = 250
_BETWEEN_NOTES = re.compile(r" (?=\[mcfd [0-9a-f]{8}\] )")


def return_item_id(shop: str, return_id: str, line_id: str, part: int, number: int = 1) -> str:
    """The id we give a unit at Amazon: the same on every repeat; ASCII, at most 80 characters.

    `number` counts the ids of one unit, since another return may have taken over the first.
    """
    place = str(part) if number == 1 else f"{part}.{number}"
    plain = f"{OWN_ITEM}{shop}-{return_id}-{line_id}-{place}"
    readable = "-" not in return_id + line_id  # otherwise two units could share one id
    if readable and len(plain) <= ID_LIMIT and plain.isascii() and plain.isprintable():
        return plain
    names = "".join(f"{len(name)}:{name}" for name in (shop, return_id, line_id, place))
    return OWN_ITEM + hashlib.sha256(names.encode()).hexdigest()[:40]


def holder_of(item_id: str, shop: str) -> tuple[str, str] | None:
    """The return and line that an id of ours was made for, if the id is readable and the shop's."""
    parts = item_id.removeprefix(f"{OWN_ITEM}{shop}-").split("-")
    if not item_id.startswith(f"{OWN_ITEM}{shop}-") or len(parts) != 3 or not all(parts):
        return None
    return parts[0], parts[1]


def note_marker(ret: Return, key: str) -> str:
    """A short stable marker at the start of a note, used to find the note in the portal's list."""
    digest = hashlib.sha256(f"{ret.own_shop}/{ret.return_id}/{key}".encode()).hexdigest()
    return f"[mcfd {digest[:8]}]"


def joined_notes(ret: Return, notes: Sequence[Note]) -> list[tuple[Note, ...]]:
    """Groups of notes, in order, of which each fits into one note of the portal."""
    groups: list[tuple[Note, ...]] = []
    for note in notes:
        longer = (*groups[-1], note) if groups else (note,)
        if groups and len(joined_text(ret, longer)) <= NOTE_LIMIT:
            groups[-1] = longer
        else:
            groups.append((note,))
    return groups


def joined_text(ret: Return, notes: Sequence[Note]) -> str:
    """Several notes as one text, each after its marker."""
    return " ".join(note_text(ret, note) for note in notes)


def told_apart(notes: Sequence[PortalNote]) -> list[PortalNote]:
    """The notes of a timeline, with those that were written as one text each by itself."""
    return [replace(note, text=text) for note in notes for text in _BETWEEN_NOTES.split(note.text)]


def note_text(ret: Return, note: Note) -> str:
    """The whole note, marker first, within the portal's limit (by code point)."""
    text = f"{note_marker(ret, note.key)} {note.text}"
    return text if len(text) <= NOTE_LIMIT else text[: NOTE_LIMIT - 1] + "…"
