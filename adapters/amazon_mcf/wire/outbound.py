"""Fulfillment Outbound 2020-07-01: bytes to values and back. PURE.

The answers hold the shopper's address (`destinationAddress`); only its postal code is read, to tell orders apart.
"""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote

from adapters.amazon_mcf.wire.envelope import LONGEST_MESSAGE, read
from adapters.vendor_calls.json import code_word, printable
from adapters.vendor_calls.reading import JsonObject
from daemon.domain.naming import OWN_ITEM
from daemon.domain.orders import (
    CreateAnswer,
    FulfillmentOrder,
    InvalidItem,
    OrderItem,
    PostalAddress,
    ReturnAuthorization,
    ReturnItem,
    Shipment,
    ShippedItem,
)
from daemon.domain.returns import ReturnUnit
from daemon.errors import ContractBroken
from daemon.ports.vendors import OrderHead, OrderPage

T = TypeVar("T")

BASE = "/fba/outbound/2020-07-01"
GET_ORDER = "getFulfillmentOrder"
LIST_ORDERS = "listAllFulfillmentOrders"
LIST_REASONS = "listReturnReasonCodes"
CREATE_RETURN = "createFulfillmentReturn"

PROCESSED = {"new": False, "processed": True}
CONDITIONS = {
    word.casefold(): word for word in ("Sellable", "Defective", "CustomerDamaged", "CarrierDamaged", "FulfillerDamaged")
}


def encode_id(text: str) -> str:
    """Percent-encode a path segment or a query value, every reserved character."""
    return quote(text, safe="")


def order_path(order_id: str) -> str:
    """Return the path of one fulfillment order."""
    return f"{BASE}/fulfillmentOrders/{encode_id(order_id)}"


def create_return_path(order_id: str) -> str:
    """Return the path for creating return items."""
    return f"{order_path(order_id)}/return"


