"""Amazon's fulfillment network as the seller's API shows it: orders, reason codes, inspections."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal, get_args

from adapters.sandbox.amazon.orders import (
    CENTERS,
    Order,
    OrderLine,
    ReturnItem,
    Shipment,
    header_view,
    order_view,
    package_view,
    spelled,
)
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import ControlError, Json, invalid_input
from adapters.sandbox.stamps import parse_time
from daemon.ports.host import Clock

REASONS = {
    "CR-UNWANTED_ITEM": "No longer needed/wanted",
    "AMZ-PG-BAD-DESC": "Different from website description",
    "CR-DEFECTIVE": "Defective/Does not work properly",
    "CR-ORDERED_WRONG_ITEM": "Accidental order",
    "CR-FOUND_BETTER_PRICE": "Better price available",
    "CR-DAMAGED_BY_FC": "Damaged due to inappropriate packaging",
    "CR-MISSED_ESTIMATED_DELIVERY": "Missed estimated delivery date",
    "CR-MISSING_PARTS": "Missing parts or accessories",
    "CR-DAMAGED_BY_CARRIER": "Damaged during shipping",
    "CR-SWITCHEROO": "Different from what was ordered",
    "CR-EXTRA_ITEM": "Arrived in addition to what was ordered",
    "CR-UNAUTHORIZED_PURCHASE": "Unauthorized purchase",
}
ShipmentStatus = Literal["PENDING", "SHIPPED", "CANCELLED_BY_FULFILLER", "CANCELLED_BY_SELLER"]
SHIPMENT_STATUSES: tuple[str, ...] = get_args(ShipmentStatus)
LIST_REACH = 36 * 3600
OLDEST_ORDER = 10 * 366 * 86400


class FulfillmentNetwork:
    """Orders by seller order id. `base_url` is the URL of the RMA pages, known once the port is bound."""

    def __init__(self, options: SandboxOptions, clock: Clock) -> None:
        self.orders: dict[str, Order] = {}
        self.reasons: dict[str, list[str]] = {}
        self.refused: dict[str, tuple[str, str]] = {}
        self.label_after = options.label_after
        self.reads_lag = options.reads_lag
        self.base_url = ""
        self._options = options
        self._clock = clock
        self._shipments = 0
        self._tokens = 0

    def create_order(
        self,
        order_id: str,
        lines: Mapping[str, int],
        shipments: Sequence[Mapping[str, Any]],
        *,
        displayable_id: str | None,
        status: str,
        return_centers: Sequence[str],
        age: float,
        postal_code: str,
    ) -> Order:
        """Put an order into the network, `age` seconds old; ControlError when it makes no sense."""
        _check_order(order_id, return_centers, known=order_id in self.orders)
        if not 0 <= age <= OLDEST_ORDER:
            raise ControlError("an order is from now or from the last ten years")
        items = [OrderLine(f"item-{n}", sku, quantity) for n, (sku, quantity) in enumerate(lines.items(), 1)]
        now = self._clock.now() - age
        order = Order(
            order_id=order_id,
            displayable_id=displayable_id or order_id,
            marketplace_id=self._options.marketplace_id,
            status=spelled(status, capitals=self._options.order_statuses == "capitals"),
            received_at=now,
            changed_at=now,
            lines=items,
            shipments=[self._shipment(items, given, now + n) for n, given in enumerate(shipments)],
            return_centers=tuple(return_centers),
            postal_code=postal_code,
        )
        self.orders[order_id] = order
        return order

    def set_shipment_status(self, order_id: str, shipment_id: str, status: str) -> None:
        """Ship or cancel a shipment."""
        if status not in SHIPMENT_STATUSES:
            raise ControlError(f"a shipment cannot be {status!r}; one of {', '.join(SHIPMENT_STATUSES)}")
        order = self.known(order_id)
        shipment = next((s for s in order.shipments if s.shipment_id == shipment_id), None)
        if shipment is None:
            raise ControlError(f"fulfillment order {order_id!r} has no shipment {shipment_id!r}")
        shipment.status = status
        order.changed_at = self._clock.now()

    def forget(self, names: AbstractSet[str]) -> None:
        """Remove the orders with these names."""
        for order in [order for order in self.orders.values() if {order.order_id, order.displayable_id} & names]:
            del self.orders[order.order_id]

    def known(self, order_id: str) -> Order:
        """Find an order for a control operation."""
        if order_id not in self.orders:
            raise ControlError(f"there is no fulfillment order {order_id!r}")
        return self.orders[order_id]

    def find(self, order_id: str) -> Order:
        """Find an order for the API, which decodes `+` in the path as a blank and answers 400 for an unknown id."""
        order = self.orders.get(order_id.replace("+", " "))
        if order is None:
            raise invalid_input(f"The requested order {order_id!r} was not found.")
        return order

    def read(self, order_id: str) -> Json:
        """Answer getFulfillmentOrder."""
        return order_view(self.find(order_id), self._clock.now(), self.base_url)

    def list_orders(self, start: str | None, token: str | None) -> Json:
        """Answer listAllFulfillmentOrders. The last of several pages has an empty token, a single page has none."""
        if self._options.list_of_orders != "ends":
            return self._endless()
        since, offset = self._page(start, token)
        found = [order for order in self.orders.values() if order.changed_at >= since]
        end = offset + self._options.list_page_size
        page: Json = {"fulfillmentOrders": [header_view(order) for order in found[offset:end]]}
        if end < len(found):
            page["nextToken"] = base64.urlsafe_b64encode(f"{since}|{end}".encode()).decode()
        elif offset:
            page["nextToken"] = ""
        return page

    def _endless(self) -> Json:
        """Return a page without an end, with a new token each time."""
        self._tokens += 1
        rows = list(self.orders.values())[: self._options.list_page_size]
        shown = rows if self._options.list_of_orders == "repeats" else []
        token = base64.urlsafe_b64encode(f"{self._clock.now()}|{self._tokens}".encode()).decode()
        return {"fulfillmentOrders": [header_view(order) for order in shown], "nextToken": token}

    def package(self, number: str) -> Json:
        """Answer getPackageTrackingDetails for a parcel to the shopper, by its packageNumber."""
        for order in self.orders.values():
            for shipment in order.shipments:
                if str(shipment.package) == number and shipment.status == "SHIPPED":
                    return package_view(shipment, self._clock.now())
        raise invalid_input("The requested package was not found.")

    def reason_codes(self, sku: str | None, marketplace: str | None, order_id: str | None) -> Json:
        """Answer listReturnReasonCodes."""
        if not sku:
            raise invalid_input("sellerSku is required.")
        if order_id:
            self.find(order_id)
        elif not marketplace:
            raise invalid_input("Either marketplaceId or sellerFulfillmentOrderId is required.")
        details = [
            {
                "returnReasonCode": code,
                "description": REASONS.get(code, code),
                "translatedDescription": REASONS.get(code, code),
            }
            for code in self.codes_of(sku)
        ]
        return {"reasonCodeDetails": details}

    def codes_of(self, sku: str) -> Iterable[str]:
        """Return the reason codes that a SKU allows."""
        return self.reasons.get(sku, list(REASONS))

    def inspect(self, item: ReturnItem, *, condition: str | None, reason: str | None, center: str | None) -> None:
        """Let a fulfillment center process a unit, or correct its earlier result."""
        if center is not None and center not in CENTERS:
            raise ControlError(f"there is no fulfillment center {center!r}; one of {', '.join(CENTERS)}")
        item.status = "Processed"
        item.condition = condition
        item.amazon_reason = reason or item.amazon_reason
        item.center = center or item.authorization.center
        item.changed_at = self._clock.now()
        item.shown_at = item.changed_at + self.reads_lag

    def _page(self, start: str | None, token: str | None) -> tuple[float, int]:
        try:
            if token:
                since, _, offset = base64.urlsafe_b64decode(token).decode().partition("|")
                return float(since), int(offset)
            return (parse_time(start) if start else self._clock.now() - LIST_REACH), 0
        except ValueError as error:
            raise invalid_input("nextToken or queryStartDate cannot be read.") from error

    def _shipment(self, items: Sequence[OrderLine], given: Mapping[str, Any], at: float) -> Shipment:
        status, lines = given.get("status", "SHIPPED"), lines_of(given)
        if status not in SHIPMENT_STATUSES:
            raise ControlError(f"a shipment cannot be {status!r}; one of {', '.join(SHIPMENT_STATUSES)}")
        by_sku = {item.sku: item.item_id for item in items}
        if unknown := [sku for sku in lines if sku not in by_sku]:
            raise ControlError(f"the order has no line for {', '.join(map(str, unknown))}")
        self._shipments += 1
        return Shipment(
            shipment_id=f"DsX{self._shipments:05d}",
            status=str(status),
            center=str(given.get("center", "RNO1")),
            lines={by_sku[sku]: quantity for sku, quantity in lines.items()},
            shipped_at=at,
            package=700_000_000 + self._shipments,
        )


def lines_of(shipment: Mapping[str, Any]) -> Mapping[str, int]:
    """Return the quantities by SKU of a shipment; ControlError when there are none."""
    lines = shipment.get("lines")
    if (
        isinstance(lines, Mapping)
        and lines
        and all(type(quantity) is int and quantity > 0 for quantity in lines.values())
    ):
        return lines
    raise ControlError("a shipment has lines: {sku: quantity}, and each a quantity of one or more")


def _check_order(order_id: str, return_centers: Sequence[str], *, known: bool) -> None:
    if known:
        raise ControlError(f"there is already a fulfillment order {order_id!r}")
    if not 1 <= len(order_id) <= 40:
        raise ControlError("a fulfillment order id has 1 to 40 characters")
    if not return_centers or any(center not in CENTERS for center in return_centers):
        raise ControlError(f"return centers are one or more of {', '.join(CENTERS)}")
