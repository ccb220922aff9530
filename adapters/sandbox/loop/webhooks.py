"""Loop's outgoing webhooks: subscriptions, signatures, deliveries, retries."""

import asyncio
import base64
import hashlib
import hmac
import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import aiohttp

from adapters.sandbox.faults import Fault
from adapters.sandbox.listener import Shared
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import Json, VendorError, loop_invalid
from adapters.sandbox.stamps import whole

TRIGGERS = {
    "label.request": ("label.request.issued", "label.request.cancelled"),
    "return": ("return.created", "return.updated", "return.closed"),
    "return.processing": ("return.processing.failed",),
    "label": ("label.created", "label.updated"),
    "restock": ("restock.requested",),
    "giftcard": ("giftcard.requested",),
    "happy.returns.shipment": ("shipment.processed",),
}
CORE_TOPICS = ("label.request", "return", "return.processing", "restock")
ALL_TRIGGERS = frozenset(trigger for triggers in TRIGGERS.values() for trigger in triggers)
# https://docs.loopreturns.com/webhook-reference/getting-started
NEVER_RETRIED = frozenset({400, 401, 403, 404, 405})
ATTEMPTS = 6
LONGEST_RETRY_AFTER = 1800


@dataclass
class Subscription:
    """One (topic, trigger, url)."""

    id: int
    shop_id: int
    topic: str
    trigger: str
    url: str
    status: str


@dataclass(frozen=True)
class Attempt:
    """One attempt to deliver; status 0 is a failed connection, None a delivery lost before sending."""

    trigger: str
    about: str
    attempt: int
    status: int | None
    at: float


@dataclass
class Subscriptions:
    """The CRUD of webhooks. `status` is `inactive` unless the caller says otherwise."""

    shop_id: int
    rows: dict[int, Subscription] = field(default_factory=dict)
    _ids: int = 90_210

    def list_all(self) -> Json:
        """Answer GET /webhooks."""
        return {"webhooks": [asdict(row) for row in self.rows.values()]}

    def create(self, body: Mapping[str, object]) -> Json:
        """Answer POST /webhooks."""
        topic, trigger, url = _checked(body)
        self._ids += 1
        row = Subscription(self._ids, self.shop_id, topic, trigger, url, str(body.get("status") or "inactive"))
        self.rows[row.id] = row
        return asdict(row)

    def update(self, webhook_id: int, body: Mapping[str, object]) -> None:
        """Answer PUT /webhooks/{id}."""
        row = self._find(webhook_id)
        row.topic, row.trigger, row.url = _checked(body)
        row.status = str(body.get("status") or row.status)

    def delete(self, webhook_id: int) -> None:
        """Answer DELETE /webhooks/{id}."""
        del self.rows[self._find(webhook_id).id]

    def subscribe_everything(self, url: str | None) -> None:
        """Do what a merchant does in the admin: one active webhook per core trigger, replacing all to other URLs."""
        self.rows.clear()
        if url is None:
            return
        for topic in CORE_TOPICS:
            for trigger in TRIGGERS[topic]:
                self.create({"topic": topic, "trigger": trigger, "url": url, "status": "active"})

    def listening(self, trigger: str) -> list[Subscription]:
        """List the active subscriptions of a trigger."""
        return [row for row in self.rows.values() if row.trigger == trigger and row.status == "active"]

    def _find(self, webhook_id: int) -> Subscription:
        if webhook_id not in self.rows:
            raise VendorError(404, {"errors": {"code": "NOT_FOUND"}})
        return self.rows[webhook_id]


def _checked(body: Mapping[str, object]) -> tuple[str, str, str]:
    topic, trigger, url = body.get("topic"), body.get("trigger"), body.get("url")
    if not isinstance(topic, str) or topic not in TRIGGERS:
        raise loop_invalid("topic", "The selected topic is invalid.")
    if not isinstance(trigger, str) or trigger not in ALL_TRIGGERS:
        raise loop_invalid("trigger", "The selected trigger is invalid.")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise loop_invalid("url", "The url format is invalid.")
    if body.get("status", "active") not in ("active", "inactive"):
        raise loop_invalid("status", "The selected status is invalid.")
    return topic, trigger, url


def php_json(payload: Json) -> bytes:
    r"""Encode as PHP's json_encode does: compact, `/` as `\/`, non-ASCII escaped, an empty array as `[]`."""
    return json.dumps(payload or [], separators=(",", ":")).replace("/", "\\/").encode()


def signature(secret: str, body: bytes) -> str:
    """Sign a body for X-Loop-Signature."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


class Courier:
    """Delivers webhooks, six attempts at most, and remembers every attempt."""

    def __init__(self, options: SandboxOptions, shared: Shared) -> None:
        self.attempts: list[Attempt] = []
        self._options = options
        self._shared = shared
        self._random = random.Random(options.seed)  # noqa: S311 - repeatable on purpose
        self._session: aiohttp.ClientSession | None = None
        self._passed = asyncio.Event()

    async def deliver(self, url: str, trigger: str, payload: Json) -> None:
        """Deliver one event to one subscriber, with the faults in force."""
        fault = self._shared.faults.pick("webhook", trigger)
        about = str(payload.get("return_id") or payload.get("id") or "")
        if fault and fault.kind == "lose":
            self.attempts.append(Attempt(trigger, about, 0, None, self._shared.clock.now()))
            return
        await self._hold(fault)
        body = php_json(payload)
        for _ in range(2 if fault and fault.kind == "duplicate" else 1):
            await self._insist(url, trigger, about, body)
        self._passed.set()
        self._passed = asyncio.Event()

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def _hold(self, fault: Fault | None) -> None:
        if fault and fault.kind == "delay":
            await self._shared.clock.wait(self._shared.stopping, fault.seconds)
        elif fault and fault.kind == "reorder":
            await self._shared.clock.wait(self._passed, fault.seconds or 1.0)

    async def _insist(self, url: str, trigger: str, about: str, body: bytes) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            status, wait = await self._post(url, body)
            self.attempts.append(Attempt(trigger, about, attempt, status, self._shared.clock.now()))
            if 200 <= status < 300 or status in NEVER_RETRIED or attempt == ATTEMPTS:
                return
            if wait is not None and wait > LONGEST_RETRY_AFTER:
                return
            backoff = self._options.retry_unit * 2 ** (attempt - 1) * self._random.uniform(0.8, 1.2)
            seconds = backoff if wait is None else wait * self._options.time_factor
            if await self._shared.clock.wait(self._shared.stopping, seconds):
                return

    async def _post(self, url: str, body: bytes) -> tuple[int, float | None]:
        """Return the status (0: no connection) and the Retry-After in seconds."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._options.webhook_timeout)
            self._session = aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": "GuzzleHttp/7"})
        headers = {
            "Content-Type": "application/json",
            "X-Loop-Signature": signature(self._options.webhook_secret, body),
        }
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                return response.status, whole(response.headers.get("Retry-After", ""))
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0, None
