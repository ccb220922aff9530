"""Shipments: made for nothing, rated by carrier accounts, bought once, refunded slowly."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from adapters.sandbox.easypost.trackers import Tracker, TrackerStatus
from adapters.sandbox.label_files import pdf, png
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import ControlError, Json, VendorError
from adapters.sandbox.stamps import amazon_time as stamp
from daemon.ports.host import Clock

DAY = 86400.0
RATES_KEPT = 28 * DAY
LABELS_KEPT = 180 * DAY
TEST_REFUND_REJECTED = DAY
RefundStatus = Literal["submitted", "refunded", "rejected", "not_applicable"]
SCANNED = frozenset({"in_transit", "out_for_delivery", "available_for_pickup", "delivered", "return_to_sender"})


@dataclass(frozen=True)
class CarrierService:
    """What one carrier account sells. `failure` is what it says instead of a rate."""

    carrier: str
    service: str
    cents: int
    account: str = "ca_sandbox1"
    currency: str = "USD"
    failure: str = ""
    needs_phones: bool = False


@dataclass
class Sale:
    """A purchase: when it happened, when readings show it, and the parcel's tracker."""

    rate: Json
    at: float
    shows_at: float
    tracker: Tracker
    refund: RefundStatus | None = None
    refund_at: float = 0.0


@dataclass
class EasyPostShipment:
    """A shipment; `sales` counts how often money was taken for it, which must never be more than once."""

    shipment_id: str
    mode: str
    request: Json
    created_at: float
    rates: list[Json] = field(default_factory=list)
    messages: list[Json] = field(default_factory=list)
    rated_at: float = 0.0
    sale: Sale | None = None
    purchase_requests: int = 0

    @property
    def reference(self) -> str:
        """What the buyer calls it."""
        return str(self.request.get("reference") or "")

    @property
    def given_back(self) -> bool:
        """Whether its money was asked back, and not refused."""
        return self.sale is not None and self.sale.refund in {"submitted", "refunded", "not_applicable"}


def easypost_error(status: int, code: str, message: str, errors: Sequence[Any] = ()) -> VendorError:
    """Build the usual error."""
    return VendorError(status, {"error": {"code": code, "message": message, "errors": list(errors)}})


