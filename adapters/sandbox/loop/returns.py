"""Loop's data of a return: lines of one unit each, exchanges, label requests, labels, notes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

from adapters.sandbox.refusals import ControlError, Json

ORIGIN: Json = {
    "name": "Rowan Pike",
    "company": None,
    "address1": "18 Larch Row",
    "address2": None,
    "city": "Boise",
    "state": "Idaho",
    "region": "ID",
    "zip": "83702",
    "country": "United States",
    "country_code": "US",
    "phone": "12085550142",
}
WAREHOUSE: Json = {
    "name": "Amazon MCF Returns",
    "company": "Acme Goods",
    "address1": "900 Depot Ave",
    "address2": "Bay 3",
    "city": "Reno",
    "state": "Nevada",
    "region": "NV",
    "zip": "89506",
    "country": "United States",
    "country_code": "US",
    "phone": "17755550199",
}
DEAREST = 1_000_000
MOST_UNITS = 250
PARCEL: Json = {"height": 4, "width": 9.5, "length": 12, "weight": 410.5}


@dataclass(frozen=True, kw_only=True)
class ReturnLine:
    """What a shopper sends back; each of the `quantity` units becomes a line item.

    `price` is the decimal price of one unit. `outcome` is `refund`, `credit` or `exchange`; None means the return's.
    `exchange_sku` names the article wanted instead, and makes the outcome an exchange.
    """

    sku: str
    price: str = "18.00"
    quantity: int = 1
    reason: str = "No longer needed"
    parent_reason: str | None = None
    comment: str = "N/A"
    title: str | None = None
    outcome: str | None = None
    exchange_sku: str | None = None
    exchange_in_stock: bool = True
    provider_line_item_id: int | None = None


@dataclass
class LineItem:
    """One unit in Loop. `resolution` decides what may be removed; the API shows only `outcome: default`."""

    line_item_id: int
    provider_line_item_id: int
    sku: str
    title: str
    price: Decimal
    reason: str
    parent_reason: str | None
    comment: str
    resolution: str
    condition: Json | None = None
    disposition: Json | None = None
    grades: int = 0
    assessments: int = 0


@dataclass
class Exchange:
    """An article that the shopper gets instead; no API shows `line_item_id`."""

    exchange_id: int
    line_item_id: int
    sku: str
    price: Decimal
    in_stock: bool


@dataclass
class Label:
    """A label that a provider delivered."""

    label_id: int
    request_id: int
    carrier: str
    tracking_number: str
    tracking_url: str | None
    label_url: str | None
    qrcode_url: str | None
    rate: Json
    line_item_ids: list[int]
    created_at: float
    updated_at: float
    status: str = "new"


@dataclass
class LabelRequest:
    """Loop's request to a provider for a label that covers some lines."""

    request_id: int
    return_id: int
    line_item_ids: list[int]
    created_at: float
    status: str = "issued"
    errors: list[Json] = field(default_factory=list)
    products: list[Json] = field(default_factory=list)


@dataclass
class LoopReturn:
    """A shopper's return. `plan` says how its processing will end; `history` is only for the snapshot."""

    return_id: int
    order_name: str
    order_number: str
    provider_order_id: str
    destination_id: int | None
    customer: str
    origin: Json
    parcel: Json
    created_at: float
    updated_at: float
    lines: list[LineItem] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    notes: list[Json] = field(default_factory=list)
    timeline: list[str] = field(default_factory=list)
    history: list[Json] = field(default_factory=list)
    state: str = "open"
    flagged: bool = False
    edited_at: float | None = None
    processed_at: float | None = None
    paid_before_inspection: bool = False
    plan: str = "close"
    plan_message: str | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> None:
        """Count one more call of a kind."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def line(self, line_item_id: int) -> LineItem | None:
        """Find a line."""
        return next((line for line in self.lines if line.line_item_id == line_item_id), None)

    @property
    def order_names(self) -> frozenset[str]:
        """Return the names under which Amazon may know the order."""
        return frozenset({self.provider_order_id, self.order_name, self.order_name.lstrip("#")})

    @property
    def outcome(self) -> str:
        """Return the outcome as Loop spells it: its parts joined by plus signs."""
        parts = {line.resolution for line in self.lines}
        order = ("credit", "refund") if "exchange" not in parts else ("exchange", "refund", "credit")
        return "+".join(part for part in order if part in parts) or "refund"

    @property
    def worth(self) -> Decimal:
        """Add up the prices of what comes back."""
        return sum((line.price for line in self.lines), Decimal(0))

    @property
    def exchanged(self) -> Decimal:
        """Add up the prices of what goes out instead."""
        return sum((exchange.price for exchange in self.exchanges), Decimal(0))


def line_from(given: ReturnLine | Mapping[str, Any]) -> ReturnLine:
    """Accept a line as an object or as its JSON; ControlError when it makes no sense."""
    line = given if isinstance(given, ReturnLine) else _line(given)
    try:
        price = Decimal(str(line.price))
    except ArithmeticError as error:
        text = f"a line's price is {line.price!r}; a price is a decimal number such as 18.00"
        raise ControlError(text) from error
    if not price.is_finite() or not 0 <= price < DEAREST:
        raise ControlError(f"a line's price is from 0 to {DEAREST}")
    if type(line.quantity) is not int or not 1 <= line.quantity <= MOST_UNITS or not isinstance(line.sku, str):
        raise ControlError(f"a line has a SKU, and a quantity from 1 to {MOST_UNITS}")
    return line


def _line(given: Mapping[str, Any]) -> ReturnLine:
    known = [field.name for field in fields(ReturnLine)]
    if unknown := [str(key) for key in given if key not in known]:
        raise ControlError(f"a line has no {', '.join(unknown)}; it has {', '.join(known)}")
    if "sku" not in given:
        raise ControlError("a line has a sku; add it")
    return ReturnLine(**given)
