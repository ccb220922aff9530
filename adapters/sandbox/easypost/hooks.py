"""EasyPost's webhooks: who listens, and what is sent to them, signed in the older of the two ways."""

import hashlib
import hmac
import json
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import aiohttp

from adapters.sandbox.background import Background
from adapters.sandbox.easypost.shipments import easypost_error
from adapters.sandbox.listener import Shared
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import Json
from adapters.sandbox.stamps import loop_list_time

ATTEMPTS = 6


@dataclass
class Hook:
    """One webhook; without a secret its events are not signed."""

    hook_id: str
    url: str
    mode: str
    secret: str


def signature(secret: str, body: bytes) -> str:
    """Sign a body for X-Hmac-Signature."""
    key = unicodedata.normalize("NFKD", secret).encode()
    return "hmac-sha256-hex=" + hmac.new(key, body, hashlib.sha256).hexdigest()


Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[int]]
"""Sends (url, body, headers) and returns the status; 0 when nobody answered."""


class EasyPostHooks:
    """Delivers events, six attempts at most. `post` stands in for the network where there is none."""

    def __init__(
        self, options: SandboxOptions, shared: Shared, background: Background, post: Post | None = None
    ) -> None:
        self.rows: dict[str, Hook] = {}
        self.sent: list[tuple[str, str, int]] = []
        self._options = options
        self._shared = shared
        self._background = background
        self.post = post or self._send
        self._session: aiohttp.ClientSession | None = None
        self._ids = 0

    def create(self, body: object, mode: str) -> Json:
        """Answer POST /webhooks."""
        wanted = body.get("webhook") if isinstance(body, dict) else None
        url = wanted.get("url") if isinstance(wanted, dict) else None
        if not isinstance(wanted, dict) or not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise easypost_error(422, "PARAMETER.REQUIRED", "Missing required parameter.", [{"field": "url"}])
        return self._view(self.add(url, mode, str(wanted.get("webhook_secret") or "")))

    def add(self, url: str, mode: str, secret: str) -> Hook:
        """Listen from now on."""
        self._ids += 1
        hook = Hook(f"hook_{self._ids:032x}", url, mode, secret)
        self.rows[hook.hook_id] = hook
        return hook

    def listed(self) -> list[Json]:
        """Answer GET /webhooks."""
        return [self._view(hook) for hook in self.rows.values()]

    def remove(self, hook_id: str) -> None:
        """Answer DELETE /webhooks/:id."""
        if hook_id not in self.rows:
            raise easypost_error(404, "NOT_FOUND", "The requested resource could not be found.")
        del self.rows[hook_id]

    def announce(self, description: str, result: Json) -> None:
        """Send an event to everybody who listens in its mode."""
        before = result.pop("_before", None)
        mode = str(result.get("mode") or "production")
        listening = [hook for hook in self.rows.values() if hook.mode == mode]
        if not listening:
            return
        self._ids += 1
        event = {
            "id": f"evt_{self._ids:032x}",
            "object": "Event",
            "description": description,
            "mode": mode,
            "status": "pending",
            "previous_attributes": {"status": before} if before else {},
            "result": result,
            "pending_urls": [hook.url for hook in listening],
            "completed_urls": [],
            "user_id": "user_1",
            "created_at": loop_list_time(self._shared.clock.now()),
        }
        for hook in listening:
            self._background.start(self._deliver(hook, description, json.dumps(event).encode()))

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def _deliver(self, hook: Hook, description: str, body: bytes) -> None:
        fault = self._shared.faults.pick("webhook", description)
        if fault and fault.kind == "lose":
            self.sent.append((description, hook.url, -1))
            return
        if fault and fault.kind in {"delay", "reorder"}:
            await self._shared.clock.wait(self._shared.stopping, fault.seconds)
        for _ in range(2 if fault and fault.kind == "duplicate" else 1):
            await self._insist(hook, description, body)

    async def _insist(self, hook: Hook, description: str, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        if hook.secret:
            headers["X-Hmac-Signature"] = signature(hook.secret, body)
        for attempt in range(ATTEMPTS):
            status = await self.post(hook.url, body, headers)
            self.sent.append((description, hook.url, status))
            if 200 <= status < 300:
                return
            if await self._shared.clock.wait(self._shared.stopping, self._options.retry_unit * 2**attempt):
                return

    async def _send(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=7.0))
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0

    def _view(self, hook: Hook) -> Json:
        return {"id": hook.hook_id, "object": "Webhook", "mode": hook.mode, "url": hook.url, "disabled_at": None}
