"""Checks which of Loop's webhooks reach us, and adds what is missing without duplicates."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

import structlog

from daemon.errors import McfdError, OperatorError
from daemon.operations.verbs.connections import (
    OtherSubscription,
    ShopFailed,
    Subscribed,
    WebhooksListed,
    WebhooksSynced,
)

log = structlog.get_logger(__name__)

MISSING, INACTIVE, ACTIVE = "missing", "inactive", "active"


class Subscription(Protocol):
    """One (topic, trigger, URL) at Loop."""

    @property
    def topic(self) -> str:
        """The topic at Loop."""

    @property
    def trigger(self) -> str:
        """The event that triggers it."""

    @property
    def url(self) -> str:
        """The address to which Loop delivers."""

    @property
    def active(self) -> bool:
        """Whether Loop delivers it."""


S = TypeVar("S", bound=Subscription)


class SubscriptionService(Protocol[S]):
    """Reads and changes a shop's subscriptions. Raises as ReturnsPortal does."""

    async def webhooks(self) -> Sequence[S]:
        """Every subscription of the shop, including other applications'."""

    async def create_webhook(self, topic: str, trigger: str, url: str) -> object:
        """Subscribe. Not idempotent."""

    async def activate_webhook(self, subscription: S) -> None:
        """Make an inactive subscription active again."""


class Subscriptions(Generic[S]):
    """The subscriptions of every shop. `triggers` are the pairs (topic, trigger) that mcfd listens to."""

    def __init__(
        self, portals: Mapping[str, SubscriptionService[S]], *, public_url: str, triggers: Sequence[tuple[str, str]]
    ) -> None:
        self._portals = portals
        self._public_url = public_url
        self._triggers = triggers
        self._one_at_a_time = asyncio.Lock()

    def url(self, shop: str) -> str:
        """The URL for a shop's deliveries."""
        return f"{self._public_url}/webhooks/loop/{shop}"

    async def of_shop(self, shop: str) -> Sequence[Subscribed]:
        """For each trigger, whether the shop is subscribed. Raises as the shop's portal does."""
        found = await self._portals[shop].webhooks()
        return [self._row(shop, pair, found) for pair in self._triggers]

    async def listing(self, shop: str | None = None) -> WebhooksListed:
        """For each shop and trigger, whether it is subscribed; and all other subscriptions.

        Without a name, shops that cannot be asked are listed as `failed`; a named one raises McfdError.
        """
        rows, others, failed = [], [], []
        for name in self._shops(shop):
            try:
                found = await self._portals[name].webhooks()
            except McfdError as error:
                if shop:
                    raise
                failed.append(ShopFailed(shop=name, problem=str(error)))
                continue
            rows += [self._row(name, pair, found) for pair in self._triggers]
            others += [
                OtherSubscription(shop=name, trigger=one.trigger, url=one.url, active=one.active)
                for one in found
                if not self._is_ours(name, one)
            ]
        return WebhooksListed(webhooks=rows, others=others, failed=failed)

    async def sync(self, shop: str | None = None) -> WebhooksSynced:
        """Create what is missing and activate what is inactive; returns what was done for each trigger."""
        done: list[Subscribed] = []
        failed = []
        async with self._one_at_a_time:  # two concurrent runs would both create what is missing
            for name in self._shops(shop):
                try:
                    found = await self._portals[name].webhooks()
                    done += [await self._put_right(name, pair, found) for pair in self._triggers]
                except McfdError as error:
                    if shop:
                        raise
                    failed.append(ShopFailed(shop=name, problem=str(error)))
        return WebhooksSynced(webhooks=done, failed=failed)

    async def _put_right(self, shop: str, pair: tuple[str, str], found: Sequence[S]) -> Subscribed:
        row, portal = self._row(shop, pair, found), self._portals[shop]
        if row.state == MISSING:
            await portal.create_webhook(*pair, self.url(shop))
            done = "created"
        elif row.state == INACTIVE:
            await portal.activate_webhook(next(one for one in found if self._is(shop, pair, one)))
            done = "activated"
        else:
            return row.model_copy(update={"done": "nothing to do"})
        log.info("webhook.subscribed", shop=shop, trigger=pair[1], done=done)
        return row.model_copy(update={"state": ACTIVE, "done": done})

    def _row(self, shop: str, pair: tuple[str, str], found: Sequence[Subscription]) -> Subscribed:
        ours = [one for one in found if self._is(shop, pair, one)]
        state = MISSING if not ours else ACTIVE if any(one.active for one in ours) else INACTIVE
        return Subscribed(shop=shop, trigger=pair[1], state=state, url=self.url(shop))

    def _is(self, shop: str, pair: tuple[str, str], one: Subscription) -> bool:
        """Whether the subscription is for this pair; the topic counts, because Loop sends empty bodies for others."""
        return (one.topic, one.trigger) == pair and one.url.rstrip("/") == self.url(shop)

    def _is_ours(self, shop: str, one: Subscription) -> bool:
        return any(self._is(shop, pair, one) for pair in self._triggers)

    def _shops(self, shop: str | None) -> list[str]:
        if shop is not None and shop not in self._portals:
            raise OperatorError(f"there is no shop {shop}; there are {', '.join(self._portals)}")
        return [shop] if shop else list(self._portals)
