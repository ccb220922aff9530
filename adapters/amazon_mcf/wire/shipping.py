"""The part of Amazon Shipping v2 that a return label needs: bytes to values and back. PURE.

No documentation says that `RETURNS` with channel `EXTERNAL` is sold from a shopper to a fulfillment center.
"""

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Sequence

from adapters.amazon_mcf.wire.envelope import read
from adapters.amazon_mcf.wire.outbound import encode_id
from adapters.amazon_mcf.wire.shipment import (
    IDEMPOTENCY_CONFLICT,
    LABEL,
    OTHER_CURRENCY,
    PARCEL_SIZE,
    DocumentChoice,
    DocumentOffer,
    PrintOption,
    Quote,
    Rate,
)
from adapters.vendor_calls.json import code_word
from adapters.vendor_calls.reading import JsonObject
from daemon.domain.orders import PostalAddress
from daemon.domain.postage import BoughtPostage, OfferExpired, PostageOrder
from daemon.errors import Refused

BASE = "/shipping/v2"
RATES_PATH = f"{BASE}/shipments/rates"
PURCHASE_PATH = f"{BASE}/shipments"
INPUTS_PATH = f"{BASE}/carrierAccountFormInputs"  # names no id of ours, so this call always works
GET_RATES = "getRates"
PURCHASE = "purchaseShipment"
GET_DOCUMENTS = "getShipmentDocuments"
CANCEL = "cancelShipment"
LIST_INPUTS = "getCarrierAccountFormInputs"

SAYS_EXPIRED = re.compile(r"token(has|is|was)?(already)?expired|expired(request)?token")
SAYS_CONFLICT = re.compile(r"idempoten")
SAYS_CANCELLED = re.compile(r"already(been)?cancel|cancell?edalready")

UNKNOWN_VALUE = 100  # cents, as Amazon's FAQ advises
NAME_LIMIT, LINE_LIMIT, PHONE_LIMIT = 50, 60, 20  # code points; shippingV2.json, Address


def documents_path(shipment_id: str, reference: str, label_format: str) -> str:
    """Return the path of a parcel's documents."""
    query = f"packageClientReferenceId={encode_id(reference)}&format={encode_id(label_format)}"
    return f"{PURCHASE_PATH}/{encode_id(shipment_id)}/documents?{query}"


def cancel_path(shipment_id: str) -> str:
    """Return the path that cancels a shipment."""
    return f"{PURCHASE_PATH}/{encode_id(shipment_id)}/cancel"


def encode_rates(order: PostageOrder, currency: str) -> bytes:
    """Write the body of getRates, addresses cut to Amazon's limits. Raises Refused for a parcel without a size."""
    body = {
        "shipmentType": "RETURNS",
        "channelDetails": {"channelType": "EXTERNAL"},
        "shipFrom": _address(order.ship_from),
        "shipTo": _address(order.ship_to) | {"companyName": f"RMA {order.rma_id}"},
        "packages": [_package(order, currency)],
    }
    return json.dumps(body).encode()


def decode_quote(status: int, body: bytes, service_id: str, currency: str) -> Quote:
    """Read the offer of a service."""
    payload = read(GET_RATES, status, body).accept()
    nodes = [(node.text("serviceId"), node) for node in payload.children("rates")]
    ours = [_rate(node, currency) for name, node in nodes if name == service_id]
    return Quote(
        request_token=payload.text("requestToken"),
        rate=min(ours, key=lambda rate: (bool(rate.unmet), rate.charge_cents), default=None),
        offered=tuple(code_word(name) or "an id that is none" for name in dict.fromkeys(name for name, _ in nodes)),
    )


def encode_purchase(request_token: str, rate_id: str, document: DocumentChoice, services: Sequence[str] = ()) -> bytes:
    """Write the body of purchaseShipment: always the same bytes for the same choice, so that Amazon sees a repeat."""
    specification: dict[str, object] = {
        "format": document.format,
        "size": {"width": document.width, "length": document.length, "unit": document.unit},
        "needFileJoining": document.joined,
        "requestedDocumentTypes": list(document.kinds),
    }
    if document.dpi is not None:
        specification["dpi"] = document.dpi
    if document.layout is not None:
        specification["pageLayout"] = document.layout
    body: dict[str, object] = {
        "requestToken": request_token,
        "rateId": rate_id,
        "requestedDocumentSpecification": specification,
    }
    if services:
        body["requestedValueAddedServices"] = [{"id": name} for name in services]
    return json.dumps(body, sort_keys=True).encode()


def decode_purchase(status: int, body: bytes) -> BoughtPostage | OfferExpired:
    """Read what was bought. How Amazon words an expired token, or a key used before, is not documented."""
    answer = read(PURCHASE, status, body)
    if answer.failed and answer.said(SAYS_EXPIRED):
        return OfferExpired()
    if answer.failed and (answer.status == 409 or answer.said(SAYS_CONFLICT)):
        raise Refused(IDEMPOTENCY_CONFLICT, said=answer.words)
    payload = answer.accept()
    return _bought(payload, payload.children("packageDocumentDetails"))


def decode_documents(status: int, body: bytes) -> BoughtPostage:
    """Read the documents of a bought shipment."""
    payload = read(GET_DOCUMENTS, status, body).accept()
    detail = payload.optional_child("packageDocumentDetail")
    return _bought(payload, (detail,) if detail else ())


def decode_cancelled(status: int, body: bytes) -> None:
    """Read the answer to a cancellation: no body, an object that may be empty, or an error for one cancelled before."""
    if status < 300 and not body.strip():
        return
    answer = read(CANCEL, status, body)
    if answer.failed and not answer.said(SAYS_CANCELLED):
        raise answer.failure()


