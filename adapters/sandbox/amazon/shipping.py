"""Shipping v2: expiring quotes, idempotent purchases, documents, voids, tracking."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from adapters.sandbox.amazon.rates import (
    ServiceOffer,
    charge_view,
    check_document,
    check_rates_request,
    check_services,
    ineligibility,
    ineligible_view,
    promise_view,
    rate_view,
)
from adapters.sandbox.label_files import encoded
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import ControlError, Json, amazon_error, invalid_input
from adapters.sandbox.stamps import amazon_time
from daemon.ports.host import Clock

TOKEN_SECONDS = 600
ParcelStatus = Literal[
    "PreTransit",
    "InTransit",
    "OutForDelivery",
    "Delivered",
    "Lost",
    "Rejected",
    "Undeliverable",
    "DeliveryAttempted",
    "PickupCancelled",
    "AwaitingCustomerPickup",
]
EVENTS = {
    "PreTransit": "ReadyForReceive",
    "InTransit": "PickupDone",
    "OutForDelivery": "OutForDelivery",
    "Delivered": "Delivered",
    "Lost": "Lost",
    "Rejected": "Rejected",
    "Undeliverable": "Undeliverable",
    "DeliveryAttempted": "DeliveryAttempted",
    "PickupCancelled": "PickupCancelled",
    "AwaitingCustomerPickup": "AvailableForPickup",
}


@dataclass
class Quote:
    """The answer to one getRates."""

    request: Json
    stale_at: float
    rates: dict[str, ServiceOffer]


@dataclass
class Parcel:
    """A package of a bought shipment, with its carrier's events."""

    reference: str
    tracking_id: str
    status: str = "PreTransit"
    events: list[Json] = field(default_factory=list)


@dataclass
class BoughtShipment:
    """A purchase. Its documents can be fetched from `ready_at` on."""

    shipment_id: str
    offer: ServiceOffer
    request: Json
    document: Json
    parcels: list[Parcel]
    promise: Json
    bought_at: float
    ready_at: float
    key: str | None
    cancelled: bool = False


