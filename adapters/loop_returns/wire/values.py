"""Rules for reading values as Loop spells them from a JsonObject, and its peculiar lists and objects. PURE.

Loop is written in PHP: an empty object may arrive as `[]`, a list with gaps as `{"0": …, "2": …}`, a number as text.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

from adapters.vendor_calls import json as vendor_answers
from adapters.vendor_calls.reading import JsonObject
from daemon.domain.portal import PortalState
from daemon.errors import ContractBroken

T = TypeVar("T")

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MONEY = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?")
_STATES = {**{state.value: state for state in PortalState}, "needs review": PortalState.REVIEW}
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters and halves of surrogate pairs
_NOTHING: tuple[object, ...] = (None, "", "0", "N/A", [], {}, 0)


def parse(body: bytes, what: str) -> object:
    """Read JSON. Raises ContractBroken, whose text begins with `what`."""
    return vendor_answers.parse(body, what, _finite)


def opened(value: object, what: str) -> JsonObject:
    """Open an answer, or a row of one, that must be an object. Raises ContractBroken."""
    if not isinstance(value, dict):
        raise ContractBroken(f"{what}: the answer is unreadable")
    return JsonObject(f"{what}: ", value)


def inner(node: JsonObject, name: str) -> JsonObject:
    """Return an object; an absent one is empty."""
    return JsonObject(f"{node.path}{name}.", node.read(name, _members_or_none))


def listed(value: object) -> list[object]:
    """Return a list, also one with gaps, which PHP encodes as an object with numeric keys. Raises ValueError."""
    if value and isinstance(value, dict) and all(key.isdigit() for key in value):
        return list(value.values())
    if isinstance(value, list):
        return value
    raise ValueError("not a list")


def numbered(node: JsonObject, name: str) -> JsonObject:
    """Return a list as an object whose members are numbered; an absent list is an empty one."""
    rows = node.read(name, lambda value: [] if value is None else listed(value))
    return JsonObject(f"{node.path}{name}.", {str(n): row for n, row in enumerate(rows)})


def objects(node: JsonObject, name: str) -> list[JsonObject]:
    """Return a list of objects; an absent list is an empty one."""
    rows = numbered(node, name)
    return [JsonObject(f"{rows.path}{n}.", rows.read(n, _members)) for n in rows.members]


def rows_of(value: object, key: str, what: str) -> list[object]:
    """Return the rows of a list that is the whole answer or its member `key`. Raises ContractBroken."""
    with suppress(ValueError):
        return listed(value[key] if isinstance(value, dict) and key in value else value)
    raise ContractBroken(f"{what}: {key} is not a list")


def read_hints(rows: Iterable[object], what: str, read: Callable[[JsonObject], T]) -> list[T]:
    """Read all readable rows; they are hints, and a broken one must not hide the others.

    Raises ContractBroken when there are rows but none is readable.
    """
    found: list[T] = []
    broken: ContractBroken | None = None
    for row in rows:
        try:
            found.append(read(opened(row, what)))
        except ContractBroken as error:
            broken = error
    if broken and not found:
        raise broken
    return found


def require_same(found: str, asked: str, what: str) -> None:
    """Check that the answer has the id that was asked for. Raises ContractBroken."""
    if found != asked:
        raise ContractBroken(f"{what}: id is not the one that was asked for")


def to_id(value: object) -> str:
    """Return an id, which Loop sends as a number or as text. Raises ValueError."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str) and _ID.fullmatch(text):
        return text
    raise ValueError("not an id")


def to_text(value: object) -> str:
    """Return text, or a number as text, or "" for null; blanks replace characters that cannot be stored.

    Raises ValueError.
    """
    if value is None:
        return ""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return _UNSAFE.sub(" ", str(value))
    raise ValueError("not text")


def to_word(value: object) -> str:
    """Return text that is not empty. Raises ValueError."""
    word = to_text(value)
    if not word:
        raise ValueError("empty")
    return word


def to_optional_id(value: object) -> str:
    """Return an id, or "" where there is none. Raises ValueError."""
    return "" if value in (None, "", []) else to_id(value)


def to_price(value: object) -> int | None:
    """Return cents; None without a price, which differs from a price of zero. Raises ValueError."""
    text = to_text(value).strip()
    if not text:
        return None
    if not _MONEY.fullmatch(text):
        raise ValueError("not an amount")
    return vendor_answers.cents(Decimal(text))


def to_moment(value: object) -> float | None:
    """Return a time in Unix seconds, UTC if it has no offset; None when unreadable, because it is never essential."""
    value = value.get("date") if isinstance(value, dict) else value
    try:
        moment = datetime.fromisoformat(to_text(value).strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def to_state(value: object) -> PortalState:
    """Return a state; any unknown word is UNKNOWN, which means to wait."""
    word = value.strip().casefold() if isinstance(value, str) else ""
    return _STATES.get(word, PortalState.UNKNOWN)


def to_measure(value: object) -> float | None:
    """Return a positive size or weight; None for anything else."""
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            size = float(value)
            return size if 0 < size < math.inf else None
    return None


def to_flag(value: object) -> bool:
    """Return whether a value is a plain yes."""
    return value in (True, "true", "1")  # 1 equals True


def to_given(value: object) -> bool:
    """Return whether a value is anything but empty."""
    return value not in _NOTHING


def _members(value: object) -> Mapping[str, object]:
    if isinstance(value, dict):
        return value
    raise ValueError("not an object")


def _members_or_none(value: object) -> Mapping[str, object]:
    return {} if value in (None, "", []) else _members(value)


def _finite(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        raise ValueError("too large a number")
    return number
