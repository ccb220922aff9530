"""Builds small, valid values of the domain; every field can be overridden by name."""

from dataclasses import replace
from typing import Any

from daemon.domain.naming import return_item_id
from daemon.domain.orders import (
    FulfillmentOrder,
    OrderItem,
    PostalAddress,
    ReturnAuthorization,
    ReturnItem,
    Shipment,
    ShippedItem,
)
from daemon.domain.portal import (
    ParcelSize,
    PortalLabelRequest,
    PortalLine,
    PortalReturn,
    PortalState,
    RequestStatus,
)
from daemon.domain.returns import Finding, Label, LabelRequest, RequestState, Return, ReturnUnit, State, UnitState

NOW = 1_800_000_000.0
HOUR = 3600.0
DAY = 86400.0

CENTER = PostalAddress(
    name="Amazon Returns", line1="1 Dock Road", city="Lexington", region="KY", postal_code="40511", country_code="US"
)
SHOPPER = PostalAddress(
    name="Sam Shopper", line1="5 Elm Street", city="Dayton", region="OH", postal_code="45402", country_code="US"
)


# ---- our return


def a_label(tracking_number: str = "RMA-1", **fields: Any) -> Label:
    """A label that is Amazon's RMA page."""
    label = Label(url=f"https://rma.test/{tracking_number}", carrier="Amazon", tracking_number=tracking_number)
    return replace(label, **fields)


def a_request(request_id: str = "q1", asked: RequestState = RequestState.OPEN, **fields: Any) -> LabelRequest:
    """A label request, read and open."""
    return replace(LabelRequest(request_id=request_id, asked=asked), **fields)


def delivered(request_id: str = "q1", **fields: Any) -> LabelRequest:
    """A label request whose label was delivered."""
    fields = {"label": a_label(), "label_id": f"label-{request_id}", **fields}
    return a_request(request_id, RequestState.DELIVERED, **fields)


def a_unit(line_id: str = "1", sku: str = "SOCK", request_id: str = "q1", **fields: Any) -> ReturnUnit:
    """A planned unit, with the same SKU in Loop and at Amazon."""
    price = fields.get("price_cents", 1000)
    unit = ReturnUnit(
        line_id=line_id, portal_sku=sku, sku=sku, request_id=request_id, price_cents=price, line_price_cents=price
    )
    return replace(unit, **fields)


def assigned(unit: ReturnUnit, order_id: str = "O1", shipment_id: str = "S1") -> ReturnUnit:
    """A unit assigned to a shipment, with the id that mcfd derives for it."""
    return replace(
        unit,
        order_id=order_id,
        order_item_id=f"item-{unit.sku}",
        shipment_id=shipment_id,
        return_item_id=return_item_id("acme", "77", unit.line_id, unit.part),
    )


def authorized(unit: ReturnUnit, authorization_id: str = "A1", order_id: str = "O1") -> ReturnUnit:
    """A unit that Amazon expects back."""
    placed = assigned(unit, order_id)
    return replace(placed, standing=UnitState.AUTHORIZED, authorization_id=authorization_id)


def found(unit: ReturnUnit, condition: str = "Sellable", at: float = NOW, **fields: Any) -> ReturnUnit:
    """An expected unit that was inspected."""
    finding = Finding(condition=condition, found_at=at, center="LEX1")
    return replace(authorized(unit), finding=finding, processed_at=at, **fields)


def refused(unit: ReturnUnit, problem: str = "NotReturnable: too old") -> ReturnUnit:
    """A unit that Amazon does not take back."""
    return replace(unit, standing=UnitState.NOT_RETURNABLE, problem=problem)


def a_return(**fields: Any) -> Return:
    """A newly received return of shop `acme`, with one open label request and no unit."""
    ret = Return(shop="acme", return_id="77", created_at=NOW, changed_at=NOW, requests=(a_request(),))
    return replace(ret, **fields)


