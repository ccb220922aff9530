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

from adapters.loop_returns.wire.values import Id, OptionalId, Payload, State, Word, parse, read
from adapters.vendor_calls.json import printable
from daemon.domain.portal import (
    Message,
    PortalState,
    ProcessingTrouble,
    RequestCancelled,
    RequestIssued,
    RestockAsked,
    ReturnChanged,
)
from daemon.errors import BadSignature

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
    value = parse(body, "Loop webhook")
    envelope = read(_Envelope, value, "Loop webhook")
    reader = _READERS.get((envelope.topic, envelope.trigger))
    return WebhookDelivery(
        topic=printable(envelope.topic, WORD_LIMIT),
        trigger=printable(envelope.trigger, WORD_LIMIT),
        message=reader(envelope.trigger, value) if reader else None,
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


class _Envelope(Payload):
    topic: Word
    trigger: Word


class _LabelRequest(Payload):
    id: Id
    return_id: Id


class _Return(Payload):
    id: Id
    state: State = PortalState.UNKNOWN


class _Restock(Payload):
    return_id: OptionalId = ""


class _Processing(Payload):
    return_id: Id


def _issued(trigger: str, value: object) -> Message:
    about = read(_LabelRequest, value, trigger)
    return RequestIssued(request_id=about.id, return_id=about.return_id)


def _cancelled(trigger: str, value: object) -> Message:
    about = read(_LabelRequest, value, trigger)
    return RequestCancelled(request_id=about.id, return_id=about.return_id)


def _changed(trigger: str, value: object) -> Message:
    about = read(_Return, value, trigger)
    return ReturnChanged(return_id=about.id, state=about.state)


def _failed(trigger: str, value: object) -> Message:
    return ProcessingTrouble(return_id=read(_Processing, value, trigger).return_id)


def _restocked(trigger: str, value: object) -> Message | None:
    """Read a return id, if there is one: the fields of this payload are not documented."""
    about = read(_Restock, value, trigger)
    return RestockAsked(return_id=about.return_id) if about.return_id else None


_READERS: Mapping[tuple[str, str], Callable[[str, object], Message | None]] = {
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
