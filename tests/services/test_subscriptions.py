"""Which of Loop's webhooks reach us, put right by whoever asks, however many ask at once."""

import asyncio
from dataclasses import dataclass

from daemon.operations.webhooks import Subscriptions
from tests.support.virtual_time import settle

TRIGGERS = (("return", "return.closed"), ("label.request", "label.request.issued"))


@dataclass(frozen=True)
class Subscription:
    topic: str
    trigger: str
    url: str
    active: bool = True


class Shop:
    """A shop at Loop, where every call takes its time."""

    def __init__(self) -> None:
        self.subscriptions: list[Subscription] = []

    async def webhooks(self) -> list[Subscription]:
        found = list(self.subscriptions)
        await settle(1)
        return found

    async def create_webhook(self, topic: str, trigger: str, url: str) -> None:
        await settle(1)
        self.subscriptions.append(Subscription(topic, trigger, url))

    async def activate_webhook(self, subscription: Subscription) -> None:
        raise AssertionError(subscription)


async def test_two_who_ask_at_once_create_each_webhook_once():
    """The second one waits, looks, and finds nothing to do."""
    shop = Shop()
    service = Subscriptions({"acme": shop}, public_url="https://returns.test", triggers=TRIGGERS)
    await asyncio.gather(service.sync(), service.sync())
    assert sorted(one.trigger for one in shop.subscriptions) == ["label.request.issued", "return.closed"]
