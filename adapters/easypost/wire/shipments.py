"""EasyPost's shipments: what is asked for a return parcel, what it costs, and what was bought. PURE.

A return is told the other way round: `to_address` is the shopper, `from_address` the fulfillment center, and
`is_return` makes EasyPost turn them on the label. Its own answers are not turned.
"""

import json
import math
import unicodedata
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from adapters.easypost.wire.errors import accept
from adapters.vendor_calls.json import printable
from adapters.vendor_calls.reading import JsonObject
from daemon.domain.discretion import strike
from daemon.domain.orders import PostalAddress
from daemon.domain.postage import PostageOrder
from daemon.domain.postage_rates import Rate
from daemon.errors import ContractBroken

SHIPMENTS = "/shipments"
CREATE = "create_shipment"
READ = "read_shipment"
LIST = "list_shipments"
RERATE = "rerate_shipment"
BUY = "buy_shipment"
REFUND = "refund_shipment"

LIST_SIZE = 100
GRAMS_PER_OUNCE = 28.349523125
LINE_LIMIT = 35  # from there on EasyPost moves a unit to the second line, and carriers cut
NAME_LIMIT = 35
CUSTOM_LIMIT = 30
MESSAGE_LIMIT = 200
MOST_MESSAGES = 10
TEST, PRODUCTION = "test", "production"

_LETTERS = str.maketrans({"ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ł": "l", "Ł": "L"})


def shipment_path(shipment_id: str, then: str = "") -> str:
    """Return the path of a shipment, or of something that is done with it."""
    return f"{SHIPMENTS}/{quote(shipment_id, safe='')}" + (f"/{then}" if then else "")


def list_path(since: float, *, bought: bool, before_id: str = "") -> str:
    """Return the path of a page of the shipments made since a Unix time, newest first: those bought, or the others."""
    start = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    query = {"page_size": LIST_SIZE, "start_datetime": start, "purchased": "true" if bought else "false"}
    return f"{SHIPMENTS}?{urlencode(query | ({'before_id': before_id} if before_id else {}))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What the merchant's configuration adds to an order. Phones stand in where a side has none."""

    carrier_accounts: tuple[str, ...] = ()
    shopper_phone: str = ""
    center_phone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold:
    """What is set on a shipment that was bought; as long as something is missing, it is still being sold."""

    rate: Rate | None
    tracking_code: str
    tracker_id: str
    label_url: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentView:
    """One shipment as EasyPost holds it. `messages` are the carriers' words, without the shopper's."""

    shipment_id: str
    mode: str
    reference: str
    rates: tuple[Rate, ...]
    messages: tuple[str, ...] = field(repr=False)
    sold: Sold | None
    refund_status: str
    shopper_code: str = field(repr=False)


def encode_shipment(order: PostageOrder, asking: Asking) -> bytes:
    """Write the body that creates a shipment; it costs nothing."""
    shipment: dict[str, object] = {
        "to_address": _address(order.ship_from, "Customer", asking.shopper_phone),
        "from_address": _address(order.ship_to, "Amazon Returns", asking.center_phone),
        "parcel": _parcel(order),
        "is_return": True,
        "reference": order.key,
        "options": {"label_format": "PDF", "label_size": "4x6", "print_custom_1": f"RMA {order.rma_id}"[:CUSTOM_LIMIT]},
    }
    if asking.carrier_accounts:
        shipment["carrier_accounts"] = list(asking.carrier_accounts)
    return json.dumps({"shipment": shipment}).encode()


def encode_purchase(rate_id: str) -> bytes:
    """Write the body that buys a shipment at one of its rates."""
    return json.dumps({"rate": {"id": rate_id}}).encode()


def decode_shipment(operation: str, status: int, body: bytes, private: Collection[str] = ()) -> ShipmentView:
    """Read a shipment, whose messages are told without the private texts. Raises Refused, or ContractBroken."""
    return _shipment(accept(operation, status, body), private)


def decode_list(status: int, body: bytes) -> tuple[list[ShipmentView], str]:
    """Read a page of shipments, without the carriers' messages, and the id after which the next one begins, or ""."""
    page = accept(LIST, status, body)
    rows = page.children("shipments")
    found = []
    for row in rows:
        with suppress(ContractBroken):  # one that cannot be read, perhaps of another program, must not hide the others
            found.append(replace(_shipment(row), messages=()))
    return found, rows[-1].text("id") if rows and page.flag("has_more") else ""


def _shipment(node: JsonObject, private: Collection[str] = ()) -> ShipmentView:
    shopper = node.optional_child("to_address")
    code = shopper.optional_text("zip") if shopper else None
    return ShipmentView(
        shipment_id=node.text("id"),
        mode=node.optional_text("mode") or "",
        reference=node.optional_text("reference") or "",
        rates=_rates(node),
        messages=tuple(_message(row, private) for row in node.children("messages")[:MOST_MESSAGES]),
        sold=_sold(node),
        refund_status=node.optional_text("refund_status") or "",
        shopper_code=code or "",
    )