def _package(order: PostageOrder, currency: str) -> dict[str, object]:
    """Write the parcel; its weight is divided among its units."""
    size = order.size
    length, width, height, weight = size.length_in, size.width_in, size.height_in, size.weight_g
    if length is None or width is None or height is None or weight is None:
        raise Refused(PARCEL_SIZE, "the parcel has no size; amazon.shipping.default_parcel gives one")
    return {
        "packageClientReferenceId": order.reference,
        "dimensions": {"length": length, "width": width, "height": height, "unit": "INCH"},
        "weight": _grams(weight),
        "insuredValue": {"value": order.value_cents / 100, "unit": currency},
        "items": [
            {
                "quantity": count,
                "itemIdentifier": sku,
                "weight": _grams(weight / len(order.skus)),
                "itemValue": {"value": (cents or UNKNOWN_VALUE) / 100, "unit": currency},
            }
            for (sku, cents), count in _items(order).items()
        ],
    }


def _items(order: PostageOrder) -> Counter[tuple[str, int]]:
    """Count the units by SKU and price; Amazon requires a value though it calls it optional."""
    prices = order.prices_cents or (0,) * len(order.skus)
    return Counter(zip(order.skus, prices, strict=True))


def _grams(weight: float) -> dict[str, object]:
    return {"value": weight, "unit": "GRAM"}


def _address(place: PostalAddress) -> dict[str, str]:
    """Write an address. Optional members must not be empty, and a sender needs a name."""
    optional = {
        "addressLine2": _cut(place.line2, LINE_LIMIT),
        "addressLine3": _cut(place.line3, LINE_LIMIT),
        "phoneNumber": _cut(place.phone, PHONE_LIMIT),
    }
    required = {
        "name": _cut(place.name, NAME_LIMIT) or "Customer",
        "addressLine1": _cut(place.line1, LINE_LIMIT),
        "city": place.city,
        "stateOrRegion": place.region,
        "postalCode": place.postal_code,
        "countryCode": place.country_code,
    }
    return required | {name: text for name, text in optional.items() if text}


def _cut(text: str, limit: int) -> str:
    return " ".join(text.split())[:limit].rstrip()


def _rate(node: JsonObject, currency: str) -> Rate:
    charge = node.child("totalCharge")
    if (unit := charge.text("unit")) != currency:
        raise Refused(
            OTHER_CURRENCY, f"the service charges in {code_word(unit) or 'another currency'}, not in {currency}"
        )
    services, cost, unmet = _required(node, currency)
    return Rate(
        rate_id=node.text("rateId"),
        carrier_id=node.text("carrierId"),
        carrier_name=node.optional_text("carrierName") or "",
        charge_cents=charge.cents("value") + cost,
        documents=tuple(_offer(offer) for offer in node.children("supportedDocumentSpecifications")),
        requires_additional_inputs=node.flag("requiresAdditionalInputs"),
        services=services,
        unmet=unmet,
    )


def _required(rate: JsonObject, currency: str) -> tuple[tuple[str, ...], int, str]:
    """Read the cheapest service of each required group, their total cost, and which requirement cannot be met.

    Without them Amazon refuses the purchase: https://github.com/amzn/selling-partner-api-models/issues/4759
    """
    services, cents, unmet = [], 0, ""
    for group in rate.children("availableValueAddedServiceGroups"):
        if not group.flag("isRequired"):
            continue
        priced = [(one.child("cost"), one.text("id")) for one in group.children("valueAddedServices")]
        offers = [(cost.cents("value"), name) for cost, name in priced if cost.text("unit") == currency]
        if offers:
            cost, name = min(offers)
            services.append(name)
            cents += cost
        else:
            unmet = code_word(group.text("groupId")) or "without a name"
    return tuple(services), cents, unmet


def _offer(node: JsonObject) -> DocumentOffer:
    size = node.child("size")
    return DocumentOffer(
        format=node.text("format"),
        width=float(size.number("width")),
        length=float(size.number("length")),
        unit=size.text("unit"),
        options=tuple(_option(option) for option in node.children("printOptions")),
    )


def _option(node: JsonObject) -> PrintOption:
    details = node.children("supportedDocumentDetails")
    return PrintOption(
        dpis=tuple(d for d in node.values("supportedDPIs") if isinstance(d, int) and not isinstance(d, bool)),
        layouts=tuple(v for v in node.values("supportedPageLayouts") if isinstance(v, str)),
        joining=tuple(v for v in node.values("supportedFileJoiningOptions") if isinstance(v, bool)),
        kinds=tuple(detail.text("name") for detail in details),
        mandatory=tuple(detail.text("name") for detail in details if detail.flag("isMandatory")),
    )


def _bought(payload: JsonObject, parcels: tuple[JsonObject, ...]) -> BoughtPostage:
    """Read a purchase; documents that do not exist yet are missing or empty."""
    tracking_ids = (parcel.optional_text("trackingId") for parcel in parcels)
    documents = (node for parcel in parcels for node in parcel.children("packageDocuments"))
    label = next((d for d in documents if d.optional_text("type") == LABEL and d.optional_text("contents")), None)
    return BoughtPostage(
        shipment_id=payload.text("shipmentId"),
        tracking_id=next(filter(None, tracking_ids), ""),
        document=_content(label) if label else None,
    )


def _content(document: JsonObject) -> bytes:
    contents = "".join(document.text("contents").split())
    try:
        return base64.b64decode(contents, validate=True)
    except (binascii.Error, ValueError):
        raise document.broken("contents", "is not base64") from None
