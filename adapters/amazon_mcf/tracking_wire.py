"""Amazon Shipping v2, getTracking: where a parcel is. PURE."""

from dataclasses import dataclass

from adapters.amazon_mcf.envelope import read
from adapters.amazon_mcf.reading import Node
from adapters.amazon_mcf.wire import encode_id
from daemon.domain.returns import Transit

GET_TRACKING = "getTracking"

# Amazon's words in lower case; None is a word that says nothing which the portal has a status for.
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

# Events that happen without anybody having the parcel in hand. An event we do not know counts as a scan, so that a
# label is rather kept than voided, and a parcel rather waited for than called missing.
NO_SCAN = frozenset(
    {"readyforreceive", "pickupcancelled", "lost", "returninitiated", "recipientrequestedalternatedeliverytiming"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """Where a parcel is.

    `status` is Amazon's word, empty when it sent none, and `known` says whether we know it. `transit` is None for a
    word that must not be reported. Times are Unix seconds.
    """

    status: str
    known: bool
    transit: Transit | None
    lost: bool
    last_scan_at: float | None
    delivered_at: float | None
    alternate_leg: str | None


def tracking_path(tracking_id: str, carrier_id: str) -> str:
    """Return the path of a parcel's tracking; `carrier_id` is the rate's."""
    return f"/shipping/v2/tracking?trackingId={encode_id(tracking_id)}&carrierId={encode_id(carrier_id)}"


def decode_tracking(status: int, body: bytes) -> Tracking | None:
    """Read where a parcel is; None when Amazon says that it knows of none. How it says so is documented nowhere."""
    answer = read(GET_TRACKING, status, body)
    if answer.unknown:
        return None
    payload = answer.accept()
    summary = payload.optional_child("summary")
    word = (summary.optional_text("status") if summary else None) or ""
    folded = word.strip().casefold()
    events = tuple(_event(node) for node in payload.children("eventHistory"))
    return Tracking(
        status=word,
        known=folded in TRANSIT,
        transit=TRANSIT.get(folded),
        lost=folded == "lost",
        last_scan_at=max((at for code, at in events if code not in NO_SCAN), default=None),
        delivered_at=max((at for code, at in events if code == "delivered"), default=None),
        alternate_leg=_other_leg(payload),
    )


def _event(node: Node) -> tuple[str, float]:
    return node.text("eventCode").strip().casefold(), node.time("eventTime")


def _other_leg(payload: Node) -> str | None:
    """Read the id of the other leg; Amazon prints the word "null" when there is none."""
    leg = payload.optional_text("alternateLegTrackingId")
    return None if leg == "null" else leg