def decode_rates(status: int, body: bytes) -> tuple[Rate, ...]:
    """Read the new rates of a shipment."""
    return _rates(accept(RERATE, status, body))


def private_texts(order: PostageOrder, asking: Asking) -> tuple[str, ...]:
    """Return the texts of an order that say who the shopper is and where they live."""
    shopper = order.ship_from
    lines = (shopper.name, shopper.line1, shopper.line2, shopper.line3, shopper.city, shopper.postal_code)
    return (*lines, shopper.phone, asking.shopper_phone)


def _parcel(order: PostageOrder) -> dict[str, float]:
    """Ounces and inches with one decimal, rounded up: a parcel that is rated too light is charged again later."""
    size = order.size
    parcel = {"weight": _up((size.weight_g or 0.0) / GRAMS_PER_OUNCE)}
    sides = {"length": size.length_in, "width": size.width_in, "height": size.height_in}
    if all(sides.values()):  # all or none
        parcel |= {name: _up(side or 0.0) for name, side in sides.items()}
    return parcel


def _up(value: float) -> float:
    return max(0.1, math.ceil(round(value * 10, 6)) / 10)


def _address(place: PostalAddress, name: str, phone: str) -> dict[str, str]:
    first, second = _lines(place)
    called = _ascii(place.name, NAME_LIMIT) or name
    address = {
        "name": called,
        "company": called,
        "street1": first,
        "street2": second,
        "city": _ascii(place.city, LINE_LIMIT),
        "state": _ascii(place.region, LINE_LIMIT),
        "zip": _ascii(place.postal_code, 12),
        "country": place.country_code,
        "phone": "".join(c for c in place.phone or phone if c.isdigit() or c == "+")[:20],
    }
    return {key: value for key, value in address.items() if value}


def _lines(place: PostalAddress) -> tuple[str, str]:
    """A street and what belongs to it, in two lines; what does not fit the first goes on in the second."""
    first = _ascii(place.line1, 2 * LINE_LIMIT)
    rest = [_ascii(line, LINE_LIMIT) for line in (place.line2, place.line3)]
    if len(first) > LINE_LIMIT:
        cut = first.rfind(" ", 0, LINE_LIMIT + 1)
        cut = cut if cut > 0 else LINE_LIMIT
        first, rest = first[:cut], [first[cut:].strip(), *rest]
    return first.strip(), " ".join(filter(None, rest))[:LINE_LIMIT].strip()


def _ascii(text: str, limit: int) -> str:
    """The text in letters that every carrier prints."""
    spelled = unicodedata.normalize("NFKD", text.translate(_LETTERS)).encode("ascii", "ignore").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in spelled).split())[:limit].rstrip()


def _rates(node: JsonObject) -> tuple[Rate, ...]:
    """The rates that can be read: one that cannot, of whatever carrier, must not hide the others."""
    read = []
    for row in node.children("rates"):
        with suppress(ContractBroken):
            read.append(_rate(row))
    return tuple(read)


def _rate(node: JsonObject) -> Rate:
    return Rate(
        rate_id=node.text("id"),
        carrier=node.text("carrier"),
        service=node.text("service"),
        carrier_account=node.optional_text("carrier_account_id") or "",
        cents=node.cents("rate"),
        currency=(node.optional_text("currency") or "USD").upper(),
    )


def _message(row: JsonObject, private: Collection[str]) -> str:
    carrier = row.optional_text("carrier") or "a carrier"
    said = row.members.get("message")
    words = strike(said, private) if isinstance(said, str) else ""
    return f"{printable(carrier, 40)}: {printable(words, MESSAGE_LIMIT)}"


def _sold(node: JsonObject) -> Sold | None:
    """What says that it was sold: the label, the rate and the tracking code, which are all null before."""
    label, rate = node.optional_child("postage_label"), node.optional_child("selected_rate")
    code, tracker = node.optional_text("tracking_code"), node.optional_child("tracker")
    if label is None and rate is None and code is None:
        return None
    urls = [label.optional_text(name) for name in ("label_pdf_url", "label_url")] if label else []
    return Sold(
        rate=_rate(rate) if rate else None,
        tracking_code=code or "",
        tracker_id=(tracker.optional_text("id") if tracker else None) or "",
        label_url=next(filter(None, urls), ""),
    )


def passing(messages: Sequence[str]) -> bool:
    """Whether a carrier's trouble, which hides in a good answer, is one that time may heal."""
    words = " ".join(messages).casefold()
    return any(sign in words for sign in _PASSING)


_PASSING = (
    *("too many requests", "rate limit", "timed out", "timeout", "time-out", "no answer", "not responding"),
    *("unavailable", "try again", "temporar", "connection", "internal error", "503", "502", "504", "429"),
)
