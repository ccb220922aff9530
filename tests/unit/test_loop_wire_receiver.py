import asyncio
import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field

import pytest

from adapters.loop_returns.webhooks import LoopWebhooks
from adapters.loop_returns.wire.webhooks import WebhookDelivery, digest
from daemon.domain.portal import RequestIssued
from daemon.errors import BadSignature, StoreUnavailable, Transient

NOW = 1_800_000_000.0
SECRETS = {"acme": [b"new", b"old"], "fresh": []}
ISSUED = {"topic": "label.request", "trigger": "label.request.issued", "id": 7, "return_id": 8, "url": "a/b"}
DELIVERY = WebhookDelivery(
    topic="label.request", trigger="label.request.issued", message=RequestIssued(request_id="7", return_id="8")
)


class StandingClock:
    """It is always NOW."""

    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        return event.is_set()


@dataclass
class Daemon:
    """Keeps what the receiver hands over; `full` is a store that cannot be written."""

    full: bool = False
    taken: list[tuple[str, WebhookDelivery, str, float]] = field(default_factory=list)
    dead: list[tuple[str, bytes, str]] = field(default_factory=list)

    async def take(self, shop: str, delivery: WebhookDelivery, name: str, now: float) -> bool:
        if self.full:
            raise StoreUnavailable("full")
        fresh = (shop, delivery, name, now) not in self.taken
        self.taken.append((shop, delivery, name, now))
        return fresh

    async def bury(self, shop: str, body: bytes, reason: str) -> None:
        if self.full:
            raise StoreUnavailable("full")
        self.dead.append((shop, body, reason))


@pytest.fixture
def daemon() -> Daemon:
    """A daemon that has heard of nothing."""
    return Daemon()


@pytest.fixture
def webhooks(daemon: Daemon) -> LoopWebhooks:
    """A receiver for two shops, one of them without a secret."""
    return receiver(daemon)


def receiver(daemon: Daemon, encodings: int = 99) -> LoopWebhooks:
    """A receiver that encodes so many bodies anew."""
    left = iter(range(encodings))
    return LoopWebhooks(
        secrets=SECRETS.get,
        intake=daemon.take,
        dead_letters=daemon.bury,
        clock=StandingClock(),
        may_encode=lambda: next(left, None) is not None,
    )


def _sign(body: bytes, secret: bytes) -> str:
    return base64.b64encode(hmac.digest(secret, body, "sha256")).decode()


@pytest.mark.parametrize("secret", SECRETS["acme"])
async def test_a_signed_delivery_is_handed_on(webhooks, daemon, secret):
    """What was signed and read goes to the intake with its digest and the time, and is dead to nobody."""
    body = json.dumps(ISSUED).encode()
    assert await webhooks.receive("acme", _sign(body, secret), body) == "verified"
    assert daemon.taken == [("acme", DELIVERY, digest(DELIVERY, body), NOW)]
    assert daemon.dead == []


async def test_a_repeated_delivery_is_a_duplicate(webhooks, daemon):
    """The intake knows it again and hears of it all the same."""
    body = json.dumps(ISSUED).encode()
    assert await webhooks.receive("acme", _sign(body, b"new"), body) == "verified"
    assert await webhooks.receive("acme", _sign(body, b"new"), body) == "duplicate"
    assert len(daemon.taken) == 2


async def test_a_reencoded_delivery_is_handed_on(webhooks, daemon):
    """A signature over the canonical form is as good."""
    body = json.dumps(ISSUED, indent=2).encode()
    canonical = json.dumps(ISSUED, separators=(",", ":")).replace("/", "\\/").encode()
    assert await webhooks.receive("acme", _sign(canonical, b"old"), body) == "verified"
    assert daemon.taken[0][:2] == ("acme", DELIVERY)


async def test_strangers_cannot_make_us_encode_for_ever(daemon):
    """When too much was encoded anew, a delivery that is signed as it came is taken all the same, others are not.

    A shop that signs the canonical form is asked to come again: Loop repeats after a 503 and never after a 401.
    """
    webhooks = receiver(daemon, encodings=2)
    pretty = json.dumps(ISSUED, indent=2).encode()
    canonical = json.dumps(ISSUED, separators=(",", ":")).replace("/", "\\/").encode()
    assert await webhooks.receive("acme", _sign(canonical, b"new"), pretty) == "verified"
    for _ in range(3):
        with pytest.raises((BadSignature, Transient)):
            await webhooks.receive("acme", _sign(b"forged", b"forged"), pretty)
    with pytest.raises(Transient):
        await webhooks.receive("acme", _sign(canonical, b"new"), pretty)
    assert await webhooks.receive("acme", _sign(pretty, b"new"), pretty) == "duplicate"


async def test_a_shop_that_never_signed_so_is_told_no(daemon):
    """Where no delivery was ever signed in the canonical form, a flood of forged ones gets its 401."""
    webhooks = receiver(daemon, encodings=0)
    with pytest.raises(BadSignature):
        await webhooks.receive("acme", _sign(b"forged", b"forged"), json.dumps(ISSUED).encode())


async def test_what_nobody_asked_for_is_handed_on_too(webhooks, daemon):
    """An unknown topic is the intake's to count."""
    body = b'{"topic":"giftcard","trigger":"giftcard.requested"}'
    assert await webhooks.receive("acme", _sign(body, b"new"), body) == "verified"
    assert daemon.taken[0][1] == WebhookDelivery(topic="giftcard", trigger="giftcard.requested")


async def test_signed_but_unreadable_is_a_dead_letter(webhooks, daemon):
    """It is kept whole, with the name of the field that could not be read."""
    body = b'{"topic":"return","trigger":"return.closed","id":{}}'
    assert await webhooks.receive("acme", _sign(body, b"new"), body) == "unreadable"
    assert daemon.dead == [("acme", body, "return.closed: id is unreadable")]
    assert daemon.taken == []


@pytest.mark.parametrize("signature", [None, "", _sign(b"other", b"new")])
async def test_a_bad_signature_is_rejected(webhooks, daemon, signature):
    """Nothing unsigned is read or kept."""
    with pytest.raises(BadSignature):
        await webhooks.receive("acme", signature, b"not json")
    assert (daemon.taken, daemon.dead) == ([], [])


async def test_a_shop_without_a_secret_asks_for_patience(webhooks):
    """Loop delivers again after the pause, for which it waits half an hour at most."""
    with pytest.raises(Transient) as patience:
        await webhooks.receive("fresh", _sign(b"{}", b""), b"{}")
    assert patience.value.retry_after is not None
    assert 0 < patience.value.retry_after <= 1800


@pytest.mark.parametrize("body", [json.dumps(ISSUED).encode(), b"{}"])
async def test_what_cannot_be_kept_is_not_acknowledged(webhooks, daemon, body):
    """A store that fails is heard of, for good letters and dead ones."""
    daemon.full = True
    with pytest.raises(StoreUnavailable):
        await webhooks.receive("acme", _sign(body, b"new"), body)


def test_the_digest_is_of_topic_trigger_id_and_bytes():
    """It is the SHA-256 of the three names and of the body's own hash."""
    parts = ["label.request", "label.request.issued", "7", hashlib.sha256(b"x").hexdigest()]
    assert digest(DELIVERY, b"x") == hashlib.sha256(json.dumps(parts).encode()).hexdigest()
