"""The stand-ins of Amazon, Loop and EasyPost on localhost, in one object."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import asdict
from types import TracebackType
from typing import Self

from adapters.sandbox.amazon.control import AmazonControl
from adapters.sandbox.amazon.http import AmazonGate, FulfillmentVendor
from adapters.sandbox.amazon.lwa import LoginWithAmazon, LwaVendor
from adapters.sandbox.amazon.network import FulfillmentNetwork
from adapters.sandbox.amazon.notifications import NotificationService, NotificationVendor
from adapters.sandbox.amazon.queue import SqsQueue
from adapters.sandbox.amazon.queue_http import QueueVendor
from adapters.sandbox.amazon.returns import ReturnsService
from adapters.sandbox.amazon.shipping import ShippingService
from adapters.sandbox.amazon.shipping_http import ShippingVendor
from adapters.sandbox.background import Background
from adapters.sandbox.control.http import ControlVendor
from adapters.sandbox.control.snapshot import amazon_snapshot, easypost_snapshot, loop_snapshot
from adapters.sandbox.easypost.control import EasyPostControl
from adapters.sandbox.easypost.hooks import EasyPostHooks
from adapters.sandbox.easypost.http import EasyPostVendor
from adapters.sandbox.easypost.shipments import EasyPostService
from adapters.sandbox.faults import FaultProfile
from adapters.sandbox.forgetting import ForgettingControl
from adapters.sandbox.hosted import HostedControl
from adapters.sandbox.journal import Journal
from adapters.sandbox.listener import Listener, Shared, Vendor
from adapters.sandbox.loop.actions import ReturnActions
from adapters.sandbox.loop.control import LoopControl
from adapters.sandbox.loop.grading import GradingService
from adapters.sandbox.loop.http import LoopServices, LoopVendor
from adapters.sandbox.loop.labels import LabelService
from adapters.sandbox.loop.listing import ReturnReader
from adapters.sandbox.loop.shop import LoopShop
from adapters.sandbox.loop.webhooks import Courier, Subscriptions
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import Json
from daemon.ports.host import Clock


class Sandbox(AmazonControl, EasyPostControl, LoopControl, HostedControl, ForgettingControl):
    """All vendors and the control API, as an async context manager. All times come from `clock`."""

    def __init__(self, options: SandboxOptions, clock: Clock) -> None:
        self.options = options
        self.faults = FaultProfile(options.seed)
        self.subscriptions = Subscriptions(options.shop_id)
        self.lwa = LoginWithAmazon(options, clock)
        self.network = FulfillmentNetwork(options, clock)
        self.shipping = ShippingService(options, clock)
        self.shop = LoopShop(options, clock, self._emit)
        self._claims = {}
        self._clock = clock
        self._journal = Journal(clock)
        self._background = Background()
        self._stopping = asyncio.Event()
        self._shared = Shared(
            clock=clock, journal=self._journal, faults=self.faults, stopping=self._stopping, ahead=options.vendors_ahead
        )
        self._courier = Courier(options, self._shared)
        self._queue = SqsQueue(options.queue_url) if options.queue_url else None
        self.notifications = NotificationService(options, self._shared, self._background, self._queue)
        self.easypost_hooks = EasyPostHooks(options, self._shared, self._background)
        self.easypost = EasyPostService(options, clock, self.easypost_hooks.announce)
        self.easypost_api = EasyPostVendor(self.easypost, self.easypost_hooks, options)
        self.actions = ReturnActions(self.shop, options, clock, self._background, self._stopping)
        self._reader = ReturnReader(self.shop, clock, ends=self.options.list_of_returns == "ends")
        self._grading = GradingService(self.shop)
        self._returns = ReturnsService(self.network, options, clock)
        self._labels = LabelService(self.shop, self.actions, options, clock)
        self._exits = AsyncExitStack()
        self._amazon_url = self._loop_url = self._control_url = self._easypost_url = ""
        self.set_webhook_url(options.webhook_url)
        self.set_easypost_webhook(options.easypost_webhook_url)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            exits.push_async_callback(self._courier.close)
            if self._queue:
                exits.push_async_callback(self._queue.close)
            exits.push_async_callback(self.easypost_hooks.close)
            exits.push_async_callback(self._background.close)
            self._amazon_url = await self._listen(exits, self._amazon_vendors(), self.options.amazon_port)
            loop_url = await self._listen(exits, [self._loop_vendor()], self.options.loop_port)
            control_url = await self._listen(exits, [ControlVendor(self)], self.options.control_port)
            easypost_url = await self._listen(exits, [self.easypost_api], self.options.easypost_port)
            exits.callback(self._stopping.set)
            self._easypost_url = f"{easypost_url}/v2"
            self.easypost.base_url = easypost_url
            self._control_url = f"{control_url}/control"
            self._loop_url = f"{loop_url}/api"
            self.network.base_url = self._amazon_url
            self._reader.base_url = self._loop_url
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    @property
    def amazon_url(self) -> str:
        """The base URL of the Selling Partner API."""
        return self._amazon_url

    @property
    def lwa_url(self) -> str:
        """The whole URL of the token endpoint."""
        return f"{self._amazon_url}/auth/o2/token"

    @property
    def consent_url(self) -> str:
        """The whole URL of the consent page, which consents at once."""
        return f"{self._amazon_url}/apps/authorize/consent"

    @property
    def loop_url(self) -> str:
        """The base URL of the Loop API; ends in /api."""
        return self._loop_url

    @property
    def easypost_url(self) -> str:
        """The base URL of the EasyPost API; ends in /v2."""
        return self._easypost_url

    @property
    def queue_endpoint(self) -> str:
        """The endpoint for reading the queue through the sandbox, so that faults apply."""
        return f"{self._amazon_url}/queue"

    @property
    def control_url(self) -> str:
        """The base URL of the control API; ends in /control."""
        return self._control_url

    def snapshot(self) -> Json:
        """Show all data of the vendors."""
        return {
            "amazon": amazon_snapshot(self.network, self.shipping)
            | {
                "warnings": list(self._journal.warnings),
                "destinations": list(self.notifications.destinations.values()),
                "subscriptions": [asdict(row) for row in self.notifications.subscriptions.values()],
                "notifications": list(self.notifications.sent),
            },
            "loop": loop_snapshot(self.shop)
            | {
                "webhooks": self.subscriptions.list_all()["webhooks"],
                "deliveries": [asdict(attempt) for attempt in self._courier.attempts],
                "new_categories": [list(pair) for pair in self._grading.new_categories],
            },
            "easypost": easypost_snapshot(self.easypost)
            | {"events": [list(sent) for sent in self.easypost_hooks.sent]},
            "faults": [asdict(fault) for fault in self.faults.left()],
        }

    def calls(self) -> list[Json]:
        """List the vendors' requests in order of arrival: vendor, operation, method, path, at, status, fault."""
        return [asdict(call) for call in self._journal.calls if call.vendor != "control"]

    async def idle(self, seconds: float = 5.0) -> bool:
        """Wait until no delivery, retry or processing is pending; False after `seconds`."""
        end = self._clock.monotonic() + seconds
        while self._background.busy and self._clock.monotonic() < end:
            await self._clock.wait(self._stopping, 0.005)
        return not self._background.busy

    def _emit(self, topic: str, trigger: str, payload: Json) -> None:
        """Send an event to its subscribers; like at Loop, one with a different topic gets an empty payload."""
        for row in self.subscriptions.listening(trigger):
            fitting = payload if row.topic == topic else {}
            self._background.start(self._courier.deliver(row.url, trigger, fitting))

    async def _listen(self, exits: AsyncExitStack, vendors: list[Vendor], port: int) -> str:
        listener = Listener(self._shared, vendors, host=self.options.host, port=port)
        exits.push_async_callback(listener.close)
        return await listener.start()

    def _amazon_vendors(self) -> list[Vendor]:
        gate = AmazonGate(
            self.lwa, self._journal, self._clock, enforce=self.options.enforce_limits, limits=self.options.amazon_limits
        )
        shipping = ShippingVendor(self.shipping, gate, self.options)
        told = NotificationVendor(self.notifications, self.lwa, gate)
        vendors: list[Vendor] = [LwaVendor(self.lwa, self.options), shipping, told]
        if self._queue:
            vendors.append(QueueVendor(self._queue))
        return [*vendors, FulfillmentVendor(self.network, self._returns, gate)]

    def _loop_vendor(self) -> LoopVendor:
        rooms = LoopServices(
            reader=self._reader,
            labels=self._labels,
            actions=self.actions,
            grading=self._grading,
            subscriptions=self.subscriptions,
            destinations=_destinations(self.options.destination_id),
        )
        return LoopVendor(rooms, self.options, self._clock)


def _destinations(amazon_id: int) -> list[Json]:
    address = {
        "address1": "900 Depot Ave",
        "address2": "Bay 3",
        "city": "Reno",
        "state": "Nevada",
        "zip": "89506",
        "country": "United States",
        "country_code": "US",
    }
    return [
        {
            "id": amazon_id + n,
            "type": "warehouse",
            "name": name,
            "enabled": True,
            "provider_location_id": 88_110_022 + n,
            "address": address,
        }
        for n, name in enumerate(("Amazon MCF", "Own warehouse"))
    ]
