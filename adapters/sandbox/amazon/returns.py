"""createFulfillmentReturn: accepting and refusing units, and issuing authorizations."""

from collections.abc import Mapping

from adapters.sandbox.amazon.network import FulfillmentNetwork
from adapters.sandbox.amazon.orders import Authorization, Order, ReturnItem, Shipment, authorization_view, item_view
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import Json, invalid_input
from daemon.ports.host import Clock

REQUIRED = ("sellerReturnItemId", "sellerFulfillmentOrderItemId", "amazonShipmentId", "returnReasonCode")
LENGTHS = {"sellerReturnItemId": 80, "returnComment": 1000}


class ReturnsService:
    """Creates returns in a network. A call adds return items and never replaces any."""

    def __init__(self, network: FulfillmentNetwork, options: SandboxOptions, clock: Clock) -> None:
        self._network = network
        self._options = options
        self._clock = clock
        self._authorizations = 0

    def create(self, order_id: str, body: object) -> Json:
        """Answer createFulfillmentReturn, which may accept some items and refuse others."""
        order = self._network.find(order_id)
        wanted = _items_of(body)
        for item in wanted:
            self._check_shape(order, item)
        accepted: list[ReturnItem] = []
        invalid: list[Json] = []
        given: dict[str, Authorization] = {}
        for item in wanted:
            refusal = self._refusal(order, item)
            if refusal:
                invalid.append(_invalid_view(item, *refusal))
            else:
                accepted.append(self._accept(order, item, given, len(accepted)))
        return self._answer(accepted, invalid, given)

    def _answer(self, accepted: list[ReturnItem], invalid: list[Json], given: dict[str, Authorization]) -> Json:
        now = self._clock.now()
        visible = [authorization for authorization in given.values() if authorization.visible_at <= now]
        answer: Json = {
            "returnItems": [item_view(item, now) for item in accepted],
            "invalidReturnItems": invalid,
        }
        if visible or not accepted:
            answer["returnAuthorizations"] = [authorization_view(a, self._network.base_url) for a in visible]
        return answer

    def _check_shape(self, order: Order, item: Mapping[str, object]) -> None:
        for name in REQUIRED:
            if not isinstance(item.get(name), str) or not item[name]:
                raise invalid_input(f"{name} is required.")
        for name, longest in LENGTHS.items():
            if len(str(item.get(name) or "")) > longest:
                raise invalid_input(f"{name} is longer than {longest} characters.")
        if self._options.bad_reason == "request" and self._unsuitable(order, item):
            raise invalid_input(f"The return reason code {item['returnReasonCode']} is not valid for the item.")

    def _unsuitable(self, order: Order, item: Mapping[str, object]) -> bool:
        line = next((line for line in order.lines if line.item_id == item["sellerFulfillmentOrderItemId"]), None)
        if line is None:
            return False
        listed = list(self._network.codes_of(line.sku))
        return bool(listed) and item["returnReasonCode"] not in listed

    def _refusal(self, order: Order, item: Mapping[str, object]) -> tuple[str, str] | None:
        """Say why a unit is refused (code, description), or None."""
        item_id = str(item["sellerFulfillmentOrderItemId"])
        shipment = next((s for s in order.shipments if s.shipment_id == item["amazonShipmentId"]), None)
        if item["sellerReturnItemId"] in order.items:
            return "DuplicateRequest", "A return with this seller return item id was already requested."
        if shipment is None and self._options.shipment_ids == "any":
            shipment = next((s for s in order.shipments if item_id in s.lines and s.status == "SHIPPED"), None)
        if shipment is None or item_id not in shipment.lines:
            return "InvalidValues", "The item is not part of the fulfillment order or of the shipment."
        if self._unsuitable(order, item):
            return "InvalidValues", "The return reason code is not valid for the item."
        return self._network.refused.get(order.sku_of(item_id)) or _shortage(order, shipment, item_id)

    def _accept(self, order: Order, item: Mapping[str, object], given: dict[str, Authorization], n: int) -> ReturnItem:
        center = order.return_centers[n % len(order.return_centers)]
        if center not in given:
            given[center] = self._authorize(center)
        comment = item.get("returnComment")
        accepted = ReturnItem(
            seller_id=str(item["sellerReturnItemId"]),
            item_id=str(item["sellerFulfillmentOrderItemId"]),
            shipment_id=str(item["amazonShipmentId"]),
            reason=str(item["returnReasonCode"]),
            comment=None if comment is None else str(comment),
            authorization=given[center],
            changed_at=self._clock.now(),
        )
        order.items[accepted.seller_id] = accepted
        return accepted

    def _authorize(self, center: str) -> Authorization:
        self._authorizations += 1
        return Authorization(
            authorization_id=f"RMASANDBOX{self._authorizations:06d}",
            center=center,
            rma=f"DxS{self._authorizations:05d}RRMA",
            visible_at=self._clock.now() + self._network.label_after,
        )


def _items_of(body: object) -> list[Mapping[str, object]]:
    items = body.get("items") if isinstance(body, Mapping) else None
    if not isinstance(items, list) or not items or not all(isinstance(item, Mapping) for item in items):
        raise invalid_input("items is required and must not be empty.")
    return items


def _shortage(order: Order, shipment: Shipment, item_id: str) -> tuple[str, str] | None:
    """Refuse units that have not shipped or that other return items already claim."""
    if shipment.status != "SHIPPED":
        return "NoCompletedShipItems", "The item has not shipped yet."
    shipped = sum(s.lines.get(item_id, 0) for s in order.shipments if s.status == "SHIPPED")
    asked = [item.shipment_id for item in order.items.values() if item.item_id == item_id]
    if len(asked) >= shipped or asked.count(shipment.shipment_id) >= shipment.lines[item_id]:
        return "NoReturnableQuantity", "All returnable units are already assigned to return items."
    return None


def _invalid_view(item: Mapping[str, object], code: str, description: str) -> Json:
    return {
        "sellerReturnItemId": item["sellerReturnItemId"],
        "sellerFulfillmentOrderItemId": item["sellerFulfillmentOrderItemId"],
        "invalidItemReason": {"invalidItemReasonCode": code, "description": description},
    }
