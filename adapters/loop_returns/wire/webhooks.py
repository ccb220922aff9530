"""Loop's deliveries: checking signatures and reading messages. PURE."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from adapters.loop_returns.wire.values import objects, opened, parse, to_id, to_optional_id, to_state, to_word
from adapters.vendor_calls.json import printable
from adapters.vendor_calls.reading import JsonObject
from daemon.domain.portal import (
    Message,
    ProcessingTrouble,
    RequestCancelled,
    RequestIssued,
    RestockAsked,
    ReturnChanged,
)
from daemon.errors import BadSignature, ContractBroken

WORD_LIMIT = 64
_SIGNATURE = re.compile(rb"[A-Za-z0-9+/]{43}=")  # of SHA-256, in base64
CANONICAL_LIMIT = 16 * 1024  # bytes, more than any delivery has; bounds the work that strangers can cause


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery:
    """A delivery; `message` is what it tells the daemon, None for topics that the daemon ignores."""

    topic: str
    trigger: str
    message: Message | None = None

    @property
    def return_id(self) -> str:
        """The return that it names, if any."""
        return self.message.return_id if self.message else ""

    @property
    def subject(self) -> str:
        """The id of the label request or return that the delivery is about."""
        match self.message:
            case RequestIssued(request_id=request_id) | RequestCancelled(request_id=request_id):
                return request_id
        return self.return_id


def verify(
    body: bytes, signature: str | None, secrets: Sequence[bytes], may_encode: Callable[[], bool] = lambda: True
) -> Literal["raw", "canonical", "unjudged"]:
    """Say in which form the body was signed: as it came, or re-encoded the way PHP does. Raises BadSignature.

    Re-encoding costs a hundred times as much as hashing, so `may_encode` is asked first; if it says no: `unjudged`.
    """
    claimed = (signature or "").encode("utf-8", "replace")
    if _signed(body, claimed, secrets):
        return "raw"
    if len(body) <= CANONICAL_LIMIT and _SIGNATURE.fullmatch(claimed):
        if not may_encode():
            return "unjudged"
        canonical = _canonical(body)
        if canonical is not None and _signed(canonical, claimed, secrets):
            return "canonical"
    raise BadSignature("no configured secret made this signature")


def decode_delivery(body: bytes) -> WebhookDelivery:
    """Read a delivery whose signature was verified. Raises ContractBroken, naming the unreadable field."""
    envelope = opened(parse(body, "Loop webhook"), "Loop webhook")
    topic, trigger = envelope.need("topic", to_word), envelope.need("trigger", to_word)
    reader = _READERS.get((topic, trigger))
    return WebhookDelivery(
        topic=printable(topic, WORD_LIMIT),
        trigger=printable(trigger, WORD_LIMIT),
        message=reader(opened(envelope.members, trigger)) if reader else None,
    )


def digest(delivery: WebhookDelivery, body: bytes) -> str:
    """Compute the identity of a delivery, to recognize duplicates: Loop sends neither an event id nor a time."""
    parts = [delivery.topic, delivery.trigger, delivery.subject, hashlib.sha256(body).hexdigest()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _signed(message: bytes, claimed: bytes, secrets: Sequence[bytes]) -> bool:
    """Try every secret even after a match, so that the time taken does not reveal which one matched."""
    matches = False
    for secret in secrets:
        made = base64.b64encode(hmac.digest(secret, message, "sha256"))
        matches |= hmac.compare_digest(made, claimed) and bool(secret)
    return matches


def _canonical(body: bytes) -> bytes | None:
    """Re-encode the body without blanks, with slashes and non-ASCII characters escaped; None when it is not JSON.

    Loop's topic pages require it before hashing (docs.loopreturns.com/webhook-reference/topics); its samples do not.
    """
    with suppress(ValueError, RecursionError):
        return json.dumps(json.loads(body.decode("utf-8-sig")), separators=(",", ":")).replace("/", "\\/").encode()
    return None


def _issued(about: JsonObject) -> Message:
    return RequestIssued(request_id=about.need("id", to_id), return_id=about.need("return_id", to_id))


def _cancelled(about: JsonObject) -> Message:
    return RequestCancelled(request_id=about.need("id", to_id), return_id=about.need("return_id", to_id))


def _changed(about: JsonObject) -> Message:
    return_id, state = about.need("id", to_id), about.read("state", to_state)
    return ReturnChanged(return_id=return_id, state=state, line_ids=_lines(about))


def _lines(about: JsonObject) -> frozenset[str]:
    """Read the ids of the lines, or none if one cannot be read: they only tell whether a reading is worth its call."""
    with suppress(ContractBroken):
        return frozenset(line.need("line_item_id", to_id) for line in objects(about, "line_items"))
    return frozenset()


def _failed(about: JsonObject) -> Message:
    said = about.members.get("message")
    return ProcessingTrouble(return_id=about.need("return_id", to_id), said=said if isinstance(said, str) else "")


def _restocked(about: JsonObject) -> Message | None:
    """Read a return id, if there is one: the fields of this payload are not documented."""
    return_id = about.read("return_id", to_optional_id)
    return RestockAsked(return_id=return_id) if return_id else None


_READERS: Mapping[tuple[str, str], Callable[[JsonObject], Message | None]] = {
    ("label.request", "label.request.issued"): _issued,
    ("label.request", "label.request.cancelled"): _cancelled,
    ("return", "return.created"): _changed,
    ("return", "return.updated"): _changed,
    ("return", "return.closed"): _changed,
    ("return.processing", "return.processing.failed"): _failed,
    ("restock", "restock.requested"): _restocked,
}

TRIGGERS = tuple(_READERS)
"""The pairs (topic, trigger) that mcfd listens to."""