def orders_path(since: float, next_token: str) -> str:
    """Return the path of a page of orders changed since a Unix time; the token alone names a later page."""
    if next_token:
        return f"{BASE}/fulfillmentOrders?nextToken={encode_id(next_token)}"
    start = datetime.fromtimestamp(int(max(since, 0.0)), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{BASE}/fulfillmentOrders?queryStartDate={encode_id(start)}"


def reasons_path(sku: str, marketplace_id: str) -> str:
    """Return the path of the return reasons of a SKU."""
    return f"{BASE}/returnReasonCodes?sellerSku={encode_id(sku)}&marketplaceId={encode_id(marketplace_id)}"


def encode_create(units: Sequence[ReturnUnit]) -> bytes:
    """Write the body of createFulfillmentReturn: one item per unit, and no comment, which could hold personal data."""
    items = [
        {
            "sellerReturnItemId": unit.return_item_id,
            "sellerFulfillmentOrderItemId": unit.order_item_id,
            "amazonShipmentId": unit.shipment_id,
            "returnReasonCode": unit.reason_code,
        }
        for unit in units
    ]
    return json.dumps({"items": items}).encode()


def decode_order(status: int, body: bytes) -> FulfillmentOrder | None:
    """Read one order; None when Amazon says that there is no such order."""
    answer = read(GET_ORDER, status, body)
    if answer.unknown:
        return None
    payload = answer.accept()
    head = payload.child("fulfillmentOrder")
    items = _readable(_listed_item, payload.children("returnItems"), _is_ours)
    return FulfillmentOrder(
        order_id=head.text("sellerFulfillmentOrderId"),
        displayable_order_id=head.optional_text("displayableOrderId") or "",
        status=head.text("fulfillmentOrderStatus"),
        received_at=_date(head, "receivedDate"),
        postal_code=_postal_code(head),
        items=tuple(_order_item(node) for node in payload.children("fulfillmentOrderItems")),
        shipments=_readable(_shipment, payload.children("fulfillmentShipments"), _has_left),
        return_items=items,
        authorizations=_readable(_authorization, payload.children("returnAuthorizations"), _named_by(items)),
    )


def decode_created(status: int, body: bytes) -> CreateAnswer:
    """Read what became of each unit; any of the three lists may be absent."""
    payload = read(CREATE_RETURN, status, body).accept()
    return CreateAnswer(
        return_items=tuple(_return_item(node) for node in payload.children("returnItems")),
        invalid_items=tuple(_invalid_item(node) for node in payload.children("invalidReturnItems")),
        authorizations=tuple(_authorization(node) for node in payload.children("returnAuthorizations")),
    )


def decode_reasons(status: int, body: bytes) -> tuple[str, ...]:
    """Read the codes, in Amazon's order."""
    payload = read(LIST_REASONS, status, body).accept()
    return tuple(node.text("returnReasonCode") for node in payload.children("reasonCodeDetails"))


def decode_page(status: int, body: bytes) -> OrderPage:
    """Read one page of order heads. On the last page Amazon omits the token or sends an empty one.

    An unreadable order must hide neither the others nor the pages that follow.
    """
    payload = read(LIST_ORDERS, status, body).accept()
    rows = payload.children("fulfillmentOrders")
    heads = _readable(_head, rows, lambda _: False)
    if rows and not heads:
        raise payload.broken("fulfillmentOrders", "holds no order that can be read")
    return OrderPage(heads=heads, next_token=payload.optional_text("nextToken") or "")


def _head(node: JsonObject) -> OrderHead:
    return OrderHead(
        order_id=node.text("sellerFulfillmentOrderId"),
        displayable_order_id=node.optional_text("displayableOrderId") or "",
        changed_at=_date(node, "statusUpdatedDate") or _date(node, "receivedDate") or 0.0,
    )


def _date(node: JsonObject, name: str) -> float | None:
    """Read an optional date; an unreadable one must not make the order unreadable."""
    with suppress(ContractBroken):
        return node.optional_time(name)
    return None


def _postal_code(head: JsonObject) -> str:
    with suppress(ContractBroken):
        address = head.optional_child("destinationAddress")
        return (address.optional_text("postalCode") if address else None) or ""
    return ""


def _readable(
    decode: Callable[[JsonObject], T], nodes: Sequence[JsonObject], needed: Callable[[JsonObject], bool]
) -> tuple[T, ...]:
    """Read the rows; an unreadable row that is not needed must not make the order unreadable."""
    rows = []
    for node in nodes:
        try:
            rows.append(decode(node))
        except ContractBroken:
            if needed(node):
                raise
    return tuple(rows)


def _has_left(shipment: JsonObject) -> bool:
    """Say whether it was shipped; one in preparation or cancelled may lack its id and items."""
    word = shipment.members.get("fulfillmentShipmentStatus")
    return not isinstance(word, str) or word.strip().casefold() == "shipped"


def _is_ours(item: JsonObject) -> bool:
    name = item.members.get("sellerReturnItemId")
    return isinstance(name, str) and name.startswith(OWN_ITEM)


def _listed_item(node: JsonObject) -> ReturnItem:
    """Read a unit that anybody returns, also by hand: an unreadable one that is not ours is only counted."""
    try:
        return _return_item(node)
    except ContractBroken:
        if _is_ours(node):
            raise
    return ReturnItem(
        return_item_id=node.optional_text("sellerReturnItemId") or "",
        order_item_id=node.text("sellerFulfillmentOrderItemId"),
        shipment_id=node.text("amazonShipmentId"),
        processed=PROCESSED.get((node.optional_text("status") or "").strip().casefold(), False),
    )


def _named_by(items: Sequence[ReturnItem]) -> Callable[[JsonObject], bool]:
    ours = {item.authorization_id for item in items if item.return_item_id.startswith(OWN_ITEM)}
    return lambda authorization: authorization.members.get("returnAuthorizationId") in ours


def _order_item(node: JsonObject) -> OrderItem:
    return OrderItem(
        item_id=node.text("sellerFulfillmentOrderItemId"), sku=node.text("sellerSku"), quantity=node.count("quantity")
    )


def _shipment(node: JsonObject) -> Shipment:
    return Shipment(
        shipment_id=node.text("amazonShipmentId"),
        shipped=node.text("fulfillmentShipmentStatus").strip().casefold() == "shipped",
        shipped_at=node.optional_time("shippingDate"),
        items=tuple(
            ShippedItem(
                item_id=item.text("sellerFulfillmentOrderItemId"),
                sku=item.text("sellerSku"),
                quantity=item.count("quantity"),
            )
            for item in node.children("fulfillmentShipmentItem")
        ),
    )


def _return_item(node: JsonObject) -> ReturnItem:
    """Read one unit; any status but New and Processed is an error, not a guess."""
    processed = PROCESSED.get(node.text("status").strip().casefold())
    if processed is None:
        raise node.broken("status", "is neither New nor Processed")
    return ReturnItem(
        return_item_id=node.text("sellerReturnItemId"),
        order_item_id=node.text("sellerFulfillmentOrderItemId"),
        shipment_id=node.text("amazonShipmentId"),
        processed=processed,
        changed_at=node.optional_time("statusChangedDate"),
        authorization_id=node.optional_text("returnAuthorizationId"),
        condition=_condition(node.optional_text("returnReceivedCondition")),
        reason=node.optional_text("amazonReturnReasonCode"),
        center=node.optional_text("fulfillmentCenterId"),
    )


def _condition(word: str | None) -> str | None:
    """Spell a condition as Amazon's model does, whatever case it came in; leave an unknown one as it is."""
    return None if word is None else CONDITIONS.get(word.strip().casefold(), word)


def _invalid_item(node: JsonObject) -> InvalidItem:
    reason = node.child("invalidItemReason")
    return InvalidItem(
        return_item_id=node.text("sellerReturnItemId"),
        code=code_word(reason.text("invalidItemReasonCode")) or "UNREADABLE_CODE",
        description=printable(reason.optional_text("description") or "", LONGEST_MESSAGE),
    )


def _authorization(node: JsonObject) -> ReturnAuthorization:
    address = node.optional_child("returnToAddress")
    return ReturnAuthorization(
        authorization_id=node.text("returnAuthorizationId"),
        rma_id=node.text("amazonRmaId"),
        page_url=_page_url(node),
        center=node.optional_text("fulfillmentCenterId") or "",
        ship_to=_address(address) if address else None,
    )


def _page_url(node: JsonObject) -> str:
    """Read the URL of the page that shoppers are sent to, which a browser must be able to open."""
    url = node.text("rmaPageURL").strip()
    if not re.match(r"https?://[!-~]+$", url):
        raise node.broken("rmaPageURL", "is not a web address")
    return url


def _address(node: JsonObject) -> PostalAddress:
    return PostalAddress(
        name=node.text("name"),
        line1=node.text("addressLine1"),
        line2=node.optional_text("addressLine2") or "",
        line3=node.optional_text("addressLine3") or "",
        city=node.optional_text("city") or "",
        region=node.optional_text("stateOrRegion") or "",
        postal_code=node.optional_text("postalCode") or "",
        country_code=node.optional_text("countryCode") or "",
        phone=node.optional_text("phone") or "",
    )
