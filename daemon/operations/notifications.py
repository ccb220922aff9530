"""Checks destination and subscription of Amazon's notifications, and creates what is missing."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from daemon.errors import OperatorError
from daemon.operations.verbs.notifications import NotificationsListed, NotificationsSynced, SubscriptionShown
from daemon.ports.notifications import Destination, NotificationService, Subscription

log = structlog.get_logger(__name__)

AMAZON_LETTERS = "amazon/notifications"
"""The name under which Amazon's dead letters are kept, in place of a shop's name; no shop can have it."""

NAME = "mcfd"
"""The name of our destination at Amazon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationSetup:
    """Sets up the way from Amazon to the queue. `learnt` gets the ids of all subscriptions whenever they are read."""

    service: NotificationService
    arn: str | None
    has_queue: bool
    filtered: bool
    learnt: Callable[[Sequence[str]], Awaitable[None]]

    async def listing(self) -> NotificationsListed:
        """The seller's subscriptions to news of fulfillment orders, and whether each is ours."""
        arn = self._arn()
        destinations = await self.service.destinations()
        arns = {one.destination_id: one.arn for one in destinations}
        found = await self.service.subscriptions()
        await self.learnt([one.subscription_id for one in found])
        rows = [_row(one, arns.get(one.destination_id, ""), arn) for one in found]
        known = _ours(destinations, arn) is not None
        ours = any(row.ours for row in rows)
        return NotificationsListed(queue=arn, destination=known, subscribed=ours, subscriptions=rows)

    async def sync(self) -> NotificationsSynced:
        """Create what is missing; returns what was done."""
        arn, done = self._arn(), []
        destination = _ours(await self.service.destinations(), arn)
        if destination is None:
            destination = await self.service.create_destination(NAME, arn)
            done.append("destination created")
        found = list(await self.service.subscriptions())
        ours = next((one for one in found if one.destination_id == destination.destination_id), None)
        if ours is None:
            ours = await self.service.subscribe(destination.destination_id, filtered=self.filtered)
            found.append(ours)
            as_wished = ours.filtered or not self.filtered
            done.append("subscription created" if as_wished else "subscription created, without the filter")
        await self.learnt([one.subscription_id for one in found])
        if done:
            log.info("notifications.subscribed", done=done)
        return NotificationsSynced(queue=arn, filtered=ours.filtered, done=done or ["nothing to do"])

    def _arn(self) -> str:
        if not self.has_queue:
            raise OperatorError("amazon.notifications.queue_url is not set: make a queue at AWS first")
        if self.arn is None:
            raise OperatorError("amazon.notifications.queue_arn is not set, and queue_url is not one of amazonaws.com")
        return self.arn


def _ours(destinations: Sequence[Destination], arn: str) -> Destination | None:
    return next((one for one in destinations if one.arn == arn), None)


def _row(one: Subscription, arn: str, ours: str) -> SubscriptionShown:
    return SubscriptionShown(subscription=one.subscription_id, queue=arn, filtered=one.filtered, ours=arn == ours)
