"""How the pages say things: states, ages and instants."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from markupsafe import Markup, escape

STATES: Mapping[str, tuple[str, str]] = {
    "received": ("Received", "busy"),
    "held": ("Held: no order found", "person"),
    "awaiting_label": ("Waiting for a label", "busy"),
    "label_ready": ("Label ready", "busy"),
    "awaiting_inspection": ("Waiting for inspection", "busy"),
    "inspected": ("Inspected", "busy"),
    "settling": ("Bringing the outcome into Loop", "busy"),
    "processing": ("Processing in Loop", "busy"),
    "in_review": ("In review in Loop", "person"),
    "expired": ("Expired: nothing came", "quiet"),
    "refused": ("Refused", "quiet"),
    "cancelled": ("Cancelled", "quiet"),
    "stuck": ("Stuck", "bad"),
    "closed": ("Closed", "good"),
}
"""Each state in words, and its tone."""

AGES = {"1": "1 day", "3": "3 days", "7": "a week", "14": "2 weeks", "30": "a month", "90": "3 months"}
"""How long a return has not changed, in days."""

SPANS = {"28": "4 weeks", "90": "3 months", "365": "a year"}
"""Of how many days the insights are."""

_WORDS = {
    "rma_page": "Amazon's return page",
    "amazon_shipping": "Amazon Shipping",
    "easypost": "EasyPost",
    "not_returnable": "not returnable",
    "no": "",
    "wanted": "to be given back",
    "done": "given back",
    "kept": "kept",
    "pre_transit": "not scanned yet",
    "new": "not scanned yet",
}
_CODE = re.compile(r"`([^`]+)`")
_UNITS = ((86400 * 365, "year"), (86400 * 7, "week"), (86400, "day"), (3600, "hour"), (60, "minute"))


CONDITIONS = {
    "Sellable": "sellable",
    "Defective": "defective",
    "CustomerDamaged": "damaged by customer",
    "CarrierDamaged": "damaged by carrier",
    "FulfillerDamaged": "damaged at Amazon",
    "missing": "never came",
    "absent": "not given",
    "": "not given",
}


def condition(name: str) -> str:
    """A condition in words; an unknown one is Amazon's."""
    return CONDITIONS.get(name, name)


def state(name: str) -> str:
    """A state in words."""
    return STATES.get(name, (plain(name), ""))[0]


def tone(name: str) -> str:
    """The tone of a state: bad, person, busy, good or quiet."""
    return STATES.get(name, ("", "quiet"))[1]


def plain(value: object) -> str:
    """A word of the program in words of people."""
    text = str(value if value is not None else "")
    return _WORDS.get(text, text.replace("_", " "))


def parse(at: str) -> datetime:
    """An instant of an answer."""
    return datetime.fromisoformat(at)


def stamp(at: str | None) -> str:
    """`29 Nov 2026, 04:05`, in UTC."""
    return parse(at).astimezone(UTC).strftime("%-d %b %Y, %H:%M") if at else ""


def age(at: str | None, now: float) -> str:
    """`3 days ago`, `in 2 hours`, `just now`."""
    if not at:
        return ""
    seconds = now - parse(at).timestamp()
    size = abs(seconds)
    if size < 60:
        return "just now" if seconds >= 0 else "in a moment"
    length, unit = next(one for one in _UNITS if size >= one[0])
    count = int(size // length)
    words = f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{words} ago" if seconds > 0 else f"in {words}"


def advice(text: str) -> Markup:
    """With what is between backticks in the program's type."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just before


def sentence(text: str) -> str:
    """With a capital letter and a full stop, and no second one."""
    text = text.strip()
    begin = text[:1] if text.startswith("mcfd") else text[:1].upper()
    return f"{begin}{text[1:].rstrip('.')}." if text else ""