def an_awaited_return(*units: ReturnUnit, **fields: Any) -> Return:
    """A return with a delivered label and units under way."""
    usual = {
        "state": State.AWAITING_INSPECTION,
        "labelled_at": NOW,
        "requests": (delivered(),),
        "units": units or (authorized(a_unit()),),
        "authorizations": (an_authorization(),),
    }
    return a_return(**{**usual, **fields})


# ---- Amazon


def an_authorization(authorization_id: str = "A1", **fields: Any) -> ReturnAuthorization:
    """The permission for one parcel."""
    authorization = ReturnAuthorization(
        authorization_id=authorization_id,
        rma_id=f"RMA-{authorization_id}",
        page_url=f"https://rma.test/{authorization_id}",
        center="LEX1",
        ship_to=CENTER,
    )
    return replace(authorization, **fields)


def a_shipment(shipment_id: str = "S1", *, shipped_at: float | None = NOW - 9 * DAY, **quantities: int) -> Shipment:
    """A shipped shipment of these quantities by SKU."""
    items = tuple(ShippedItem(item_id=f"item-{sku}", sku=sku, quantity=n) for sku, n in quantities.items())
    return Shipment(shipment_id=shipment_id, shipped=True, shipped_at=shipped_at, items=items)


def an_order(order_id: str = "O1", *shipments: Shipment, **fields: Any) -> FulfillmentOrder:
    """A complete fulfillment order; its lines add up what was shipped."""
    shipped = [item for shipment in shipments for item in shipment.items]
    totals = {i.item_id: (i.sku, sum(s.quantity for s in shipped if s.item_id == i.item_id)) for i in shipped}
    items = tuple(OrderItem(item_id=item_id, sku=sku, quantity=n) for item_id, (sku, n) in totals.items())
    order = FulfillmentOrder(
        order_id=order_id, displayable_order_id=f"#{order_id}", status="Complete", items=items, shipments=shipments
    )
    return replace(order, **fields)


def a_return_item(unit: ReturnUnit, **fields: Any) -> ReturnItem:
    """Amazon's row for an assigned unit, not yet processed."""
    item = ReturnItem(
        return_item_id=unit.return_item_id,
        order_item_id=unit.order_item_id,
        shipment_id=unit.shipment_id,
        processed=False,
        changed_at=NOW,
        authorization_id=unit.authorization_id or "A1",
    )
    return replace(item, **fields)


def processed(unit: ReturnUnit, condition: str | None = "Sellable", at: float = NOW, **fields: Any) -> ReturnItem:
    """Amazon's row for an inspected unit."""
    return a_return_item(unit, processed=True, condition=condition, changed_at=at, center="LEX1", **fields)


# ---- Loop


def a_line(line_id: str = "1", sku: str = "SOCK", **fields: Any) -> PortalLine:
    """One line of a return."""
    return replace(PortalLine(line_id=line_id, sku=sku, price_cents=1000, reason="Too small"), **fields)


def a_portal_return(*lines: PortalLine, **fields: Any) -> PortalReturn:
    """An open return, as Loop's details show it."""
    details = PortalReturn(
        return_id="77",
        state=PortalState.OPEN,
        lines=lines or (a_line(),),
        order_name="#1001",
        order_number="1",
        provider_order_id="5001",
    )
    return replace(details, **fields)


def a_portal_request(request_id: str = "q1", **fields: Any) -> PortalLabelRequest:
    """An issued label request from within the United States."""
    request = PortalLabelRequest(
        request_id=request_id,
        return_id="77",
        status=RequestStatus.ISSUED,
        skus=("SOCK",),
        origin_country="US",
        origin=SHOPPER,
        private=(SHOPPER.name, SHOPPER.line1, SHOPPER.city, SHOPPER.region, SHOPPER.postal_code),
        parcel=ParcelSize(),
    )
    return replace(request, **fields)
