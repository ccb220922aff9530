"""The sandbox without sockets: the vendors in the simulated world, delivering webhooks to the daemon."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

from aiohttp import web

from adapters.sandbox import Fault, Sandbox, SandboxOptions
from adapters.sandbox.listener import Vendor
from adapters.sandbox.loop.webhooks import Courier, signature
from daemon.ports.host import Clock
from tests.support.simulation.in_process_http import Switchboard
from tests.support.simulation.queue import ARN, SandboxQueue, WorldQueue

SHOP, NEIGHBOUR = "acme", "bolt"
OPTIONS = SandboxOptions(process_after=30.0)

Receive = Callable[[str, str, bytes], Awaitable[web.Response | None]]
"""Takes (shop, signature, body) and returns the answer; None when there is none."""


class SimulatedVendors(Sandbox):
    """Amazon and Loop. `receive` passes a webhook of `shop` to the daemon, if it is up."""

    def __init__(self, options: SandboxOptions, clock: Clock, receive: Receive, shop: str = SHOP) -> None:
        super().__init__(options, clock)
        self._courier = _Courier(options, self._shared, receive)
        self.hosts: dict[str, Switchboard] = {}
        self.queue = WorldQueue()
        self.set_webhook_url(f"http://daemon.test/webhooks/loop/{shop}")

    def announce_everything(self) -> None:
        """Let Amazon send notifications of returns to the queue, as after `mcfd notifications sync`."""
        self.notifications.queue = SandboxQueue(self.queue)
        arn = {"sqs": {"arn": ARN}}
        made = self.notifications.create_destination({"name": "mcfd", "resourceSpecification": arn})
        body = {"payloadVersion": "1.0", "destinationId": made["destinationId"]}
        self.notifications.subscribe("FULFILLMENT_ORDER_STATUS", body)

    def queue_fault(self) -> Fault | None:
        """What goes wrong with the next request to the queue."""
        return self._shared.faults.pick("queue", "queue")

    async def _listen(self, exits: AsyncExitStack, vendors: list[Vendor], port: int) -> str:
        host = f"{vendors[-1].name}.test"
        if vendors[-1].name != "control":  # tests call the operations directly
            self.hosts[host] = Switchboard(self._shared, vendors)
        return f"https://{host}"

    @property
    def issued(self) -> list[tuple[str, int | None]]:
        """Every delivery attempt about a label request: (return id, status)."""
        return [(a.about, a.status) for a in self._courier.attempts if a.trigger == "label.request.issued"]


class Neighbour(SimulatedVendors):
    """Another Loop shop of the same seller; all else is shared."""

    def __init__(self, vendors: SimulatedVendors, clock: Clock, receive: Receive) -> None:
        super().__init__(replace(vendors.options, shop_id=vendors.options.shop_id + 1), clock, receive, NEIGHBOUR)
        self._shared, self.faults = vendors._shared, vendors.faults
        self._courier._shared = vendors._shared
        self.network, self.shipping, self.easypost = vendors.network, vendors.shipping, vendors.easypost
        self.shop._ids = 500_000
        self._vendors = vendors

    async def _listen(self, exits: AsyncExitStack, vendors: list[Vendor], port: int) -> str:
        if vendors[-1].name == "loop":
            self._vendors.hosts[f"{NEIGHBOUR}.test"] = Switchboard(self._shared, vendors)
        return f"https://{vendors[-1].name}.test"


class _Courier(Courier):
    def __init__(self, options: SandboxOptions, shared: object, receive: Receive) -> None:
        super().__init__(options, shared)  # type: ignore[arg-type]
        self._receive = receive

    async def _post(self, url: str, body: bytes) -> tuple[int, float | None]:
        shop = url.rpartition("/")[2]
        try:
            async with asyncio.timeout(self._options.webhook_timeout):
                answer = await self._receive(shop, signature(self._options.webhook_secret, body), body)
        except TimeoutError:
            answer = None
        if answer is None:
            return 0, None
        wait = answer.headers.get("Retry-After")
        return answer.status, None if wait is None else float(wait)
