"""Reading values as Loop spells them. An unreadable one raises ContractBroken, which names the field, not the value.

Loop is written in PHP: an empty object may arrive as `[]`, a list with gaps as `{"0": …, "2": …}`, a number as text.
"""

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator, ValidationError

from adapters.vendor_calls import json as vendor_answers
from daemon.domain.portal import PortalState
from daemon.errors import ContractBroken

T = TypeVar("T")
M = TypeVar("M", bound="Payload")

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MONEY = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?")
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters and halves of surrogate pairs
_NOTHING: tuple[object, ...] = (None, "", "0", "N/A", [], {}, 0)


class Payload(BaseModel):
    """The members of an answer that we read; all others are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


def parse(body: bytes, what: str) -> object:
    """Read JSON. Raises ContractBroken, whose text begins with `what`."""
    return vendor_answers.parse(body, what, _finite)


def read(model: type[M], value: object, what: str) -> M:
    """Read one object. Raises ContractBroken, naming the first unreadable field."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the answer"
    raise ContractBroken(f"{what}: {place} is {'missing' if first['type'] == 'missing' else 'unreadable'}")


def listed(value: object) -> object:
    """Turn an object with numeric keys, as PHP encodes a list with gaps, back into a list."""
    if value and isinstance(value, dict) and all(key.isdigit() for key in value):
        return list(value.values())
    return value


def rows_of(value: object, key: str, what: str) -> list[object]:
    """Return the rows of a list that is the whole answer or its member `key`. Raises ContractBroken."""
    rows = listed(value[key] if isinstance(value, dict) and key in value else value)
    if not isinstance(rows, list):
        raise ContractBroken(f"{what}: {key} is not a list")
    return rows


def read_hints(model: type[M], rows: Sequence[object], what: str) -> list[M]:
    """Read all readable rows; they are hints, and a broken one must not hide the others.

    Raises ContractBroken when there are rows but none is readable.
    """
    found: list[M] = []
    broken: ContractBroken | None = None
    for row in rows:
        try:
            found.append(read(model, row, what))
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


def _word(value: object) -> str:
    word = to_text(value)
    if not word:
        raise ValueError("empty")
    return word


def _optional_id(value: object) -> str:
    return "" if value in (None, "", []) else to_id(value)


def _cents(value: object) -> int:
    text = to_text(value).strip()
    if not text:
        return 0
    if not _MONEY.fullmatch(text):
        raise ValueError("not an amount")
    return vendor_answers.cents(Decimal(text))


def _price(value: object) -> int | None:
    """Return cents; None without a price, which differs from a price of zero."""
    return _cents(value) if to_text(value).strip() else None


def _moment(value: object) -> float | None:
    """Return a time in Unix seconds, UTC if it has no offset; None when unreadable, because it is never essential."""
    value = value.get("date") if isinstance(value, dict) else value
    try:
        moment = datetime.fromisoformat(to_text(value).strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _state(value: object) -> PortalState:
    word = value.strip().casefold() if isinstance(value, str) else ""
    if word == "needs review":
        return PortalState.REVIEW
    return PortalState(word) if word in set(PortalState) else PortalState.UNKNOWN


def _measure(value: object) -> float | None:
    """Return a positive size or weight; None for anything else."""
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            size = float(value)
            return size if 0 < size < math.inf else None
    return None


def _flag(value: object) -> bool:
    return value in (True, "true", "1")  # 1 equals True


def _given(value: object) -> bool:
    return value not in _NOTHING


def _object(value: object) -> object:
    return None if value in ("", []) else value


def _rows_or_none(value: object) -> object:
    return () if value is None else listed(value)


def _finite(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        raise ValueError("too large a number")
    return number


Id = Annotated[str, PlainValidator(to_id)]
OptionalId = Annotated[str, PlainValidator(_optional_id)]
Word = Annotated[str, PlainValidator(_word)]
Text = Annotated[str, PlainValidator(to_text)]
Cents = Annotated[int, PlainValidator(_cents)]
Price = Annotated[int | None, PlainValidator(_price)]
Moment = Annotated[float | None, PlainValidator(_moment)]
State = Annotated[PortalState, PlainValidator(_state)]
Measure = Annotated[float | None, PlainValidator(_measure)]
Flag = Annotated[bool, PlainValidator(_flag)]
Given = Annotated[bool, PlainValidator(_given)]
Rows = Annotated[tuple[T, ...], BeforeValidator(listed)]
OptionalRows = Annotated[tuple[T, ...], BeforeValidator(_rows_or_none)]
Maybe = Annotated[T | None, BeforeValidator(_object)]
