"""Writing paths, queries and bodies for Loop, within its limits. PURE. Texts are cut by code point."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from daemon.domain.naming import NOTE_LIMIT
from daemon.domain.portal import Grade, PortalState
from daemon.domain.returns import Label, Transit

CARRIER_LIMIT = 32
TRACKING_LIMIT = 256
ERROR_LIMIT = 255
DESCRIPTION_LIMIT = 255
PROCESSOR_LIMIT = 100
CATEGORY_LIMIT = 100
BATCH = 20  # from the guide; the endpoint's page says 30
PAGE_SIZE = 250
GRADE_SUBJECT = "Item condition grade"  # with the title, a built-in category; a typo would create a new one
WORD_GRADES = frozenset({"2026-07", "v1"})


def segment(value: str) -> str:
    """Percent-encode an id for a path."""
    return quote(value, safe="")


def label_request_path(request_id: str) -> str:
    """Return the path of one label request."""
    return f"/label-requests/{segment(request_id)}"


def requests_path(status: str, limit: int, offset: int, since: float | None = None) -> str:
    """Return the path of a page of label requests of one status, all or those created since a Unix time."""
    made = {} if since is None else {"from": _instant(math.floor(since))}
    return "/label-requests?" + urlencode({"status": status, **made, "limit": limit, "offset": offset})


def requests_of_path(return_id: str, limit: int, offset: int) -> str:
    """Return the path of a page of the label requests of one return."""
    return "/label-requests?" + urlencode({"return_id": return_id, "limit": limit, "offset": offset})


def label_path(label_id: str) -> str:
    """Return the path of one label."""
    return f"/labels/{segment(label_id)}"


def webhook_path(webhook_id: str) -> str:
    """Return the path of one webhook subscription."""
    return f"/webhooks/{segment(webhook_id)}"


def return_path(return_id: str, part: str) -> str:
    """Return the path of an action on a return, or of its notes."""
    return f"/warehouse/return/{segment(return_id)}/{part}"


def remove_path(return_id: str, line_ids: Sequence[str]) -> str:
    """Return the path that removes all these lines at once, because the first call closes the return."""
    return return_path(return_id, "remove") + "?line_item_id=" + ",".join(map(segment, line_ids))


def details_path(return_id: str) -> str:
    """Return the path of one return by its own id, since an order may have several."""
    return "/warehouse/return/details?" + urlencode({"return_id": return_id})


def list_path(by: str, state: PortalState, since: float, until: float, cursor: str) -> str:
    """Return the path of a page of returns that were made or changed within a window, as `by` says.

    The cursor is sent as Loop spelled it.
    """
    window = {"from": _instant(math.floor(since)), "to": _instant(math.ceil(until))}
    asked = {**window, "filter": by, "state": state.value, "paginate": "true", "pageSize": PAGE_SIZE}
    return f"/warehouse/return/list?{urlencode(asked)}" + (f"&cursor={cursor}" if cursor else "")


def label_body(request_id: str, label: Label, currency: str) -> bytes:
    """Write a label. The rate is one object: we read the list on Loop's pages as a list of examples."""
    return encode(
        {
            "label_request_id": _number(request_id),
            "carrier": label.carrier[:CARRIER_LIMIT],
            "tracking_number": label.tracking_number[:TRACKING_LIMIT],
            "label_url": label.url,
            "rate": {"amount": label.rate_cents, "currency_code": currency},
        }
    )


def error_body(message: str) -> bytes:
    """Write a label request error; Loop spells "Other" this way, its other reasons in capitals."""
    return encode({"reason": "Other", "message": message[:ERROR_LIMIT]})


def transit_body(transit: Transit) -> bytes:
    """Write a parcel's status."""
    return encode({"status": transit.value})


def note_body(text: str) -> bytes:
    """Write a line on the timeline."""
    return encode({"content": text[:NOTE_LIMIT]})


def record_body(record: Mapping[str, str]) -> bytes | None:
    """Write the record to store with an outcome, if there is any."""
    return encode(dict(record)) if record else None


def grade_bodies(grades: Sequence[Grade], api_version: str, processor: str) -> Iterator[bytes]:
    """Write conditions in batches; the category is a word until 2026-07 and an object since 2026-10."""
    for batch in _batches(grades):
        yield encode({"items": [_grade_item(grade, api_version, processor) for grade in batch]})


def assess_bodies(grades: Sequence[Grade], processor: str) -> Iterator[bytes]:
    """Write dispositions in batches."""
    for batch in _batches(grades):
        yield encode({"items": [_assess_item(grade, processor) for grade in batch]})


def subscription_body(topic: str, trigger: str, url: str) -> bytes:
    """Write a subscription, always with its status: Loop's pages disagree on what a missing one means."""
    return encode({"topic": topic, "trigger": trigger, "url": url, "status": "active"})


def encode(value: object) -> bytes:
    """Write JSON in ASCII."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _grade_item(grade: Grade, api_version: str, processor: str) -> dict[str, object]:
    category: object = {
        "subject": GRADE_SUBJECT,
        "title": grade.title[:CATEGORY_LIMIT],
        "grade": grade.grade[:CATEGORY_LIMIT],
    }
    return {
        "line_item_id": _number(grade.line_id),
        "description": grade.description[:DESCRIPTION_LIMIT],
        "condition_category": grade.grade if api_version in WORD_GRADES else category,
        **_inspection(grade, processor),
    }


def _assess_item(grade: Grade, processor: str) -> dict[str, object]:
    return {
        "line_item_id": _number(grade.line_id),
        "disposition_outcome": grade.disposition,
        **_inspection(grade, processor),
    }


def _inspection(grade: Grade, processor: str) -> dict[str, object]:
    by = {"return_processor": processor[:PROCESSOR_LIMIT]} if processor else {}
    return {**by, "inspected_at": datetime.fromtimestamp(grade.inspected_at, UTC).strftime("%Y-%m-%d %H:%M:%S")}


def _batches(grades: Sequence[Grade]) -> Iterator[Sequence[Grade]]:
    for start in range(0, len(grades), BATCH):
        yield grades[start : start + BATCH]


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _number(given: str) -> int | str:
    """Write a numeric id as a number; any other (older pages show UUIDs) stays text."""
    return int(given) if given.isascii() and given.isdigit() else given
