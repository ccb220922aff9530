"""A fulfillment order at Amazon, reduced to what returns need. No shopper addresses."""

from dataclasses import dataclass, field

SELLABLE = "Sellable"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderItem:
    """One line of a fulfillment order."""

    item_id: str
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedItem:
    """The units of one order line in one shipment."""

    item_id: str
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """One outbound shipment; `shipped` is False while it waits and if it was cancelled."""

    shipment_id: str
    shipped: bool
    shipped_at: float | None
    items: tuple[ShippedItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnItem:
    """One unit that Amazon expects back or has inspected (`processed`); `condition` is Amazon's own word."""

    return_item_id: str
    order_item_id: str
    shipment_id: str
    processed: bool
    changed_at: float | None = None
    authorization_id: str | None = None
    condition: str | None = None
    reason: str | None = None
    center: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PostalAddress:
    """A place: a fulfillment center, or (read when needed, never stored) a shopper's."""

    name: str
    line1: str
    line2: str = ""
    line3: str = ""
    city: str = ""
    region: str = ""
    postal_code: str = ""
    country_code: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnAuthorization:
    """Amazon's permission: one parcel, where it goes, and the page with its RMA."""

    authorization_id: str
    rma_id: str
    page_url: str
    center: str
    ship_to: PostalAddress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FulfillmentOrder:
    """One fulfillment order at the time of reading. The postal code is compared with the shopper's and not stored."""

    order_id: str
    displayable_order_id: str
    status: str
    received_at: float | None = None
    postal_code: str = field(default="", repr=False)
    items: tuple[OrderItem, ...] = ()
    shipments: tuple[Shipment, ...] = ()
    return_items: tuple[ReturnItem, ...] = ()
    authorizations: tuple[ReturnAuthorization, ...] = ()

    @property
    def still_shipping(self) -> bool:
        """Whether more of it may still ship."""
        return self.status.casefold() in {"new", "received", "planning", "processing"}

    @property
    def returnable(self) -> bool:
        """Whether anything has shipped or may still ship; otherwise nothing can come back."""
        return self.still_shipping or any(shipment.shipped for shipment in self.shipments)


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidItem:
    """A unit that Amazon will not take back, with Amazon's code and words."""

    return_item_id: str
    code: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAnswer:
    """What `createFulfillmentReturn` answered: accepted and refused units side by side."""

    return_items: tuple[ReturnItem, ...] = ()
    invalid_items: tuple[InvalidItem, ...] = ()
    authorizations: tuple[ReturnAuthorization, ...] = ()
