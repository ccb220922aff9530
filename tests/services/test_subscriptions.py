"""Which of Loop's webhooks reach us, put right by whoever asks, however many ask at once."""

import asyncio
from dataclasses import dataclass

import pytest

from daemon.errors import CredentialsRefused
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
        self.refuses = False

    async def webhooks(self) -> list[Subscription]:
        if self.refuses:
            raise CredentialsRefused("Loop refused the API key")
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


async def test_a_shop_that_cannot_be_asked_keeps_no_other_from_it():
    """Of all shops the bad one is named with its problem, and the others are put right; asked for alone, it is the error."""
    bad, good = Shop(), Shop()
    bad.refuses = True
    service = Subscriptions({"bad": bad, "good": good}, public_url="https://returns.test", triggers=TRIGGERS)
    done = await service.sync()
    assert [(one.shop, one.problem) for one in done.failed] == [("bad", "Loop refused the API key")]
    assert {(one.shop, one.done) for one in done.webhooks} == {("good", "created")}
    assert len(good.subscriptions) == 2
    listed = await service.listing()
    assert [one.shop for one in listed.failed] == ["bad"]
    assert {one.shop for one in listed.webhooks} == {"good"}
    for ask in (service.listing, service.sync):
        with pytest.raises(CredentialsRefused):
            await ask("bad")
