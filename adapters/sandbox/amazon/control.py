"""Control operations on Amazon's side: orders, carriers, inspections, tokens."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from adapters.sandbox.amazon.lwa import LoginWithAmazon
from adapters.sandbox.amazon.network import FulfillmentNetwork, ShipmentStatus, lines_of
from adapters.sandbox.amazon.notifications import NotificationService
from adapters.sandbox.amazon.orders import Order, ReturnItem
from adapters.sandbox.amazon.rates import ServiceOffer
from adapters.sandbox.amazon.shipping import ParcelStatus, ShippingService
from adapters.sandbox.easypost.shipments import EasyPostService
from adapters.sandbox.easypost.trackers import TrackerStatus
from adapters.sandbox.loop.returns import LoopReturn
from adapters.sandbox.loop.shop import LoopShop
from adapters.sandbox.refusals import ControlError
from adapters.sandbox.stamps import Seconds

IN_EASYPOSTS_WORDS: Mapping[ParcelStatus, TrackerStatus] = {
    "PreTransit": "pre_transit",
    "InTransit": "in_transit",
    "OutForDelivery": "out_for_delivery",
    "Delivered": "delivered",
    "Lost": "failure",
    "Rejected": "return_to_sender",
    "Undeliverable": "return_to_sender",
    "DeliveryAttempted": "out_for_delivery",
    "PickupCancelled": "cancelled",
    "AwaitingCustomerPickup": "available_for_pickup",
}


class AmazonControl:
    """The operations. An impossible one raises ControlError with a sentence that says why."""

    network: FulfillmentNetwork
    lwa: LoginWithAmazon
    shipping: ShippingService
    notifications: NotificationService
    easypost: EasyPostService
    shop: LoopShop
    _claims: dict[str, int | None]

    def create_order(
        self,
        order_id: str,
        lines: Mapping[str, int] | None = None,
        *,
        shipments: Sequence[Mapping[str, Any]] | None = None,
        displayable_order_id: str | None = None,
        status: str = "COMPLETE",
        return_centers: Sequence[str] = ("RNO1",),
        age: float = 0.0,
        postal_code: str = "83702",
    ) -> str:
        """Put a fulfillment order into Amazon.

        `lines` maps SKUs to quantities. `shipments` are `{"status": "SHIPPED", "lines": {sku: quantity}}`, oldest
        first; without them everything left in one. `lines` may be left out when the shipments say it all. Units of one
        return go to the `return_centers` (RNO1, ABE8, TUS1) in turns, one authorization each. `age` is in seconds.
        It was sent to `postal_code`; returns start in 83702 by default.
        """
        wanted = _shipped(shipments or ()) if lines is None else dict(lines)
        if not wanted or min(wanted.values()) < 1:
            raise ControlError("an order needs at least one line, and each a quantity of one or more")
        self.network.create_order(
            order_id,
            wanted,
            shipments if shipments is not None else [{"status": "SHIPPED", "lines": wanted}],
            displayable_id=displayable_order_id,
            status=status,
            return_centers=return_centers,
            age=age,
            postal_code=postal_code,
        )
        return order_id

    def set_shipment_status(self, order_id: str, shipment_id: str, status: ShipmentStatus) -> None:
        """Let a shipment leave, or be cancelled."""
        self.network.set_shipment_status(order_id, shipment_id, status)

    def set_reason_codes(self, sku: str, codes: Sequence[str]) -> None:
        """Say which return reason codes a SKU allows; none at all lists none and accepts any."""
        self.network.reasons[sku] = list(codes)

    def refuse_sku(self, sku: str, code: str = "NoReturnableQuantity", description: str = "Not returnable.") -> None:
        """Refuse every unit of a SKU with this invalidItemReasonCode."""
        self.network.refused[sku] = (code, description)

    def set_label_after(self, seconds: Seconds) -> None:
        """Change how long a new authorization stays invisible."""
        self.network.label_after = seconds

    def receive(
        self,
        return_id: int | str,
        *,
        line: int | None = None,
        sku: str | None = None,
        seller_return_item_id: str | None = None,
        order_id: str | None = None,
        condition: str | None = "Sellable",
        amazon_reason: str | None = None,
        center: str | None = None,
    ) -> str:
        """Let a fulfillment center process one unit of a Loop return; return its sellerReturnItemId.

        The unit is named by the Loop line, by its Amazon SKU (the next one on its way) or by its own id; `order_id`
        tells apart the orders of a return. Of several units that fit, one whose id holds the line's or the return's id
        is taken, else the oldest. Receiving the same line or id again corrects the condition; None leaves it out, any
        other text is sent as it is.
        """
        ret = self.shop.known(return_id)
        order, item = self._unit(ret, line, sku, seller_return_item_id, order_id)
        self.network.inspect(item, condition=condition, reason=amazon_reason, center=center)
        self.notifications.unit_processed(order, item)
        self._claims[item.seller_id] = line
        self.shop.note_down(ret, f"Amazon: {item.seller_id} is {item.condition or 'processed'}, {item.center}")
        return item.seller_id

    def offer_services(self, offers: Sequence[ServiceOffer | Mapping[str, Any]]) -> None:
        """Replace the shipping services that getRates knows; none at all offers nothing."""
        try:
            made = [offer if isinstance(offer, ServiceOffer) else ServiceOffer(**offer) for offer in offers]
        except TypeError as error:
            raise ControlError(str(error)) from error
        self.shipping.offers = tuple(made)

    def scan(self, tracking_id: str, status: ParcelStatus) -> None:
        """Let a carrier scan a bought label, of Amazon's or of EasyPost's."""
        if any(tracker.code == tracking_id for tracker in self.easypost.trackers.values()):
            self.easypost.scan(tracking_id, IN_EASYPOSTS_WORDS[status])
        else:
            self.shipping.scan(tracking_id, status)
        for ret in self.shop.returns.values():
            if any(label.tracking_number == tracking_id for label in ret.labels):
                self.shop.note_down(ret, f"carrier: {status}, {tracking_id}")

    def carry(self, return_id: int | str, status: ParcelStatus) -> list[str]:
        """Let a carrier scan every parcel of a return; return the tracking ids."""
        bought = {parcel.tracking_id for shipment in self.shipping.shipments.values() for parcel in shipment.parcels}
        bought |= {tracker.code for tracker in self.easypost.trackers.values()}
        labels = self.shop.known(return_id).labels
        carried = [label.tracking_number for label in labels if label.tracking_number in bought]
        if not carried:
            raise ControlError(f"return {return_id} has no label that was bought")
        for tracking_id in carried:
            self.scan(tracking_id, status)
        return carried

    def lose(self, return_id: int | str) -> list[str]:
        """Let the carrier lose every parcel of a return; return the tracking ids."""
        return self.carry(return_id, "Lost")

    def set_documents_after(self, seconds: Seconds) -> None:
        """Change how long the documents of a purchase stay away."""
        self.shipping.documents_after = seconds

    def revoke_access(self) -> None:
        """Take the seller's consent back: LWA answers invalid_grant, the API 403."""
        self.lwa.revoke()

    def restore_access(self) -> None:
        """Give the consent again."""
        self.lwa.restore()

    def expire_access_tokens(self) -> None:
        """End the life of all access tokens now."""
        self.lwa.expire_access_tokens()

    def set_reads_lag(self, seconds: Seconds) -> None:
        """Change how long a processed unit stays out of reads; its notification is sent at once."""
        self.network.reads_lag = seconds

    def announce(self, order_id: str, event: Literal["Order", "Shipment", "Return"] = "Return") -> None:
        """Send a notification of an order, whether anything happened to it or not."""
        self.notifications.order_status(order_id, event)

    def warn_of_secret(self, days: Annotated[float, Field(gt=0, le=180)] = 30.0) -> None:
        """Send the warning that the client secret ends in so many days."""
        self.notifications.secret_expires(days)

    def rotate_client_secret(self, secret: str, *, keep_old: bool = False) -> None:
        """Replace the client secret."""
        self.lwa.rotate_secret(secret, keep_old=keep_old)

    def _unit(
        self, ret: LoopReturn, line: int | None, sku: str | None, seller_id: str | None, order_id: str | None
    ) -> tuple[Order, ReturnItem]:
        everything = [(order, item) for order in self.network.orders.values() for item in order.items.values()]
        if seller_id is not None:
            named = [(order, item) for order, item in everything if item.seller_id == seller_id]
            if not named:
                raise ControlError(f"Amazon expects no unit {seller_id!r}")
            return named[0]
        for order, item in everything:
            if line is not None and self._claims.get(item.seller_id) == line:
                return order, item
        wanted = sku or self._sku_of(ret, line)
        waiting = [
            (order, item)
            for order, item in everything
            if order.sku_of(item.item_id) == wanted and item.status == "New" and _belongs(ret, order, item, order_id)
        ]
        if not waiting:
            raise ControlError(f"no unit of {wanted!r} is on its way for return {ret.return_id}")
        return min(waiting, key=lambda found: [str(named) not in found[1].seller_id for named in (line, ret.return_id)])

    def _sku_of(self, ret: LoopReturn, line: int | None) -> str:
        found = ret.line(line) if line is not None else None
        if found is None:
            raise ControlError(f"say which unit: a line of return {ret.return_id}, an Amazon SKU or a return item id")
        return found.sku


def _shipped(shipments: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Add up the quantities of the shipments."""
    wanted: dict[str, int] = {}
    for shipment in shipments:
        for sku, quantity in lines_of(shipment).items():
            wanted[sku] = wanted.get(sku, 0) + quantity
    return wanted


def _belongs(ret: LoopReturn, order: Order, item: ReturnItem, order_id: str | None) -> bool:
    """Whether a unit may belong to the return: by the given order, by its own id, or by the order's names."""
    if order_id is not None:
        return order.order_id == order_id
    return str(ret.return_id) in item.seller_id or bool(ret.order_names & {order.order_id, order.displayable_id})
