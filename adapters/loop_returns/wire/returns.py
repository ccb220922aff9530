"""Reading returns and their notes from Loop's answers. PURE.

Takes JSON that `errors.answer` accepted; raises ContractBroken, naming the unreadable field.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from adapters.loop_returns.wire.values import (
    inner,
    listed,
    numbered,
    objects,
    opened,
    read_hints,
    require_same,
    rows_of,
    to_flag,
    to_given,
    to_id,
    to_moment,
    to_optional_id,
    to_price,
    to_state,
    to_text,
)
from adapters.vendor_calls.reading import JsonObject
from daemon.domain.portal import PortalLabel, PortalLine, PortalNote, PortalReturn, PortalRow
from daemon.domain.returns import Transit
from daemon.errors import ContractBroken

IN_A_QUERY = "%!$'()*+,;:=@/?"  # allowed beside letters and digits; the rest is percent-encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnPage:
    """One page of the list of returns; `cursor` is as Loop sent it, and empty on the last page."""

    rows: Sequence[PortalRow]
    cursor: str


def read_return(value: object, asked: str) -> PortalReturn:
    """Read `GET /warehouse/return/details`; it must be the return that was asked for."""
    what = "Loop return"
    found = opened(value, what)
    return_id = found.need("id", to_id)
    require_same(return_id, asked, what)
    found.need("line_items", listed)
    lines = objects(found, "line_items")
    labels = [_label(label) for label in objects(found, "labels")]
    urls = [label.url for label in labels] + [found.read("label_url", to_text)]
    paid_out = inner(found, "outcomes_processed_at")
    return PortalReturn(
        return_id=return_id,
        state=found.need("state", to_state),
        lines=tuple(_line(line) for line in lines),
        order_name=found.read("order_name", to_text),
        order_number=found.read("order_number", to_text),
        provider_order_id=found.read("provider_order_id", to_text),
        submitted_at=found.read("created_at", to_moment),
        destination_id=found.read("destination_id", to_optional_id),
        has_exchange=_has_exchange(found, lines),
        # Only the whole return counts: after a refund, its exchange may still be owed.
        was_processed=found.read("was_processed", to_flag) or paid_out.read("return_processed", to_given),
        label_urls=tuple(dict.fromkeys(url for url in urls if url)),
        labels=tuple(label for label in labels if label.url),
    )


def read_return_page(value: object) -> ReturnPage:
    """Read one page of `GET /warehouse/return/list`: a bare array, or an object that names the next page."""
    what = "Loop returns"
    rows = rows_of(value, "returns", what)
    following = value.get("nextPageUrl") if isinstance(value, dict) else None
    return ReturnPage(rows=read_hints(rows, what, _row), cursor=_cursor(following, what) if following else "")


def read_notes(value: object) -> Sequence[PortalNote]:
    """Read `GET /warehouse/return/{id}/notes`: an object or a bare array."""
    what = "Loop notes"
    rows = [opened(row, what) for row in rows_of(value, "notes", what)]
    notes = [PortalNote(text=row.need("content", to_text), at=row.read("created_at", to_moment)) for row in rows]
    return [note for note in notes if note.text]


def _row(row: JsonObject) -> PortalRow:
    """Read a row; what it says beside the id only helps to tell returns of one order apart."""
    return_id = row.need("id", to_id)
    try:
        skus = tuple(line.read("sku", to_text) for line in objects(row, "line_items"))
        return PortalRow(return_id=return_id, order_name=row.read("order_name", to_text), skus=skus)
    except ContractBroken:
        return PortalRow(return_id=return_id)


def _label(label: JsonObject) -> PortalLabel:
    lines = numbered(label, "line_items")
    return PortalLabel(
        url=label.read("url", to_text),
        carrier=label.read("carrier", to_text),
        tracking_number=label.read("tracking_number", to_text),
        status=label.read("status", _transit),
        rate_cents=label.read("rate", _rate) or 0,
        line_ids=tuple(line for n in lines.members if (line := lines.read(n, _line_id))),
    )


def _transit(value: object) -> Transit:
    """Read a label's status; words beyond ours say nothing about the journey."""
    word = value.strip().casefold() if isinstance(value, str) else ""
    return Transit(word) if word in set(Transit) else Transit.NEW


def _rate(value: object) -> int | None:
    """Read what a label cost. Nothing depends on it, so an unreadable amount is none."""
    try:
        return to_price(value)
    except ValueError:
        return None


def _line_id(value: object) -> str:
    try:
        return to_id(value)
    except ValueError:
        return ""


def _cursor(following: object, what: str) -> str:
    """Take the cursor from the link, which lacks half of our parameters. A link without a cursor is an error."""
    with suppress(ValueError):
        query = urlsplit(following).query if isinstance(following, str) else ""
        for name, _, cursor in (pair.partition("=") for pair in query.split("&")):
            if name == "cursor" and cursor:
                return quote(cursor, safe=IN_A_QUERY)
    raise ContractBroken(f"{what}: nextPageUrl names no cursor")


def _has_exchange(found: JsonObject, lines: Sequence[JsonObject]) -> bool:
    """Look in all three places, which are independent; an upsell is an exchange with a surcharge."""
    outcomes = set(found.read("outcome", to_text).casefold().split("+"))
    return (
        bool(outcomes & {"exchange", "upsell"})
        or found.read("exchanges", to_given)
        or any(line.read("exchange_variant", to_given) for line in lines)
    )


def _line(line: JsonObject) -> PortalLine:
    return PortalLine(
        line_id=line.need("line_item_id", to_id),
        sku=line.read("sku", to_text),
        price_cents=line.read("price", to_price),
        reason=line.read("return_reason", to_text),
        parent_reason=line.read("parent_return_reason", to_text),
        grade=inner(line, "condition").read("condition_category", _category),
        disposition=inner(line, "disposition").read("disposition_outcome", to_text),
    )


def _category(value: object) -> str:
    """Read a grade: a word until 2026-07, an object since 2026-10. How Loop returns it is not documented."""
    if isinstance(value, dict):
        return to_text(value.get("grade")) or to_text(value.get("title"))
    return to_text(value or None)