class EasyPostService:
    """One EasyPost account with its carrier accounts. `announce` hears of events: description and object."""

    def __init__(self, options: SandboxOptions, clock: Clock, announce: Callable[[str, Json], None]) -> None:
        self.services: Sequence[CarrierService] = (
            CarrierService("USPS", "GroundAdvantage", 607),
            CarrierService("USPS", "Priority", 955),
            CarrierService("UPS", "Ground", 812, account="ca_sandbox2"),
        )
        self.shipments: dict[str, EasyPostShipment] = {}
        self.trackers: dict[str, Tracker] = {}
        self.files: dict[str, tuple[str, str]] = {}
        self.base_url = ""
        self.funds = True
        self.refund_answers: list[RefundStatus] = []
        self.refused: list[tuple[int, str, str]] = []
        self.timing_out: list[float | None] = []
        self.pictures = False
        self._options = options
        self._clock = clock
        self._announce = announce
        self._ids = 0

    # ---- shipments

    def create(self, body: object, mode: str) -> Json:
        """Answer POST /shipments; with `service` it is bought in the same call."""
        request = body.get("shipment") if isinstance(body, dict) else None
        if not isinstance(request, dict) or not all(
            isinstance(request.get(n), dict) for n in ("to_address", "from_address", "parcel")
        ):
            raise easypost_error(422, "PARAMETER.REQUIRED", "Missing required parameter.", [{"field": "shipment"}])
        if not isinstance(request["parcel"].get("weight"), int | float | str):
            raise easypost_error(422, "PARAMETER.REQUIRED", "Missing required parameter.", [{"field": "weight"}])
        now = self._clock.now()
        shipment = EasyPostShipment(self._next("shp"), mode, request, now)
        self._rate(shipment)
        self.shipments[shipment.shipment_id] = shipment
        if isinstance(request.get("service"), str):
            wanted = next((rate for rate in shipment.rates if rate["service"] == request["service"]), None)
            if wanted is None:
                raise easypost_error(422, "SHIPMENT.MISSING_RATE", "The service is not offered.")
            self._sell(shipment, wanted, now, now)
        return self.view(shipment)

    def read(self, shipment_id: str, mode: str) -> Json:
        """Answer GET /shipments/:id."""
        return self.view(self._find(shipment_id, mode))

    def list_all(self, query: Mapping[str, str], mode: str) -> Json:
        """Answer GET /shipments, newest first; only bought ones unless asked otherwise."""
        bought = query.get("purchased", "true") != "false"
        found = [s for s in reversed(self.shipments.values()) if s.mode == mode and (s.sale is not None) is bought]
        ids = [s.shipment_id for s in found]
        if query.get("before_id") in ids:
            found = found[ids.index(query["before_id"]) + 1 :]
        size = int(query.get("page_size", "20"))
        return {"shipments": [self.view(s) for s in found[:size]], "has_more": len(found) > size}

    def rerate(self, shipment_id: str, mode: str) -> Json:
        """Answer POST /shipments/:id/rerate: new rates with new ids."""
        shipment = self._find(shipment_id, mode)
        self._rate(shipment)
        return {"rates": shipment.rates}

    def buy(self, shipment_id: str, body: object, mode: str) -> Json:
        """Answer POST /shipments/:id/buy: once, at a rate that the shipment has."""
        shipment, now = self._find(shipment_id, mode), self._clock.now()
        shipment.purchase_requests += 1
        self._check_sale(shipment, now)
        wanted = body.get("rate") if isinstance(body, dict) else None
        rate_id = wanted.get("id") if isinstance(wanted, dict) else None
        rate = next((rate for rate in shipment.rates if rate["id"] == rate_id), None)
        if rate is None or shipment.rated_at + RATES_KEPT <= now:
            raise easypost_error(422, "SHIPMENT.MISSING_RATE", "The rate is not one of the shipment.")
        if not self.funds:
            raise easypost_error(402, "PAYMENT_REQUIRED", "Insufficient funds.")
        self._check_carrier(shipment, rate)
        if self.timing_out:
            after = self.timing_out.pop(0)
            if after is not None:
                self._sell(shipment, rate, now + after, now + after)
            raise easypost_error(422, "SHIPMENT.POSTAGE.TIMED_OUT", "The carrier did not answer in time.")
        self._sell(shipment, rate, now, now + self._options.sale_shows_after)
        return self.view(shipment, whole=True)

    def refund(self, shipment_id: str, mode: str) -> Json:
        """Answer POST /shipments/:id/refund: submitted, and decided later by the carrier."""
        shipment, now = self._find(shipment_id, mode), self._clock.now()
        sale = shipment.sale
        if sale is None or sale.at > now:
            raise easypost_error(422, "SHIPMENT.REFUND.FAILURE", "The shipment has no postage.")
        if SCANNED & {detail["status"] for detail in sale.tracker.at(now)[1]} and shipment.mode != "test":
            raise easypost_error(422, "SHIPMENT.REFUND.UNAVAILABLE", "The label was used.")
        if self._refund_of(shipment, now) in {None, "rejected"}:
            sale.refund = self.refund_answers.pop(0) if self.refund_answers else "submitted"
            sale.refund_at = now
        return self.view(shipment, whole=True)

    # ---- what carriers do

    def scan(self, code: str, status: TrackerStatus) -> None:
        """Let a carrier say something of a parcel, and tell whoever listens."""
        tracker = next((t for t in self.trackers.values() if t.code == code), None)
        if tracker is None:
            raise ControlError(f"no label with the tracking code {code!r} was bought from EasyPost")
        before = tracker.status
        tracker.scan(status, self._clock.now())
        self._announce("tracker.updated", tracker.view(self._clock.now()) | {"_before": before})

    def settle_refund(self, shipment_id: str, status: RefundStatus) -> None:
        """Let the carrier decide on a refund."""
        shipment = self.shipments.get(shipment_id)
        if shipment is None or shipment.sale is None or shipment.sale.refund is None:
            raise ControlError(f"no refund of {shipment_id!r} was asked for")
        shipment.sale.refund = status
        if status == "refunded":
            refund = {"id": self._next("rfnd"), "object": "Refund", "status": "refunded", "shipment_id": shipment_id}
            self._announce("refund.successful", refund | {"tracking_code": shipment.sale.tracker.code})

    def read_tracker(self, tracker_id: str, mode: str) -> Json:
        """Answer GET /trackers/:id."""
        tracker = self.trackers.get(tracker_id)
        if tracker is None or tracker.mode != mode:
            raise _not_found()
        return tracker.view(self._clock.now())

    def file(self, name: str) -> tuple[bytes, str]:
        """Return a label's file and its type."""
        if name not in self.files:
            raise VendorError(404, {"error": {"code": "NOT_FOUND", "message": "no such file", "errors": []}})
        shipment_id, kind = self.files[name]
        shipment = self.shipments[shipment_id]
        if kind == "png":
            return png(), "image/png"
        return pdf([] if self.pictures else _printed(shipment)), "application/pdf"

    def view(self, shipment: EasyPostShipment, *, whole: bool = False) -> Json:
        """Show a shipment as the API does; `whole` shows a sale that readings do not show yet."""
        now, sale = self._clock.now(), shipment.sale
        shown = sale if sale is not None and sale.at <= now and (whole or sale.shows_at <= now) else None
        request = shipment.request
        addresses = {
            name: {"id": f"adr_{name}", "object": "Address", **_filled(request[name])}
            for name in ("to_address", "from_address")
        }
        if shown:
            addresses["to_address"] = _verified(addresses["to_address"])
        return {
            "id": shipment.shipment_id,
            "object": "Shipment",
            "mode": shipment.mode,
            "is_return": bool(request.get("is_return")),
            "reference": request.get("reference"),
            "created_at": stamp(shipment.created_at),
            "updated_at": stamp(now),
            **addresses,
            "buyer_address": addresses["to_address"],
            "return_address": addresses["from_address"],
            "parcel": {"id": "prcl_1", "object": "Parcel", **request["parcel"]},
            "options": {"currency": "USD", "payment": {"type": "SENDER"}, **request.get("options", {})},
            "rates": shipment.rates,
            "messages": shipment.messages,
            "selected_rate": shown.rate if shown else None,
            "postage_label": self._label(shipment, shown, now) if shown else None,
            "tracking_code": shown.tracker.code if shown else None,
            "tracker": shown.tracker.view(now) if shown else None,
            "refund_status": self._refund_of(shipment, now) if shown else None,
            "status": shown.tracker.at(now)[0] if shown else "unknown",
            "fees": _fees(shown),
            "forms": [],
            "insurance": None,
            "usps_zone": 4,
        }

    # ---- inside

    def _rate(self, shipment: EasyPostShipment) -> None:
        wanted = shipment.request.get("carrier_accounts") or [service.account for service in self.services]
        named = [one.get("id") if isinstance(one, dict) else one for one in wanted]
        asked = [service for service in self.services if service.account in named]
        shipment.rated_at = self._clock.now()
        shipment.rates = [self._rate_view(shipment, service) for service in asked if not service.failure]
        shipment.messages = [
            {
                "carrier": service.carrier,
                "carrier_account_id": service.account,
                "type": "rate_error",
                "message": service.failure,
            }
            for service in asked
            if service.failure
        ]

    def _rate_view(self, shipment: EasyPostShipment, service: CarrierService) -> Json:
        price = str(Decimal(service.cents) / 100)
        return {
            "id": self._next("rate"),
            "object": "Rate",
            "mode": shipment.mode,
            "carrier": service.carrier,
            "service": service.service,
            "rate": price,
            "currency": service.currency,
            "list_rate": str(Decimal(service.cents + 50) / 100),
            "list_currency": service.currency,
            "retail_rate": None,
            "retail_currency": None,
            "billing_type": "easypost",
            "delivery_days": 3,
            "est_delivery_days": 3,
            "delivery_date": None,
            "delivery_date_guaranteed": False,
            "shipment_id": shipment.shipment_id,
            "carrier_account_id": service.account,
        }

    def _check_sale(self, shipment: EasyPostShipment, now: float) -> None:
        if shipment.sale is not None and shipment.sale.at > now:
            raise easypost_error(409, "SHIPMENT.PURCHASE.IN_PROGRESS", "The purchase is in progress.")
        if shipment.sale is not None:
            raise easypost_error(422, "SHIPMENT.POSTAGE.EXISTS", "Postage already exists for this shipment.")
        if self.refused:
            status, code, message = self.refused.pop(0)
            raise easypost_error(status, code, message)

    def _check_carrier(self, shipment: EasyPostShipment, rate: Json) -> None:
        """Let the carrier complain about what it rated."""
        ends = (shipment.request["to_address"], shipment.request["from_address"])
        if any(not str(value).isascii() for end in ends for value in end.values()):
            raise easypost_error(422, "SHIPMENT.POSTAGE.ASCII", "The address contains characters that are not ASCII.")
        service = next(
            (s for s in self.services if s.service == rate["service"] and s.carrier == rate["carrier"]), None
        )
        if service and service.needs_phones and not all(end.get("phone") for end in ends):
            raise VendorError(400, {"error": "FromPhone"})

    def _sell(self, shipment: EasyPostShipment, rate: Json, at: float, shows_at: float) -> None:
        self._ids += 1
        code = f"94001{self._ids:017}" if rate["carrier"] == "USPS" else f"1Z{self._ids:016}"
        tracker = Tracker(self._next("trk"), code, rate["carrier"], shipment.shipment_id, shipment.mode, at)
        self.trackers[tracker.tracker_id] = tracker
        shipment.sale = Sale(rate, at, shows_at, tracker)
        self._announce("tracker.created", tracker.view(at))

    def _label(self, shipment: EasyPostShipment, sale: Sale, now: float) -> Json:
        kind = str(shipment.request.get("options", {}).get("label_format", "PNG")).casefold()
        name = f"{shipment.shipment_id.removeprefix('shp_')}.{kind}"
        self.files[name] = (shipment.shipment_id, kind)
        gone = sale.at + LABELS_KEPT <= now
        url = f"{self.base_url}/files/postage_label/{stamp(sale.at)[:10].replace('-', '')}/{name}"
        return {
            "id": f"pl_{shipment.shipment_id.removeprefix('shp_')}",
            "object": "PostageLabel",
            "label_url": None if gone else url,
            "label_pdf_url": None,
            "label_zpl_url": None,
            "label_epl2_url": None,
            "label_file": None,
            "label_file_type": "application/pdf" if kind == "pdf" else "image/png",
            "label_size": "4x6",
            "label_resolution": 300,
            "label_date": stamp(sale.at),
            "date_advance": 0,
            "integrated_form": "none",
        }

    def _refund_of(self, shipment: EasyPostShipment, now: float) -> RefundStatus | None:
        sale = shipment.sale
        if sale is None or sale.refund is None:
            return None
        if sale.refund == "submitted" and shipment.mode == "test" and now >= sale.refund_at + TEST_REFUND_REJECTED:
            sale.refund = "rejected"
        return sale.refund

    def _find(self, shipment_id: str, mode: str) -> EasyPostShipment:
        shipment = self.shipments.get(shipment_id)
        if shipment is None or shipment.mode != mode:
            raise _not_found()
        return shipment

    def _next(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}_{self._ids:032x}"


