"""Deliveries of Loop: verified, read, and stored before they are acknowledged."""

from collections.abc import Awaitable, Callable, Sequence

import structlog

from adapters.loop_returns.wire.webhooks import WebhookDelivery, decode_delivery, digest, verify
from daemon.errors import BadSignature, ContractBroken, Transient
from daemon.ports.host import Clock

log = structlog.get_logger(__name__)

NO_SECRET_RETRY_AFTER = 300.0  # Loop drops a delivery when asked to wait for more than half an hour
BUSY_RETRY_AFTER = 10.0

Secrets = Callable[[str], Sequence[bytes]]
"""Returns the webhook secrets of a shop, newest first; empty while it has none."""

Intake = Callable[[str, WebhookDelivery, str, float], Awaitable[bool]]
"""Takes (shop, delivery, digest, Unix seconds). Returns after the commit; False for a duplicate."""

DeadLetters = Callable[[str, bytes, str], Awaitable[None]]
"""Stores (shop, body, reason) as a dead letter and returns after the commit."""


class LoopWebhooks:
    """Receives deliveries for the public listener.

    `may_encode` is asked before a body is re-encoded to check its signature. As strangers can make us do that, it says
    no when asked too often, except for a shop that has signed a delivery in that form before.
    """

    def __init__(
        self,
        *,
        secrets: Secrets,
        intake: Intake,
        dead_letters: DeadLetters,
        clock: Clock,
        may_encode: Callable[[], bool],
    ) -> None:
        self._secrets = secrets
        self._intake = intake
        self._dead_letters = dead_letters
        self._clock = clock
        self._may_encode = may_encode
        self._signing_canonically: set[str] = set()

    async def receive(self, shop: str, signature: str | None, body: bytes) -> str:
        """Return once a delivery is durable: `verified`, `duplicate`, or `unreadable` for a dead letter.

        Raises BadSignature, Transient while the shop has no secret, and what the two callables raise.
        """
        secrets = self._secrets(shop)
        if not secrets:
            raise Transient("the shop has no webhook secret yet", retry_after=NO_SECRET_RETRY_AFTER)
        match verify(body, signature, secrets, self._may_encode):
            case "canonical":
                self._signing_canonically.add(shop)
                log.info("webhook.signed_canonically", shop=shop)
            case "unjudged" if shop in self._signing_canonically:
                raise Transient("too many signatures to judge", retry_after=BUSY_RETRY_AFTER)
            case "unjudged":
                raise BadSignature("no configured secret made this signature")
        return await self._keep(shop, body)

    async def _keep(self, shop: str, body: bytes) -> str:
        try:
            delivery = decode_delivery(body)
        except ContractBroken as error:
            await self._dead_letters(shop, body, str(error))
            log.error("webhook.unreadable", shop=shop, reason=str(error))  # noqa: TRY400 - handled, and the text says all
            return "unreadable"
        fresh = await self._intake(shop, delivery, digest(delivery, body), self._clock.now())
        return "verified" if fresh else "duplicate"
