"""Shipping v2 over HTTP."""

from collections.abc import Sequence

from aiohttp import web

from adapters.sandbox.amazon.http import AmazonApi, AmazonGate
from adapters.sandbox.amazon.shipping import ShippingService
from adapters.sandbox.listener import Route, read_json
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import Json, amazon_error, invalid_input

BASE = "/shipping/v2"
BUSINESSES = frozenset(
    f"AmazonShipping_{name}" for name in ("US", "IN", "UK", "UAE", "SA", "EG", "IT", "ES", "FR", "JP")
)
DEFAULT_BUSINESS = "AmazonShipping_UK"
LINKABLE: Json = {
    "carrierId": "FedEx",
    "linkableAccountTypes": [
        {
            "accountType": "SHIPPER_ACCOUNT",
            "carrierAccountInputs": [
                {
                    "descriptionLocalizationKey": "accountNumberDescriptionString",
                    "name": "ACCOUNT_NUMBER",
                    "inputType": "TEXTBOX",
                    "isMandatory": True,
                    "isConfidential": True,
                    "isHidden": False,
                }
            ],
        }
    ],
}


class ShippingVendor(AmazonApi):
    """The operations that a label needs. An account is enrolled with one Amazon Shipping business."""

    name = "shipping"

    def __init__(self, service: ShippingService, gate: AmazonGate, options: SandboxOptions) -> None:
        super().__init__(gate)
        self._service = service
        self._options = options

    def routes(self) -> Sequence[Route]:
        """List the routes."""
        return (
            Route("POST", f"{BASE}/shipments/rates", "getRates", self._rates),
            Route("POST", f"{BASE}/shipments", "purchaseShipment", self._purchase),
            Route("POST", f"{BASE}/oneClickShipment", "oneClickShipment", self._one_click),
            Route("GET", f"{BASE}/shipments/{{shipment_id}}/documents", "getShipmentDocuments", self._documents),
            Route("PUT", f"{BASE}/shipments/{{shipment_id}}/cancel", "cancelShipment", self._cancel),
            Route("GET", f"{BASE}/tracking", "getTracking", self._tracking),
            Route("GET", f"{BASE}/carrierAccountFormInputs", "getCarrierAccountFormInputs", self._form_inputs),
        )

    def admit(self, request: web.Request, operation: str) -> None:
        """Refuse any business but the account's; without the header Amazon assumes the British one."""
        self._gate.admit(request, operation, rate=80.0, burst=100)
        business = request.headers.get("x-amzn-shipping-business-id", DEFAULT_BUSINESS)
        if business not in BUSINESSES:
            raise invalid_input("x-amzn-shipping-business-id is not valid.")
        if business != self._options.shipping_business_id:
            raise amazon_error(403, "Unauthorized", f"The account is not enrolled in {business}.")

    async def _rates(self, request: web.Request) -> web.Response:
        body = await read_json(request, invalid_input("The request body is not valid JSON."))
        return web.json_response({"payload": self._service.rates(body)})

    async def _purchase(self, request: web.Request) -> web.Response:
        body = await read_json(request, invalid_input("The request body is not valid JSON."))
        return web.json_response(
            {"payload": self._service.purchase(body, request.headers.get("x-amzn-IdempotencyKey"))}
        )

    async def _one_click(self, request: web.Request) -> web.Response:
        body = await read_json(request, invalid_input("The request body is not valid JSON."))
        return web.json_response({"payload": self._service.one_click(body)})

    async def _documents(self, request: web.Request) -> web.Response:
        payload = self._service.documents(request.match_info["shipment_id"], request.query)
        return web.json_response({"payload": payload})

    async def _cancel(self, request: web.Request) -> web.Response:
        return web.json_response({"payload": self._service.cancel(request.match_info["shipment_id"])})

    async def _form_inputs(self, _: web.Request) -> web.Response:
        return web.json_response({"linkableCarriersList": [LINKABLE]})  # the model has no payload around it

    async def _tracking(self, request: web.Request) -> web.Response:
        payload = self._service.tracking(request.query.get("trackingId"), request.query.get("carrierId"))
        return web.json_response({"payload": payload})
