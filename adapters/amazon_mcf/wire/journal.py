"""What the call journal keeps of Amazon's requests and answers."""

from adapters.vendor_calls.call_fields import AllowList

JOURNALED = AllowList(
    (
        "errors.code",
        # what we send
        "items.sellerReturnItemId",
        "items.sellerFulfillmentOrderItemId",
        "items.amazonShipmentId",
        "items.returnReasonCode",
        "requestedDocumentSpecification.format",
        # orders, and what comes back of them
        "payload.fulfillmentOrder.sellerFulfillmentOrderId",
        "payload.fulfillmentOrder.fulfillmentOrderStatus",
        "payload.fulfillmentOrderItems.sellerSku",
        "payload.fulfillmentOrderItems.quantity",
        "payload.fulfillmentShipments.amazonShipmentId",
        "payload.fulfillmentShipments.fulfillmentShipmentStatus",
        "payload.returnItems.sellerReturnItemId",
        "payload.returnItems.status",
        "payload.returnItems.statusChangedDate",
        "payload.returnItems.returnReceivedCondition",
        "payload.returnItems.amazonReturnReasonCode",
        "payload.returnItems.fulfillmentCenterId",
        "payload.returnItems.returnAuthorizationId",
        "payload.invalidReturnItems.sellerReturnItemId",
        "payload.invalidReturnItems.invalidItemReason.invalidItemReasonCode",
        "payload.returnAuthorizations.returnAuthorizationId",
        "payload.returnAuthorizations.amazonRmaId",
        "payload.returnAuthorizations.fulfillmentCenterId",
        "payload.reasonCodeDetails.returnReasonCode",
        # labels and parcels
        "payload.shipmentId",
        "payload.rates.carrierId",
        "payload.rates.totalCharge.value",
        "payload.rates.totalCharge.unit",
        "payload.rates.requiresAdditionalInputs",
        "payload.packageDocumentDetails.trackingId",
        "payload.packageDocumentDetail.trackingId",
        "payload.summary.status",
        "payload.eventHistory.eventCode",
        "payload.eventHistory.eventTime",
    ),
    places=(
        r"/fulfillmentOrders/(?P<order>[^/?]+)",
        r"/shipping/v2/shipments/(?!rates)(?P<shipment>[^/?]+)",
        r"[?&]trackingId=(?P<tracking>[^&]+)",
        r"[?&]sellerSku=(?P<sku>[^&]+)",
    ),
)
"""Ids, states, codes and amounts. Not among them: addresses, messages, and service ids, one of which is a secret."""
