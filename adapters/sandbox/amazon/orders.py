"""The data of Amazon's fulfillment network and its JSON: orders, shipments, return items, authorizations."""

from dataclasses import dataclass, field, replace

from adapters.sandbox.refusals import Json
from adapters.sandbox.stamps import amazon_time

CENTERS: dict[str, Json] = {
    "RNO1": {"addressLine1": "1 Dock Road", "city": "Reno", "stateOrRegion": "NV", "postalCode": "89506"},
    "ABE8": {"addressLine1": "2 Gate Street", "city": "Allentown", "stateOrRegion": "PA", "postalCode": "18101"},
    "TUS1": {"addressLine1": "3 Yard Avenue", "city": "Phoenix", "stateOrRegion": "AZ", "postalCode": "85043"},
}
DAYS_TO_ARRIVE = 3 * 86400
STATUSES = {
    name.upper(): name
    for name in (
        *("New", "Received", "Planning", "Processing", "Cancelled"),
        *("Complete", "CompletePartialled", "Unfulfillable", "Invalid"),
    )
}


@dataclass
class OrderLine:
    """A line of a fulfillment order, with a quantity."""

    item_id: str
    sku: str
    quantity: int


@dataclass
class Shipment:
    """One shipment; `lines` maps order item ids to quantities."""

    shipment_id: str
    status: str
    center: str
    lines: dict[str, int]
    shipped_at: float
    package: int


@dataclass
class Authorization:
    """Amazon's permission for one parcel; the API shows it from `visible_at` on."""

    authorization_id: str
    center: str
    rma: str
    visible_at: float


@dataclass
class ReturnItem:
    """One unit on its way back."""

    seller_id: str
    item_id: str
    shipment_id: str
    reason: str
    comment: str | None
    authorization: Authorization
    changed_at: float
    status: str = "New"
    amazon_reason: str = "UNKNOWN_OTHER_REASON"
    condition: str | None = None
    center: str | None = None
    shown_at: float = 0.0

    def seen(self, now: float) -> "ReturnItem":
        """Return the unit as reads show it; they lag for a while after it was processed."""
        return self if now >= self.shown_at else replace(self, status="New", condition=None, center=None)


@dataclass
class Order:
    """A fulfillment order; `return_centers` take turns in receiving the units of one return."""

    order_id: str
    displayable_id: str
    marketplace_id: str
    status: str
    received_at: float
    changed_at: float
    lines: list[OrderLine]
    shipments: list[Shipment]
    return_centers: tuple[str, ...]
    postal_code: str
    items: dict[str, ReturnItem] = field(default_factory=dict)

    def sku_of(self, item_id: str) -> str:
        """Return the SKU of an order item."""
        return next(line.sku for line in self.lines if line.item_id == item_id)


def spelled(status: str, *, capitals: bool) -> str:
    """Spell an order's status as Amazon's model does, or in capitals; leave an unknown one as it is."""
    return status.upper() if capitals else STATUSES.get(status.upper(), status)


def header_view(order: Order) -> Json:
    """Show a FulfillmentOrder, as the list and the read carry it."""
    return {
        "sellerFulfillmentOrderId": order.order_id,
        "marketplaceId": order.marketplace_id,
        "displayableOrderId": order.displayable_id,
        "displayableOrderDate": amazon_time(order.received_at),
        "displayableOrderComment": "Thank you for your order",
        "shippingSpeedCategory": "Standard",
        "destinationAddress": {
            "name": "Rowan Pike",
            "addressLine1": "18 Larch Row",
            "city": "Boise",
            "stateOrRegion": "ID",
            "postalCode": order.postal_code,
            "countryCode": "US",
        },
        "fulfillmentAction": "Ship",
        "fulfillmentPolicy": "FillAllAvailable",
        "receivedDate": amazon_time(order.received_at),
        "fulfillmentOrderStatus": order.status,
        "statusUpdatedDate": amazon_time(order.changed_at),
    }


