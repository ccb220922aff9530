"""What the history stores of an event: ids, decisions and bounded reasons; no links, no addresses."""

import json

from daemon.domain.acts import Duty
from daemon.domain.events.returns import Event
from daemon.domain.returns import LabelRequest, Postage, ReturnUnit

_AS_THEY_ARE = (
    "request_id",
    "label_id",
    "line_ids",
    "keys",
    "note_key",
    "transit",
    "settlement",
    "problem",
    "code",
    "why",
    "how",
    "by",
    "hold",
    "message",
    "source",
    "handed",
)


def describe(event: Event) -> str:
    """Return a compact JSON object; a unit reads `line/part: condition`, or its state while nothing was found."""
    detail = {name: value for name in _AS_THEY_ARE if (value := getattr(event, name, None)) not in {None, "", False}}
    if isinstance(call := getattr(event, "call", None), Duty):
        detail["key"] = call.key
    request = getattr(event, "request", None)
    if isinstance(request, LabelRequest):
        detail["request_id"] = request.request_id
    if units := getattr(event, "units", ()):
        detail["units"] = {f"{unit.line_id}/{unit.part}": _word(unit) for unit in units}
    if authorizations := getattr(event, "authorizations", ()):
        detail["authorizations"] = [a.authorization_id for a in authorizations]
    if postage := getattr(event, "postage", ()):
        parcels = (postage,) if isinstance(postage, Postage) else postage
        detail["postage"] = {p.authorization_id: _parcel(p) for p in parcels}
    return json.dumps(detail, separators=(",", ":"), ensure_ascii=False) if detail else ""


def _word(unit: ReturnUnit) -> str:
    return str(unit.finding.condition or "no condition") if unit.finding is not None else unit.standing.value


def _parcel(postage: Postage) -> str:
    return f"#{postage.number} {postage.shipment_id} {postage.transit.value} void:{postage.void.value}"
