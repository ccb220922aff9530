"""The sandbox plays another integration, as the vendors host them: it answers label requests with ids of its own."""

from adapters.sandbox.amazon.network import FulfillmentNetwork
from adapters.sandbox.amazon.orders import Order
from adapters.sandbox.amazon.returns import ReturnsService
from adapters.sandbox.loop.labels import LabelService
from adapters.sandbox.loop.returns import LabelRequest, LoopReturn
from adapters.sandbox.loop.shop import LoopShop
from adapters.sandbox.refusals import ControlError, Json
from daemon.ports.host import Clock

PAGE = "https://labels.hosted.example/"
NOTE = "Your return label is on its way. (Hosted integration)"


class HostedControl:
    """The operations of the other integration."""

    network: FulfillmentNetwork
    shop: LoopShop
    _returns: ReturnsService
    _labels: LabelService
    _clock: Clock

    def answer_as_hosted(self, return_id: int | str) -> list[str]:
        """Answer a return's open label requests as a hosted integration does; return its ids of the return items.

        It creates the return at Amazon under ids of its own, delivers a label that it hosts, and writes a note.
        """
        ret = self.shop.known(return_id)
        waiting = [r for r in self.shop.requests.values() if r.return_id == ret.return_id and r.status == "issued"]
        if not waiting:
            raise ControlError(f"return {return_id} has no open label request")
        order = self._order_of(ret)
        return [name for request in waiting for name in self._answer(ret, request, order)]

    def _order_of(self, ret: LoopReturn) -> Order:
        names = (ret.order_name, ret.order_name.lstrip("#"), ret.provider_order_id)
        order = next((found for name in names if (found := self.network.orders.get(name)) is not None), None)
        if order is None:
            raise ControlError(f"return {ret.return_id} has no order at Amazon")
        return order

    def _answer(self, ret: LoopReturn, request: LabelRequest, order: Order) -> list[str]:
        skus = {line.line_item_id: line.sku for line in ret.lines}
        items = [self._item(order, request, line_id, skus[line_id]) for line_id in request.line_item_ids]
        answer = self._returns.create(order.order_id, {"items": items})
        if answer["invalidReturnItems"]:
            raise ControlError(f"Amazon refuses a unit of label request {request.request_id}")
        number = f"1ZHOSTED{request.request_id:010d}"
        label = {"carrier": "UPS", "tracking_number": number, "label_url": PAGE + number, "rate": {"amount": 0}}
        self._labels.create_label({"label_request_id": request.request_id, **label})
        self.shop.note_down(ret, "hosted: " + NOTE)
        return [str(item["sellerReturnItemId"]) for item in items]

    def _item(self, order: Order, request: LabelRequest, line_id: int, sku: str) -> Json:
        line = next((line for line in order.lines if line.sku == sku), None)
        sent = next((s for s in order.shipments if line and line.item_id in s.lines and s.status == "SHIPPED"), None)
        if line is None or sent is None:
            raise ControlError(f"order {order.order_id} has shipped no {sku}")
        codes = list(self.network.codes_of(sku))
        return {
            "sellerReturnItemId": f"hosted-{request.request_id}-{line_id}",
            "sellerFulfillmentOrderItemId": line.item_id,
            "amazonShipmentId": sent.shipment_id,
            "returnReasonCode": codes[0] if codes else "CR-UNWANTED_ITEM",
        }
