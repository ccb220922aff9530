"""Trackers: what carriers say of parcels, in EasyPost's words."""

from dataclasses import dataclass, field
from typing import Literal

from adapters.sandbox.refusals import Json
from adapters.sandbox.stamps import amazon_time as stamp

TrackerStatus = Literal[
    "unknown",
    "pre_transit",
    "in_transit",
    "out_for_delivery",
    "available_for_pickup",
    "delivered",
    "return_to_sender",
    "failure",
    "cancelled",
    "error",
]
DETAILS = {
    "pre_transit": "label_created",
    "in_transit": "status_update",
    "out_for_delivery": "out_for_delivery",
    "delivered": "arrived_at_destination",
}
WALK: tuple[tuple[float, TrackerStatus], ...] = (
    (1.0, "pre_transit"),
    (60.0, "in_transit"),
    (120.0, "out_for_delivery"),
    (180.0, "delivered"),
)
"""How a label that was bought with a test key travels by itself: so many seconds after the purchase."""
MONTH = 30 * 86400.0


@dataclass
class Tracker:
    """One parcel, as its carrier sees it. In test mode it walks by itself, with details from a month ago."""

    tracker_id: str
    code: str
    carrier: str
    shipment_id: str
    mode: str
    made_at: float
    status: TrackerStatus = "unknown"
    details: list[Json] = field(default_factory=list)

    def scan(self, status: TrackerStatus, at: float) -> None:
        """Let the carrier say something."""
        self.status = status
        self.details.append(_detail(status, at, self.carrier))

    def at(self, now: float) -> tuple[TrackerStatus, list[Json]]:
        """Its status and details at that hour."""
        if self.mode != "test":
            return self.status, self.details
        walked = [(self.made_at + after - MONTH, status) for after, status in WALK if self.made_at + after <= now]
        details = [_detail(status, at, self.carrier) for at, status in walked]
        return (walked[-1][1] if walked else "unknown"), details

    def view(self, now: float) -> Json:
        """Show it as the API does."""
        status, details = self.at(now)
        return {
            "id": self.tracker_id,
            "object": "Tracker",
            "mode": self.mode,
            "tracking_code": self.code,
            "status": status,
            "status_detail": DETAILS.get(status, "unknown"),
            "created_at": stamp(self.made_at),
            "updated_at": stamp(now),
            "signed_by": "DOCK" if status == "delivered" else None,
            "weight": 15.0 if status == "delivered" else None,
            "est_delivery_date": None,
            "shipment_id": self.shipment_id,
            "carrier": self.carrier,
            "tracking_details": details,
            "fees": [],
            "public_url": f"https://track.easypost.com/{self.tracker_id}",
        }


def _detail(status: str, at: float, carrier: str) -> Json:
    return {
        "object": "TrackingDetail",
        "datetime": stamp(at),
        "message": status.replace("_", " ").title(),
        "description": "",
        "status": status,
        "status_detail": DETAILS.get(status, "status_update"),
        "source": carrier,
        "carrier_code": "",
        "tracking_location": {"city": "BOISE", "state": "ID", "country": None, "zip": "83702"},
    }
