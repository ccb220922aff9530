"""EasyPost's events: judged by their signature, and heard as hints about parcels."""

from collections.abc import Awaitable, Callable, Sequence

import structlog

from adapters.easypost.wire.webhooks import decode_event, verify
from daemon.errors import ContractBroken, Transient

log = structlog.get_logger(__name__)

NO_SECRET_RETRY_AFTER = 300.0

Secrets = Callable[[], Sequence[str]]
"""The secrets of the webhook, newest first; empty while it has none."""

ParcelChanged = Callable[[str], Awaitable[bool]]
"""Takes the id of a shipment and returns after the commit; False when it is none of ours."""


class EasyPostWebhooks:
    """Receives events for the public listener. What they say is not believed; the parcel is asked about."""

    def __init__(self, *, secrets: Secrets, parcel_changed: ParcelChanged) -> None:
        self._secrets = secrets
        self._parcel_changed = parcel_changed

    async def receive(self, account: str, signature: str | None, body: bytes) -> str:
        """Return once what it brings about is durable: `verified`, `foreign` or `unreadable`.

        Raises BadSignature, Transient while there is no secret, and what the callable raises.
        """
        secrets = self._secrets()
        if not secrets:
            raise Transient("EasyPost's webhook has no secret yet", retry_after=NO_SECRET_RETRY_AFTER)
        verify(body, signature, secrets)
        try:
            hint = decode_event(body)
        except ContractBroken as error:  # a hint that is lost: parcels are polled all the same
            log.warning("webhook.unreadable", account=account, reason=str(error))
            return "unreadable"
        if not hint.shipment_id:
            return "verified" if not hint.heard else "foreign"
        return "verified" if await self._parcel_changed(hint.shipment_id) else "foreign"
