"""Amazon Shipping v2, getTracking: where a parcel is. PURE."""

from adapters.amazon_mcf.wire.envelope import read
from adapters.amazon_mcf.wire.outbound import encode_id
from adapters.vendor_calls.reading import JsonObject
from daemon.domain.postage import Tracking
from daemon.domain.returns import Transit

GET_TRACKING = "getTracking"

# Amazon's words in lower case; None where the portal has no matching status.
TRANSIT = {
    "pretransit": Transit.PRE_TRANSIT,
    "intransit": Transit.IN_TRANSIT,
    "outfordelivery": Transit.OUT_FOR_DELIVERY,
    "deliveryattempted": Transit.OUT_FOR_DELIVERY,
    "delivered": Transit.DELIVERED,
    "awaitingcustomerpickup": None,
    "lost": None,
    "pickupcancelled": None,
    "rejected": None,
    "undeliverable": None,
}

# Events that can happen before anybody has the parcel. An unknown event counts as a scan: keeping a label is safer than
# voiding it, and waiting for a parcel is safer than calling it missing.
NO_SCAN = frozenset(
    {"readyforreceive", "pickupcancelled", "lost", "returninitiated", "recipientrequestedalternatedeliverytiming"}
)


def tracking_path(tracking_id: str, carrier_id: str) -> str:
    """Return the path of a parcel's tracking; `carrier_id` comes from the rate."""
    return f"/shipping/v2/tracking?trackingId={encode_id(tracking_id)}&carrierId={encode_id(carrier_id)}"


def decode_tracking(status: int, body: bytes) -> Tracking:
    """Read where a parcel is; empty when Amazon knows none, which it says in an undocumented way."""
    answer = read(GET_TRACKING, status, body)
    if answer.unknown:
        return Tracking()
    payload = answer.accept()
    summary = payload.optional_child("summary")
    word = (summary.optional_text("status") if summary else None) or ""
    folded = word.strip().casefold()
    transit = TRANSIT.get(folded)
    events = tuple(_event(node) for node in payload.children("eventHistory"))
    delivered_at = max((at for code, at in events if code == "delivered"), default=None)
    return Tracking(
        known=not word or folded in TRANSIT,
        transit=transit,
        lost=folded == "lost",
        scanned_at=max((at for code, at in events if code not in NO_SCAN), default=None),
        delivered_at=delivered_at if transit is Transit.DELIVERED else None,
    )


def _event(node: JsonObject) -> tuple[str, float]:
    return node.text("eventCode").strip().casefold(), node.time("eventTime")
