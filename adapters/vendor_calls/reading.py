"""Reading JSON member by member. Errors name the path of the member, never its value."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

from adapters.vendor_calls import json as vendor_answers
from daemon.errors import ContractBroken

LARGEST = Decimal(1_000_000_000)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JsonObject:
    """One JSON object. Unknown members are ignored; null and blank text count as absent.

    `path` is the text before a member's name in errors: "operation: payload.returnItems[0].".
    """

    path: str
    members: Mapping[str, object] = field(repr=False)

    def read(self, name: str, convert: Callable[[object], T]) -> T:
        """Convert a member, or None for an absent one, by a vendor's own rule, which may raise ValueError."""
        # Raised outside the handler, because the rule's ValueError as its context may show the value.
        with suppress(ValueError):
            return convert(self.members.get(name))
        raise self.broken(name, "is unreadable")

    def need(self, name: str, convert: Callable[[object], T]) -> T:
        """Convert a member that must be there, although it may be null."""
        if name not in self.members:
            raise self.broken(name, "is missing")
        return self.read(name, convert)

    def text(self, name: str) -> str:
        """Return required text."""
        value = self.optional_text(name)
        if value is None:
            raise self.broken(name, "is absent")
        return value

    def optional_text(self, name: str) -> str | None:
        """Return text as it was sent; a number counts as text, since some vendors send ids as numbers."""
        value = self.members.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is None:
            return None
        if not isinstance(value, str) or not _encodable(value):
            raise self.broken(name, "is not text")
        return value if value.strip() else None

    def count(self, name: str) -> int:
        """Return a required whole number from 0 to 2³¹ − 1, which may be written as text."""
        value = self.members.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
            raise self.broken(name, "is not a count")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean; an absent one is false."""
        value = self.members.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self.broken(name, "is not a boolean")
        return value

    def number(self, name: str) -> Decimal:
        """Return a required number from 0 to a thousand million, which may be written as text."""
        value = self.members.get(name)
        try:
            number = Decimal(value) if isinstance(value, int | str | Decimal) else None
        except ArithmeticError:
            number = None
        if isinstance(value, bool) or number is None or not number.is_finite() or not 0 <= number < LARGEST:
            raise self.broken(name, "is not an amount")
        return number

    def cents(self, name: str) -> int:
        """Return an amount of money in hundredths, rounded half up."""
        return vendor_answers.cents(self.number(name))

    def time(self, name: str) -> float:
        """Return a required ISO 8601 time in Unix seconds."""
        value = self.optional_time(name)
        if value is None:
            raise self.broken(name, "is absent")
        return value

    def optional_time(self, name: str) -> float | None:
        """Return an ISO 8601 time in Unix seconds; one without an offset is UTC."""
        text = self.optional_text(name)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            raise self.broken(name, "is not a time") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    def child(self, name: str) -> "JsonObject":
        """Return a required object."""
        node = self.optional_child(name)
        if node is None:
            raise self.broken(name, "is absent")
        return node

    def optional_child(self, name: str) -> "JsonObject | None":
        """Return an object, None when it is absent."""
        value = self.members.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.broken(name, "is not an object")
        return JsonObject(f"{self.path}{name}.", value)

    def children(self, name: str) -> tuple["JsonObject", ...]:
        """Return a list of objects; an absent list is an empty one."""
        rows = self.values(name)
        if not all(isinstance(row, dict) for row in rows):
            raise self.broken(name, "holds what is no object")
        return tuple(JsonObject(f"{self.path}{name}[{n}].", row) for n, row in enumerate(rows) if isinstance(row, dict))

    def values(self, name: str) -> list[object]:
        """Return a list as it was sent; an absent list is an empty one."""
        value = self.members.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.broken(name, "is not a list")
        return value

    def broken(self, name: str, what: str) -> ContractBroken:
        """Build the error for an unreadable member."""
        return ContractBroken(f"{self.path}{name} {what}")


def parse(operation: str, body: bytes) -> JsonObject:
    """Read an answer's body, which must be one JSON object."""
    document = vendor_answers.parse(body, operation, Decimal)
    if not isinstance(document, dict):
        raise ContractBroken(f"{operation}: the answer is JSON, but no object")
    return JsonObject(f"{operation}: ", document)


def _encodable(text: str) -> bool:
    """Whether text can be stored and sent, which half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
