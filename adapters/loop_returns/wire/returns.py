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
from daemon.domain.portal import PortalLine, PortalReturn
from daemon.errors import ContractBroken

IN_A_QUERY = "%!$'()*+,;:=@/?"  # allowed beside letters and digits; the rest is percent-encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnPage:
    """One page of the list of returns; `cursor` is as Loop sent it, and empty on the last page."""

    return_ids: Sequence[str]
    cursor: str


def read_return(value: object, asked: str) -> PortalReturn:
    """Read `GET /warehouse/return/details`; it must be the return that was asked for."""
    what = "Loop return"
    found = opened(value, what)
    return_id = found.need("id", to_id)
    require_same(return_id, asked, what)
    found.need("line_items", listed)
    lines = objects(found, "line_items")
    urls = [label.read("url", to_text) for label in objects(found, "labels")] + [found.read("label_url", to_text)]
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
    )


def read_return_page(value: object) -> ReturnPage:
    """Read one page of `GET /warehouse/return/list`: a bare array, or an object that names the next page."""
    what = "Loop returns"
    rows = rows_of(value, "returns", what)
    following = value.get("nextPageUrl") if isinstance(value, dict) else None
    ids = read_hints(rows, what, lambda row: row.need("id", to_id))
    return ReturnPage(return_ids=ids, cursor=_cursor(following, what) if following else "")


def read_notes(value: object) -> Sequence[str]:
    """Read the texts of `GET /warehouse/return/{id}/notes`: an object or a bare array."""
    what = "Loop notes"
    texts = [opened(row, what).need("content", to_text) for row in rows_of(value, "notes", what)]
    return [text for text in texts if text]


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
