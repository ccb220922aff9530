"""All data of the vendors, as plain dicts for tests and for people."""

from adapters.sandbox.amazon.network import FulfillmentNetwork
from adapters.sandbox.amazon.orders import order_view
from adapters.sandbox.amazon.shipping import BoughtShipment, ShippingService
from adapters.sandbox.easypost.shipments import EasyPostService, EasyPostShipment
from adapters.sandbox.loop.label_views import label_view, request_view
from adapters.sandbox.loop.returns import LoopReturn
from adapters.sandbox.loop.shop import LoopShop
from adapters.sandbox.loop.views import detail_view
from adapters.sandbox.refusals import Json

FOR_EVER = 1e12


def amazon_snapshot(network: FulfillmentNetwork, shipping: ShippingService) -> Json:
    """Show the bought labels, and the orders as getFulfillmentOrder will once all authorizations are visible."""
    return {
        "orders": {order.order_id: order_view(order, FOR_EVER, network.base_url) for order in network.orders.values()},
        "shipments": {shipment.shipment_id: _shipment(shipment) for shipment in shipping.shipments.values()},
    }


def loop_snapshot(shop: LoopShop) -> Json:
    """Show returns by id, label requests by id."""
    return {
        "returns": {str(ret.return_id): _return(ret, shop) for ret in shop.returns.values()},
        "label_requests": {
            str(request.request_id): request_view(request, shop.returns[request.return_id], shop.shop_id, in_list=False)
            for request in shop.requests.values()
        },
    }


def easypost_snapshot(service: EasyPostService) -> Json:
    """Show every created shipment by id, and the sales."""
    return {"shipments": {shipment.shipment_id: _parcel(shipment) for shipment in service.shipments.values()}}


def _parcel(shipment: EasyPostShipment) -> Json:
    sale = shipment.sale
    return {
        "mode": shipment.mode,
        "reference": shipment.reference,
        "request": shipment.request,
        "purchase_requests": shipment.purchase_requests,
        "sold": None
        if sale is None
        else {
            "rate": sale.rate,
            "at": sale.at,
            "tracking_code": sale.tracker.code,
            "tracker": sale.tracker.tracker_id,
            "status": sale.tracker.status,
            "refund": sale.refund,
        },
    }


def _shipment(shipment: BoughtShipment) -> Json:
    return {
        "service_id": shipment.offer.service_id,
        "cancelled": shipment.cancelled,
        "idempotency_key": shipment.key,
        "request": shipment.request,
        "parcels": [
            {"reference": parcel.reference, "tracking_id": parcel.tracking_id, "status": parcel.status}
            for parcel in shipment.parcels
        ],
    }


def _return(ret: LoopReturn, shop: LoopShop) -> Json:
    """Show the details, and what no API shows: notes, timeline, history, label ids, counts of calls."""
    details = detail_view(ret, "2026-10")
    return details | {
        "flagged": ret.flagged,
        "notes": [note["content"] for note in ret.notes],
        "timeline": list(ret.timeline),
        "history": list(ret.history),
        "delivered_labels": [label_view(label) for label in ret.labels],
        "label_requests": [request.request_id for request in shop.requests_of(ret)],
        "counts": dict(ret.counts),
        "line_items": [
            view | {"grades": line.grades, "assessments": line.assessments, "resolution": line.resolution}
            for view, line in zip(details["line_items"], ret.lines, strict=True)
        ],
    }