class ShippingService:
    """Holds quotes and shipments. Only the services in `offers` are sold."""

    def __init__(self, options: SandboxOptions, clock: Clock) -> None:
        self.offers: Sequence[ServiceOffer] = (
            ServiceOffer(service_id=options.return_service_id, name="Amazon Shipping Returns"),
            ServiceOffer(service_id="SWA-US-GROUND", cents=890, shipment_types=("FORWARD", "RETURNS")),
        )
        self.documents_after = options.documents_after
        self.shipments: dict[str, BoughtShipment] = {}
        self._options = options
        self._clock = clock
        self._quotes: dict[str, Quote] = {}
        self._purchases: dict[str, str] = {}
        self._ids = 0

    def rates(self, body: object) -> Json:
        """Answer getRates."""
        request = check_rates_request(body, item_values=self._options.item_value == "required")
        now = self._clock.now()
        kind = request.get("shipmentType", "FORWARD")
        offers = [offer for offer in self.offers if kind in offer.shipment_types]
        reasons = {offer.service_id: ineligibility(offer, request) for offer in offers}
        rates = {self._next("RATE"): offer for offer in offers if reasons[offer.service_id] is None}
        token = self._next("TOKEN")
        self._quotes[token] = Quote(request, now + TOKEN_SECONDS * self._options.time_factor, rates)
        return {
            "requestToken": token,
            "rates": [rate_view(offer, rate_id, request, now) for rate_id, offer in rates.items()],
            "ineligibleRates": [
                ineligible_view(offer, code) for offer in offers if (code := reasons[offer.service_id])
            ],
        }

    def purchase(self, body: object, key: str | None) -> Json:
        """Answer purchaseShipment; for a known key, with the shipment bought before."""
        wanted = _purchase_of(body)
        quote = self._quotes.get(wanted["requestToken"])
        if quote is None:
            raise invalid_input("The request token is not valid.")
        if quote.stale_at <= self._clock.now():
            raise amazon_error(400, "TOKEN_EXPIRED", "The request token has expired. Get the rates again.")
        remembered = self._remembered(key, wanted)
        if key and remembered in self._purchases:
            return self._bought_view(self.shipments[self._purchases[remembered]])
        offer = quote.rates.get(wanted["rateId"])
        if offer is None:
            raise invalid_input("The rate id is not valid for the request token.")
        check_document(offer, wanted["requestedDocumentSpecification"])
        check_services(offer, wanted.get("requestedValueAddedServices"))
        if offer.requires_additional_inputs and not wanted.get("additionalInputs"):
            raise invalid_input("The rate requires additional inputs.")
        shipment = self._buy(quote.request, offer, wanted["requestedDocumentSpecification"], key)
        if key:
            self._purchases[remembered] = shipment.shipment_id
        return self._bought_view(shipment)

    def one_click(self, body: object) -> Json:
        """Answer oneClickShipment: buy the first wanted service that is sold, without rates and without a key."""
        request = check_rates_request(body, item_values=self._options.item_value == "required")
        specification, wanted = request.get("labelSpecifications"), request.get("serviceSelection")
        services = wanted.get("serviceId") if isinstance(wanted, dict) else None
        if not isinstance(specification, dict) or not isinstance(services, list):
            raise invalid_input("labelSpecifications and serviceSelection.serviceId are required.")
        sold = {offer.service_id: offer for offer in self.offers if ineligibility(offer, request) is None}
        offer = next((sold[service] for service in services if isinstance(service, str) and service in sold), None)
        if offer is None:
            raise invalid_input("None of the services is available for the shipment.")
        check_document(offer, specification)
        shipment = self._buy(request, offer, specification, None)
        return self._bought_view(shipment) | {
            "carrier": {"id": offer.carrier_id, "name": offer.carrier_name},
            "service": {"id": offer.service_id, "name": offer.name},
            "totalCharge": charge_view(offer),
        }

    def documents(self, shipment_id: str, query: Mapping[str, str]) -> Json:
        """Answer getShipmentDocuments; before the documents are ready their list is empty."""
        shipment = self._find(shipment_id)
        reference = query.get("packageClientReferenceId")
        parcel = next((parcel for parcel in shipment.parcels if parcel.reference == reference), None)
        if parcel is None:
            raise invalid_input("packageClientReferenceId is required and must be of this shipment.")
        if query.get("format", shipment.document["format"]) != shipment.document["format"]:
            raise invalid_input("The format differs from the one that was bought.")
        return {"shipmentId": shipment_id, "packageDocumentDetail": self._documents_view(shipment, parcel)}

    def cancel(self, shipment_id: str) -> Json:
        """Answer cancelShipment, which fails the second time and after a carrier's scan."""
        shipment = self._find(shipment_id)
        if shipment.cancelled:
            raise invalid_input("The shipment is already cancelled.")
        if any(parcel.status != "PreTransit" for parcel in shipment.parcels):
            raise invalid_input("The shipment is in transit and cannot be cancelled.")
        shipment.cancelled = True
        return {}

    def tracking(self, tracking_id: str | None, carrier_id: str | None) -> Json:
        """Answer getTracking."""
        if not tracking_id or not carrier_id:
            raise invalid_input("trackingId and carrierId are required.")
        for shipment in self.shipments.values():
            for parcel in shipment.parcels:
                if parcel.tracking_id == tracking_id and shipment.offer.carrier_id == carrier_id:
                    return {
                        "trackingId": tracking_id,
                        "alternateLegTrackingId": "",
                        "eventHistory": parcel.events,
                        "promisedDeliveryDate": shipment.promise["deliveryWindow"]["end"],
                        "summary": {"status": parcel.status},
                    }
        raise amazon_error(404, "NotFound", "There is no such tracking id.")

    def scan(self, tracking_id: str, status: str) -> None:
        """Let a carrier scan a parcel."""
        if status not in EVENTS:
            raise ControlError(f"a parcel's status is one of {', '.join(EVENTS)}, not {status!r}")
        for shipment in self.shipments.values():
            for parcel in shipment.parcels:
                if parcel.tracking_id == tracking_id:
                    parcel.status = status
                    parcel.events.append({"eventCode": EVENTS[status], "eventTime": amazon_time(self._clock.now())})
                    return
        raise ControlError(f"no label with the tracking id {tracking_id!r} was bought from Amazon")

    def _buy(self, request: Json, offer: ServiceOffer, document: Json, key: str | None) -> BoughtShipment:
        now = self._clock.now()
        parcels = [Parcel(package["packageClientReferenceId"], self._next("TBA9")) for package in request["packages"]]
        shipment = BoughtShipment(
            shipment_id=self._next("SHIPMENT"),
            offer=offer,
            request=request,
            document=document,
            parcels=parcels,
            promise=promise_view(now),
            bought_at=now,
            ready_at=now + self.documents_after,
            key=key,
        )
        self.shipments[shipment.shipment_id] = shipment
        return shipment

    def _bought_view(self, shipment: BoughtShipment) -> Json:
        return {
            "shipmentId": shipment.shipment_id,
            "packageDocumentDetails": [self._documents_view(shipment, parcel) for parcel in shipment.parcels],
            "promise": shipment.promise,
        }

    def _documents_view(self, shipment: BoughtShipment, parcel: Parcel) -> Json:
        ready = shipment.ready_at <= self._clock.now()
        wanted = shipment.document
        size = {"width": float(wanted["size"]["width"]), "length": float(wanted["size"]["length"])}
        to = shipment.request.get("shipTo", {})
        documents = [
            {
                "type": kind,
                "format": wanted["format"],
                "contents": encoded(
                    wanted["format"],
                    [f"SANDBOX {kind}", shipment.offer.name, parcel.tracking_id, f"TO {to.get('name', '')}"],
                    **size,
                    kind=self._options.label_pdf,
                ),
            }
            for kind in wanted["requestedDocumentTypes"]
        ]
        numbered = shipment.bought_at + self._options.tracking_after <= self._clock.now()
        return {
            "packageClientReferenceId": parcel.reference,
            **({"trackingId": parcel.tracking_id} if numbered else {}),
            "packageDocuments": documents if ready else [],
        }

    def _remembered(self, key: str | None, wanted: Json) -> str:
        body = json.dumps(wanted, sort_keys=True) if self._options.idempotency == "key_and_body" else ""
        return f"{key}|{body}"

    def _find(self, shipment_id: str) -> BoughtShipment:
        if shipment_id not in self.shipments:
            raise amazon_error(404, "NotFound", "There is no such shipment.")
        return self.shipments[shipment_id]

    def _next(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}{self._ids:09d}"


def _purchase_of(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise invalid_input("The request body must be an object.")
    for name in ("requestToken", "rateId"):
        if not isinstance(body.get(name), str):
            raise invalid_input(f"{name} is required.")
    if not isinstance(body.get("requestedDocumentSpecification"), dict):
        raise invalid_input("requestedDocumentSpecification is required.")
    return body
