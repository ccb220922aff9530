"""Reading returns and their notes from Loop's answers. PURE.

Takes JSON that `errors.answer` accepted; raises ContractBroken, naming the unreadable field.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import PlainValidator

from adapters.loop_returns.wire.values import (
    Flag,
    Given,
    Id,
    Maybe,
    Moment,
    OptionalId,
    OptionalRows,
    Payload,
    Price,
    Rows,
    State,
    Text,
    read,
    read_hints,
    require_same,
    rows_of,
    to_text,
)
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
    found = read(_Return, value, what)
    require_same(found.id, asked, what)
    paid_out = found.outcomes_processed_at
    urls = (*(label.url for label in found.labels), found.label_url)
    return PortalReturn(
        return_id=found.id,
        state=found.state,
        lines=tuple(_line(line) for line in found.line_items),
        order_name=found.order_name,
        order_number=found.order_number,
        provider_order_id=found.provider_order_id,
        submitted_at=found.created_at,
        destination_id=found.destination_id,
        has_exchange=_has_exchange(found),
        # Only the whole return counts: after a refund, its exchange may still be owed.
        was_processed=found.was_processed or (paid_out is not None and paid_out.return_processed),
        label_urls=tuple(dict.fromkeys(url for url in urls if url)),
    )


def read_return_page(value: object) -> ReturnPage:
    """Read one page of `GET /warehouse/return/list`: a bare array, or an object that names the next page."""
    what = "Loop returns"
    rows = rows_of(value, "returns", what)
    following = value.get("nextPageUrl") if isinstance(value, dict) else None
    ids = [row.id for row in read_hints(_ReturnRow, rows, what)]
    return ReturnPage(return_ids=ids, cursor=_cursor(following, what) if following else "")


def read_notes(value: object) -> Sequence[str]:
    """Read the texts of `GET /warehouse/return/{id}/notes`: an object or a bare array."""
    what = "Loop notes"
    notes = [read(_Note, row, what) for row in rows_of(value, "notes", what)]
    return [note.content for note in notes if note.content]


def _cursor(following: object, what: str) -> str:
    """Take the cursor from the link, which lacks half of our parameters. A link without a cursor is an error."""
    with suppress(ValueError):
        query = urlsplit(following).query if isinstance(following, str) else ""
        for name, _, cursor in (pair.partition("=") for pair in query.split("&")):
            if name == "cursor" and cursor:
                return quote(cursor, safe=IN_A_QUERY)
    raise ContractBroken(f"{what}: nextPageUrl names no cursor")


def _has_exchange(found: "_Return") -> bool:
    """Look in all three places, which are independent; an upsell is an exchange with a surcharge."""
    outcomes = set(found.outcome.casefold().split("+"))
    return (
        bool(outcomes & {"exchange", "upsell"}) or found.exchanges or any(x.exchange_variant for x in found.line_items)
    )


def _line(line: "_Line") -> PortalLine:
    return PortalLine(
        line_id=line.line_item_id,
        sku=line.sku,
        price_cents=line.price,
        reason=line.return_reason,
        parent_reason=line.parent_return_reason,
        grade=line.condition.condition_category if line.condition else "",
        disposition=line.disposition.disposition_outcome if line.disposition else "",
    )


def _category(value: object) -> str:
    """Read a grade: a word until 2026-07, an object since 2026-10. How Loop returns it is not documented."""
    if isinstance(value, dict):
        return to_text(value.get("grade")) or to_text(value.get("title"))
    return to_text(value or None)


class _Condition(Payload):
    condition_category: Annotated[str, PlainValidator(_category)] = ""


class _Disposition(Payload):
    disposition_outcome: Text = ""


class _Line(Payload):
    line_item_id: Id
    sku: Text = ""
    price: Price = None
    return_reason: Text = ""
    parent_return_reason: Text = ""
    exchange_variant: Given = False
    condition: Maybe[_Condition] = None
    disposition: Maybe[_Disposition] = None


class _Label(Payload):
    url: Text = ""


class _Processed(Payload):
    return_processed: Given = False


class _Return(Payload):
    id: Id
    state: State
    line_items: Rows[_Line]
    order_name: Text = ""
    order_number: Text = ""
    provider_order_id: Text = ""
    created_at: Moment = None
    destination_id: OptionalId = ""
    outcome: Text = ""
    exchanges: Given = False
    was_processed: Flag = False
    outcomes_processed_at: Maybe[_Processed] = None
    labels: OptionalRows[_Label] = ()
    label_url: Text = ""


class _ReturnRow(Payload):
    id: Id


class _Note(Payload):
    content: Text