def order_view(order: Order, now: float, base_url: str) -> Json:
    """Show what getFulfillmentOrder answers at this time."""
    known = {item.authorization.authorization_id: item.authorization for item in order.items.values()}
    return {
        "fulfillmentOrder": header_view(order),
        "fulfillmentOrderItems": [_line_view(line) for line in order.lines],
        "fulfillmentShipments": [_shipment_view(order, shipment) for shipment in order.shipments],
        "returnItems": [item_view(item.seen(now), now) for item in order.items.values()],
        "returnAuthorizations": [authorization_view(a, base_url) for a in known.values() if a.visible_at <= now],
    }


def item_view(item: ReturnItem, now: float) -> Json:
    """Show a ReturnItem; Amazon sets amazonReturnReasonCode before any inspection."""
    view: Json = {
        "sellerReturnItemId": item.seller_id,
        "sellerFulfillmentOrderItemId": item.item_id,
        "amazonShipmentId": item.shipment_id,
        "sellerReturnReasonCode": item.reason,
        "amazonReturnReasonCode": item.amazon_reason,
        "status": item.status,
        "statusChangedDate": amazon_time(item.changed_at),
    }
    optional = {
        "returnComment": item.comment,
        "returnReceivedCondition": item.condition,
        "fulfillmentCenterId": item.center,
        "returnAuthorizationId": item.authorization.authorization_id if item.authorization.visible_at <= now else None,
    }
    return view | {name: value for name, value in optional.items() if value is not None}


def authorization_view(authorization: Authorization, base_url: str) -> Json:
    """Show a ReturnAuthorization; its page carries no postage."""
    address = {"name": "Returns Department", **CENTERS[authorization.center], "countryCode": "US"}
    return {
        "returnAuthorizationId": authorization.authorization_id,
        "fulfillmentCenterId": authorization.center,
        "returnToAddress": address,
        "amazonRmaId": authorization.rma,
        "rmaPageURL": f"{base_url}/gp/orc/rml/{authorization.rma}",
    }


def package_view(shipment: Shipment, now: float) -> Json:
    """Show a PackageTrackingDetails; every shipment arrives after three days."""
    arrival = shipment.shipped_at + DAYS_TO_ARRIVE
    return {
        "packageNumber": shipment.package,
        "trackingNumber": f"TBA{shipment.package}",
        "carrierCode": "Amazon",
        "shipDate": amazon_time(shipment.shipped_at),
        "estimatedArrivalDate": amazon_time(arrival),
        "currentStatus": "DELIVERED" if arrival <= now else "IN_TRANSIT",
        "trackingEvents": [],
    }


def _line_view(line: OrderLine) -> Json:
    return {
        "sellerSku": line.sku,
        "sellerFulfillmentOrderItemId": line.item_id,
        "quantity": line.quantity,
        "fulfillmentNetworkSku": f"X00{line.sku[:7].upper()}",
        "orderItemDisposition": "Sellable",
        "cancelledQuantity": 0,
        "unfulfillableQuantity": 0,
    }


def _shipment_view(order: Order, shipment: Shipment) -> Json:
    items = [
        {
            "sellerSku": order.sku_of(item_id),
            "sellerFulfillmentOrderItemId": item_id,
            "quantity": quantity,
            "packageNumber": shipment.package,
        }
        for item_id, quantity in shipment.lines.items()
    ]
    package = {"packageNumber": shipment.package, "carrierCode": "Amazon", "trackingNumber": f"TBA{shipment.package}"}
    return {
        "amazonShipmentId": shipment.shipment_id,
        "fulfillmentCenterId": shipment.center,
        "fulfillmentShipmentStatus": shipment.status,
        "shippingDate": amazon_time(shipment.shipped_at),
        "estimatedArrivalDate": amazon_time(shipment.shipped_at + DAYS_TO_ARRIVE),
        "fulfillmentShipmentItem": items,
        "fulfillmentShipmentPackage": [package] if shipment.status == "SHIPPED" else [],
    }
