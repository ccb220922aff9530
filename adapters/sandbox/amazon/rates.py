"""getRates of Shipping v2: what a request must contain, and which services it is offered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.sandbox.refusals import ControlError, Json, invalid_input
from adapters.sandbox.stamps import amazon_time

FORMATS = ("PDF", "PNG", "ZPL")
DOCUMENTS = ("LABEL", "PACKSLIP")
LABEL_SIZE: Json = {"width": 4, "length": 6, "unit": "INCH"}
DPIS = (203, 300)
ADDRESS = ("name", "addressLine1", "city", "stateOrRegion", "postalCode", "countryCode")
LENGTHS = {"name": 50, "addressLine1": 60, "addressLine2": 60, "addressLine3": 60, "email": 64, "phoneNumber": 20}
LENGTH_UNITS = ("INCH", "CENTIMETER")
WEIGHT_UNITS = ("GRAM", "KILOGRAM", "OUNCE", "POUND")
INELIGIBLE = (
    *("NO_COVERAGE", "PICKUP_SLOT_RESTRICTION", "UNSUPPORTED_VAS", "VAS_COMBINATION_RESTRICTION"),
    *("SIZE_RESTRICTIONS", "WEIGHT_RESTRICTIONS", "LATE_DELIVERY", "PROGRAM_CONSTRAINTS"),
    *("TERMS_AND_CONDITIONS_NOT_ACCEPTED", "UNKNOWN"),
)


@dataclass(frozen=True, kw_only=True)
class ServiceOffer:
    """A shipping service of the account; `ineligible` is one of Amazon's codes, if it is not sold now.

    `required_service` is a value-added service that must be bought with it for `required_cents`. An empty one stands
    for a group that requires a service but contains none.
    """

    service_id: str
    name: str = "Amazon Shipping"
    carrier_id: str = "AMZN_US"
    carrier_name: str = "Amazon Shipping"
    cents: int = 650
    shipment_types: tuple[str, ...] = ("RETURNS",)
    formats: tuple[str, ...] = FORMATS
    requires_additional_inputs: bool = False
    ineligible: str | None = None
    required_service: str | None = None
    required_cents: int = 0

    def __post_init__(self) -> None:
        if self.ineligible is not None and self.ineligible not in INELIGIBLE:
            raise ControlError(f"a service is ineligible by one of {', '.join(INELIGIBLE)}")
        if not self.formats or any(name not in FORMATS for name in self.formats):
            raise ControlError(f"a label's formats are one or more of {', '.join(FORMATS)}")


def check_rates_request(body: object, *, item_values: bool) -> Json:
    """Return the request if it is complete; Amazon in practice requires item weights and, mostly, item values."""
    if not isinstance(body, dict):
        raise invalid_input("The request body must be an object.")
    channel = _part(body, "channelDetails").get("channelType")
    if channel not in ("AMAZON", "EXTERNAL"):
        raise invalid_input("channelDetails.channelType must be AMAZON or EXTERNAL.")
    if body.get("shipmentType", "FORWARD") not in ("FORWARD", "RETURNS"):
        raise invalid_input("shipmentType must be FORWARD or RETURNS.")
    for role in ("shipFrom", *(("shipTo",) if channel == "EXTERNAL" or "shipTo" in body else ())):
        _check_address(_part(body, role), role)
    packages = body.get("packages")
    if not isinstance(packages, list) or not packages:
        raise invalid_input("packages is required.")
    for package in packages:
        _check_package(package, item_values=item_values)
    return body


def rate_view(offer: ServiceOffer, rate_id: str, request: Json, now: float) -> Json:
    """Show a Rate."""
    return {
        "rateId": rate_id,
        "carrierId": offer.carrier_id,
        "carrierName": offer.carrier_name,
        "serviceId": offer.service_id,
        "serviceName": offer.name,
        "billedWeight": request["packages"][0]["weight"],
        "totalCharge": charge_view(offer),
        "promise": promise_view(now),
        "supportedDocumentSpecifications": [_specification(name) for name in offer.formats],
        "availableValueAddedServiceGroups": _groups(offer),
        "requiresAdditionalInputs": offer.requires_additional_inputs,
        "paymentType": "PAY_THROUGH_AMAZON",
        "benefits": {"includedBenefits": [], "excludedBenefits": []},
    }


def _groups(offer: ServiceOffer) -> list[Json]:
    if offer.required_service is None:
        return []
    cost = {"value": offer.required_cents / 100, "unit": "USD"}
    service = {"id": offer.required_service, "name": "Signature on delivery", "cost": cost}
    return [
        {
            "groupId": "SIG_VERIFICATION",
            "groupDescription": "Signature verification",
            "isRequired": True,
            "valueAddedServices": [service] if offer.required_service else [],
        }
    ]


def check_services(offer: ServiceOffer, wanted: object) -> None:
    """Refuse a purchase without the services that the rate requires."""
    given = [one.get("id") for one in wanted if isinstance(one, Mapping)] if isinstance(wanted, list) else []
    if offer.required_service is not None and offer.required_service not in given:
        raise invalid_input("A required value added service is missing from the request.")


def charge_view(offer: ServiceOffer) -> Json:
    """Show what a service costs."""
    return {"value": offer.cents / 100, "unit": "USD"}


def promise_view(now: float) -> Json:
    """Show a Promise: pickup within a day, delivery within five."""
    day = 86400
    return {
        "deliveryWindow": {"start": amazon_time(now + 3 * day), "end": amazon_time(now + 5 * day)},
        "pickupWindow": {"start": amazon_time(now), "end": amazon_time(now + day)},
    }


def ineligible_view(offer: ServiceOffer, code: str) -> Json:
    """Show an IneligibleRate."""
    return {
        "serviceId": offer.service_id,
        "serviceName": offer.name,
        "carrierName": offer.carrier_name,
        "carrierId": offer.carrier_id,
        "ineligibilityReasons": [{"code": code, "message": "The service is not available for this shipment."}],
    }


def ineligibility(offer: ServiceOffer, request: Json) -> str | None:
    """Say why a service cannot carry the parcel; None when it can."""
    if offer.ineligible:
        return offer.ineligible
    countries = {request[role]["countryCode"] for role in ("shipFrom", "shipTo") if role in request}
    return None if countries == {"US"} else "NO_COVERAGE"


def check_document(offer: ServiceOffer, wanted: Mapping[str, Any]) -> None:
    """Refuse a document specification that the rate did not advertise."""
    types = wanted.get("requestedDocumentTypes")
    if wanted.get("format") not in offer.formats or wanted.get("size") != LABEL_SIZE:
        raise invalid_input("The document format or size is not supported by the rate.")
    if not isinstance(types, list) or "LABEL" not in types or any(name not in DOCUMENTS for name in types):
        raise invalid_input("The requested document types are not supported by the rate.")
    if wanted.get("needFileJoining") not in (True, False) or wanted.get("dpi", 300) not in DPIS:
        raise invalid_input("needFileJoining or dpi is not supported by the rate.")
    if wanted.get("pageLayout", "DEFAULT") != "DEFAULT":
        raise invalid_input("The page layout is not supported by the rate.")


def _specification(file_format: str) -> Json:
    return {
        "format": file_format,
        "size": LABEL_SIZE,
        "printOptions": [
            {
                "supportedDPIs": list(DPIS),
                "supportedPageLayouts": ["DEFAULT"],
                "supportedFileJoiningOptions": [True, False],
                "supportedDocumentDetails": [
                    {"name": "LABEL", "isMandatory": True},
                    {"name": "PACKSLIP", "isMandatory": False},
                ],
            }
        ],
    }


def _part(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = body.get(name)
    if not isinstance(part, Mapping):
        raise invalid_input(f"{name} is required.")
    return part


def _check_address(address: Mapping[str, Any], role: str) -> None:
    for name in ADDRESS:
        if not _is_text(address.get(name)):
            raise invalid_input(f"{role}.{name} is required.")
    for name, longest in LENGTHS.items():
        if len(str(address.get(name) or "")) > longest:
            raise invalid_input(f"{role}.{name} is longer than {longest} characters.")


def _check_package(package: object, *, item_values: bool) -> None:
    if not isinstance(package, Mapping) or not _is_text(package.get("packageClientReferenceId")):
        raise invalid_input("packages.packageClientReferenceId is required.")
    size, value = _part(package, "dimensions"), _part(package, "insuredValue")
    if any(not _positive(size.get(side)) for side in ("length", "width", "height")):
        raise invalid_input("packages.dimensions must be positive numbers.")
    if size.get("unit") not in LENGTH_UNITS:
        raise invalid_input("packages.dimensions.unit is not valid.")
    _check_weight(_part(package, "weight"), "packages.weight")
    if not isinstance(value.get("value"), int | float) or len(str(value.get("unit") or "")) != 3:
        raise invalid_input("packages.insuredValue needs a value and a currency.")
    items = package.get("items")
    if not isinstance(items, list) or not items or not all(isinstance(item, Mapping) for item in items):
        raise invalid_input("packages.items is required.")
    for item in items:
        if item_values and not _positive(_part(item, "itemValue").get("value")):
            raise invalid_input("packages.items.itemValue needs a value and a currency.")
        if not _positive(item.get("quantity")):
            raise invalid_input("packages.items.quantity is required.")
        _check_weight(_part(item, "weight"), "packages.items.weight")


def _check_weight(weight: Mapping[str, Any], where: str) -> None:
    if not _positive(weight.get("value")) or weight.get("unit") not in WEIGHT_UNITS:
        raise invalid_input(f"{where} needs a positive value and a unit.")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
