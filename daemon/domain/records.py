"""What is kept around the returns, as operators and the nightly work meet it: plain values."""

from dataclasses import dataclass, field
from enum import StrEnum

SEALED = "sealed:"
"""How a text begins that is stored encrypted, in base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRow:
    """A dead letter without its content. `letter_id` is ours alone."""

    letter_id: int
    shop: str
    reason: str
    received_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonSeen:
    """What shoppers of a shop gave as reason, and for how many units."""

    shop: str
    parent_reason: str
    reason: str
    units: int


class Shelf(StrEnum):
    """Where sealed values lie."""

    DOCUMENTS = "documents"
    DEAD_LETTERS = "dead_letters"
    OFFERS = "offers"
    LINKS = "links"
    MARKS = "marks"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedValue:
    """One sealed value: bytes, or a text that begins with SEALED. `about` is the name or shop of what it is."""

    shelf: Shelf
    key: tuple[int | str, ...]
    about: str
    sealed: bytes | str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSize:
    """How large the database is, in bytes; `finding` is what is wrong with it, or empty."""

    size: int
    unused: int
    log: int
    disk_free: int
    finding: str
