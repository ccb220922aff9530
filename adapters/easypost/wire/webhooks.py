"""EasyPost's events: who signed them, and which parcel they are about. They are hints; the truth is read. PURE."""

import hashlib
import hmac
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.vendor_calls.json import printable
from adapters.vendor_calls.reading import parse
from daemon.errors import BadSignature

SIGNATURE = "X-Hmac-Signature"
PREFIX = "hmac-sha256-hex="
WORD_LIMIT = 64
HEARD = frozenset({"tracker.created", "tracker.updated", "refund.successful"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EventHint:
    """What an event is about; empty where it does not say. `heard` is False for what mcfd does not listen to."""

    event_id: str
    kind: str
    heard: bool
    shipment_id: str
    tracking_code: str


def verify(body: bytes, signature: str | None, secrets: Sequence[str]) -> None:
    """Raise BadSignature unless one of the secrets made this signature over the raw bytes.

    Every secret is tried, the right one or not, so that the time taken does not tell which it was.
    """
    claimed = (signature or "").strip().encode("utf-8", "replace")
    matches = False
    for secret in secrets:
        made = PREFIX + hmac.new(_key(secret), body, hashlib.sha256).hexdigest()
        matches |= hmac.compare_digest(made.encode(), claimed) and bool(secret)
    if not matches:
        raise BadSignature("no configured secret made this signature")


def _key(secret: str) -> bytes:
    """All official clients decompose the secret first."""
    return unicodedata.normalize("NFKD", secret).encode()


def decode_event(body: bytes) -> EventHint:
    """Read an event whose signature was verified. Raises ContractBroken naming what cannot be read."""
    event = parse("EasyPost event", body)
    kind = printable(event.optional_text("description") or "", WORD_LIMIT)
    result = event.optional_child("result") if kind in HEARD else None
    return EventHint(
        event_id=event.optional_text("id") or "",
        kind=kind,
        heard=kind in HEARD,
        shipment_id=(result.optional_text("shipment_id") if result else None) or "",
        tracking_code=(result.optional_text("tracking_code") if result else None) or "",
    )
