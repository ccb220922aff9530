"""Loop's deliveries: who signed them, and what they say. Pure."""

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
CANONICAL_LIMIT = 16 * 1024  # bytes, more than any delivery; whoever cannot sign must not make us parse more


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery:
    """A delivery; `message` is what it says to the daemon, None when that acts on nothing of the kind."""

    topic: str
    trigger: str
    message: Message | None = None

    @property
    def return_id(self) -> str:
        """The return that it names, if any."""
        return self.message.return_id if self.message else ""

    @property
    def subject(self) -> str:
        """The id of what the delivery is about: a label request or a return."""
        match self.message:
            case RequestIssued(request_id=request_id) | RequestCancelled(request_id=request_id):
                return request_id
        return self.return_id


def verify(
    body: bytes, signature: str | None, secrets: Sequence[bytes], may_encode: Callable[[], bool] = lambda: True
) -> Literal["raw", "canonical", "unjudged"]:
    """Say in which form the body was signed: as it came, or re-encoded the way PHP encodes. Raises BadSignature.

    To encode costs a hundred times as much as to hash, so `may_encode` is asked before; `unjudged` where it says no.
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
    """Read a delivery whose signature was verified. Raises ContractBroken naming the field that cannot be read."""
    value = parse(body, "Loop webhook")
    envelope = read(_Envelope, value, "Loop webhook")
    reader = _READERS.get((envelope.topic, envelope.trigger))
    return WebhookDelivery(
        topic=printable(envelope.topic, WORD_LIMIT),
        trigger=printable(envelope.trigger, WORD_LIMIT),
        message=reader(envelope.trigger, value) if reader else None,
    )


def digest(delivery: WebhookDelivery, body: bytes) -> str:
    """Name a delivery, so that the same one is known again: Loop sends neither an event id nor a time."""
    parts = [delivery.topic, delivery.trigger, delivery.subject, hashlib.sha256(body).hexdigest()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _signed(message: bytes, claimed: bytes, secrets: Sequence[bytes]) -> bool:
    """Try every secret, the right one or not, so that the time taken does not tell which it was."""
    matches = False
    for secret in secrets:
        made = base64.b64encode(hmac.digest(secret, message, "sha256"))
        matches |= hmac.compare_digest(made, claimed) and bool(secret)
    return matches


def _canonical(body: bytes) -> bytes | None:
    """Encode the body anew without blanks, with escaped slashes and non-ASCII characters; None when it is not JSON.

    Loop's topic pages tell to do so before hashing (docs.loopreturns.com/webhook-reference/topics); its samples do not.
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
    """The fields of this payload are documented nowhere: one without a return id says nothing to us."""
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
