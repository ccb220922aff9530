"""EasyPost's trackers: where a parcel is. PURE.

What happened is judged by the set of details, not by the order in which they arrive: a tracker that came back to its
sender may say `delivered` afterwards, and then it was delivered to the shopper.
"""

from dataclasses import dataclass
from urllib.parse import quote

from adapters.easypost.wire.errors import accept
from adapters.vendor_calls.reading import JsonObject
from daemon.domain.postage import Tracking
from daemon.domain.returns import Transit

READ = "read_tracker"

TRANSIT = {
    "unknown": None,
    "pre_transit": Transit.PRE_TRANSIT,
    "in_transit": Transit.IN_TRANSIT,
    "out_for_delivery": Transit.OUT_FOR_DELIVERY,
    "available_for_pickup": Transit.IN_TRANSIT,
    "delivered": Transit.DELIVERED,
    "return_to_sender": None,
    "failure": None,
    "cancelled": None,
    "error": None,
}
"""EasyPost's words; None says nothing that the portal has a status for."""

NO_SCAN = frozenset({"unknown", "pre_transit", "error", "cancelled"})
"""Words of details that nobody had the parcel in hand for; an unknown word counts as a scan, which keeps the label."""


@dataclass(frozen=True, slots=True)
class _Detail:
    status: str
    at: float | None


def tracker_path(tracker_id: str) -> str:
    """Return the path of a tracker; tracking codes are used again, its id is not."""
    return f"/trackers/{quote(tracker_id, safe='')}"


def decode_tracker(status: int, body: bytes) -> Tracking:
    """Read where a parcel is. Details from before the tracker was made are told as of when it was."""
    return tracking_of(accept(READ, status, body))


def tracking_of(node: JsonObject) -> Tracking:
    """Read a tracker that stands alone, in a shipment or in an event."""
    word = _word(node)
    made_at = node.optional_time("created_at")
    details = [_Detail(_word(row), _later(row.optional_time("datetime"), made_at)) for row in _rows(node)]
    words = {word, *(detail.status for detail in details)}
    scans = [detail for detail in details if detail.status and detail.status not in NO_SCAN]
    came_back = "return_to_sender" in words
    transit = None if came_back else TRANSIT.get(word)
    arrived = [detail.at for detail in details if detail.status == "delivered" and detail.at is not None]
    return Tracking(
        transit=transit,
        known=not word or word in TRANSIT,
        lost=came_back or word == "failure",
        scanned_at=max((detail.at for detail in scans if detail.at is not None), default=None),
        delivered_at=max(arrived, default=None) if transit is Transit.DELIVERED else None,
    )


def _rows(node: JsonObject) -> tuple[JsonObject, ...]:
    return node.children("tracking_details")


def _word(node: JsonObject) -> str:
    return (node.optional_text("status") or "").strip().casefold()


def _later(at: float | None, made_at: float | None) -> float | None:
    """Carriers use numbers again, and test trackers tell of last month: nothing happened before the label was made."""
    return at if at is None or made_at is None else max(at, made_at)