def _not_found() -> VendorError:
    return easypost_error(404, "NOT_FOUND", "The requested resource could not be found.")


def _filled(address: Json) -> Json:
    names = ("name", "company", "street1", "street2", "city", "state", "zip", "country", "phone", "email")
    return {name: address.get(name) for name in names}


def _verified(address: Json) -> Json:
    """What buying makes of the receiver: upper case, a longer ZIP, the unit in the first line."""
    upper = {
        name: value.upper() if isinstance(value, str) and name != "id" else value for name, value in address.items()
    }
    code = upper.get("zip") or ""
    street = " ".join(filter(None, (upper.get("street1"), upper.get("street2"))))
    return upper | {"zip": f"{code}-0001" if len(code) == 5 else code, "street1": street, "street2": ""}


def _fees(sale: Sale | None) -> list[Json]:
    if sale is None:
        return []
    fee = {"object": "Fee", "charged": True, "refunded": sale.refund == "refunded"}
    return [fee | {"type": "PostageFee", "amount": f"{Decimal(sale.rate['rate']):.5f}"}]


def _printed(shipment: EasyPostShipment) -> list[str]:
    """What stands on the label: a return is turned, so that the shopper is the sender."""
    to, sender = shipment.request["to_address"], shipment.request["from_address"]
    if shipment.request.get("is_return"):
        to, sender = sender, to
    rate, code = ("", "") if shipment.sale is None else (shipment.sale.rate, shipment.sale.tracker.code)
    service = f"{rate['carrier']} {rate['service']}" if isinstance(rate, dict) else ""
    custom = shipment.request.get("options", {}).get("print_custom_1", "")
    return [service.upper(), *_place(sender), "SHIP TO:", *_place(to), f"TRACKING # {code}", str(custom)]


def _place(address: Json) -> list[str]:
    town = f"{address.get('city', '')} {address.get('state', '')} {address.get('zip', '')}"
    lines = (address.get("name"), address.get("street1"), address.get("street2"), town)
    return [str(line).upper() for line in lines if line]
