"""Both vendors in this process, the daemon in one of its own, and words for what people do."""

import asyncio
import base64
import inspect
import os
import re
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.host.clock import SystemClock
from adapters.sandbox import ReturnLine, Sandbox, SandboxOptions
from adapters.sandbox.amazon.http import FulfillmentVendor
from adapters.sandbox.easypost.shipments import EasyPostShipment
from adapters.sandbox.listener import Vendor
from tests.e2e.daemon_process import DaemonProcess

SHOP = "acme"
PATIENCE = 20.0
LOOK = 0.05
SOCK, MUG = "SOCK-2P-M", "MUG-BLUE"
CLOCK = SystemClock()

CALM = {"label_request_poll": "5s", "return_poll": "5s"}
"""For a world that needs most of Loop's 300 calls a minute for its returns."""

QUICK = {
    "label_request_poll": "1s",
    "return_poll": "1s",
    "label_poll_first": "100ms",
    "label_poll_max": "300ms",
    "inspection_idle": "300ms",
    "inspection_moving": "300ms",
    "inspection_arrived": "300ms",
    "review_watch": "5s",
    "outcome_watch": "500ms",
    "stop_grace": "5s",
    "http_timeout": "5s",
}
RAISED = {"rate": 200, "burst": 200}
OPERATIONS = ("getFulfillmentOrder", "createFulfillmentReturn", "listReturnReasonCodes", "listAllFulfillmentOrders")


class _RaisedPlan(FulfillmentVendor):
    """Amazon with a raised usage plan: the published two calls a second would make every test wait."""

    def admit(self, request, operation: str) -> None:
        if operation != "rmaPage":
            self._gate.admit(request, operation, rate=float(RAISED["rate"]), burst=RAISED["burst"])


class RaisedSandbox(Sandbox):
    """The sandbox, with a raised usage plan."""

    def _amazon_vendors(self) -> list[Vendor]:
        *others, outbound = super()._amazon_vendors()
        assert isinstance(outbound, FulfillmentVendor)
        return [*others, _RaisedPlan(outbound._network, outbound._service, outbound._gate)]


def tell(lines: Iterable[str]) -> None:
    """Show lines to whoever reads of a test that failed."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


async def pause(seconds: float) -> None:
    """Let time pass."""
    await CLOCK.wait(asyncio.Event(), seconds)


async def until(what: str, seen: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait until `seen` answers something true, and return it."""
    end = CLOCK.monotonic() + seconds
    while True:
        value = seen()
        value = await value if inspect.isawaitable(value) else value
        if value:
            return value
        assert CLOCK.monotonic() < end, f"never happened: {what}"
        await pause(LOOK)


@dataclass
class World:
    """The daemon between both vendors."""

    sandbox: Sandbox
    daemon: DaemonProcess
    patience: float = PATIENCE

    # ---- what people and parcels do

    def submit(self, order_name: str, *lines: str | ReturnLine, **options: Any) -> int:
        """Let a shopper return something of an order that Amazon has shipped."""
        wanted = [ReturnLine(sku=line) if isinstance(line, str) else line for line in lines]
        if order_name not in self.sandbox.snapshot()["amazon"]["orders"]:
            held: dict[str, int] = {}
            for line in wanted:
                held[line.sku] = held.get(line.sku, 0) + line.quantity
            self.sandbox.create_order(order_name, held)
        return self.sandbox.submit_return(order_name, wanted, **options)

    def subscribe(self) -> None:
        """Let Loop deliver to where the daemon listens now."""
        here = f"http://127.0.0.1:{self.daemon.public_port}/webhooks"
        self.sandbox.set_webhook_url(f"{here}/loop/{SHOP}")
        self.sandbox.set_easypost_webhook(f"{here}/easypost/main")

    async def restart(self) -> None:
        """Stop the daemon if it runs, start it again, and let Loop find it."""
        await self.daemon.restart()
        self.subscribe()

    # ---- what the vendors hold

    def portal(self, return_id: int) -> dict[str, Any]:
        """What Loop holds of a return."""
        return self.sandbox.snapshot()["loop"]["returns"][str(return_id)]

    def network(self, order_id: str) -> dict[str, Any]:
        """What Amazon holds of an order."""
        return self.sandbox.snapshot()["amazon"]["orders"][order_id]

    def calls(self, operation: str, about: str = "") -> int:
        """How often a vendor was asked for that, with these words in the path."""
        return len([c for c in self.sandbox.calls() if c["operation"] == operation and about in c["path"]])

    def shipments(self, return_id: int) -> list[dict[str, Any]]:
        """The labels bought for a return's order, voided ones included."""
        held = self.sandbox.snapshot()["amazon"]
        numbers = {label["tracking_number"] for label in self.portal(return_id)["delivered_labels"]}
        bought = held["shipments"].values()
        return [s for s in bought if numbers & {parcel["tracking_id"] for parcel in s["parcels"]}]

    def parcels(self, return_id: int) -> list[EasyPostShipment]:
        """What EasyPost sold for a return, refunded labels included: the RMA is printed on it."""
        orders = self.sandbox.network.orders.values()
        items = [i for order in orders for i in order.items.values() if f"-{return_id}-" in i.seller_id]
        printed = {f"RMA {item.authorization.rma}" for item in items}
        sold = self.sandbox.easypost_labels()
        return [s for s in sold if s.request.get("options", {}).get("print_custom_1") in printed]

    def loop_calls_of_this_start(self) -> int:
        """How often Loop was asked since the daemon was last started."""
        return len([c for c in self.sandbox.calls() if c["vendor"] == "loop" and c["at"] >= self.daemon.started_at])

    def notes(self, return_id: int) -> list[str]:
        """The timeline's notes without their markers; one text of Loop's may hold several."""
        told = (re.split(r" ?\[mcfd [0-9a-f]{8}\] ", text)[1:] for text in self.portal(return_id)["notes"])
        return [note for notes in told for note in notes]

    # ---- waiting for it

    async def labelled(self, return_id: int) -> dict[str, Any]:
        """Wait for the label; the return as Loop holds it then."""
        await until(f"label of {return_id}", lambda: self.portal(return_id)["delivered_labels"], self.patience)
        return self.portal(return_id)

    async def portal_state(self, return_id: int, state: str) -> None:
        """Wait until Loop shows the return in that state."""
        await until(f"{return_id} is {state} in Loop", lambda: self.portal(return_id)["state"] == state, self.patience)

    async def state(self, return_id: int, *states: str) -> dict[str, Any]:
        """Wait until the daemon holds the return in one of these states; what it shows then."""

        async def seen() -> dict[str, Any] | None:
            shown = await self.daemon.show(return_id)
            return shown if shown["state"] in states else None

        shown: dict[str, Any] = await until(f"{return_id} is {' or '.join(states)}", seen, self.patience)
        return shown

    async def receive(self, return_id: int, sku: str, condition: str | None = "Sellable") -> None:
        """Let a fulfillment center process a unit as soon as its label is out."""
        await self.labelled(return_id)
        self.sandbox.receive(return_id, sku=sku, condition=condition)


def fresh_secret(name: str) -> str:
    """A secret that nothing else looks like."""
    return f"{name}-canary-{secrets.token_hex(12)}"


def secret_files(options: SandboxOptions) -> dict[str, str]:
    """Every secret file that goes with a sandbox."""
    return {
        "amazon_client_secret": options.client_secret,
        "amazon_refresh_token": options.refresh_token,
        f"loop_api_key.{SHOP}": options.loop_api_key,
        f"loop_webhook_secrets.{SHOP}": options.webhook_secret,
        "vault_keys": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "ops_token": fresh_secret("ops"),
    }


def configuration(
    folder: Path, sandbox: Sandbox, timings: Mapping[str, str], shop: Mapping[str, Any]
) -> dict[str, Any]:
    """The configuration file that goes with a sandbox."""
    return {
        "public_url": "http://127.0.0.1:8080",
        "listen": {"public": "127.0.0.1:0", "ops": "127.0.0.1:0"},
        "store": {"path": str(folder / "state" / "mcfd.db")},
        "amazon": {
            "client_id": sandbox.options.client_id,
            "endpoint": sandbox.amazon_url,
            "lwa_endpoint": sandbox.lwa_url,
            "label_source": "rma_page",
            "limits": {operation: dict(RAISED) for operation in OPERATIONS},
        },
        "shops": {SHOP: {"api_url": sandbox.loop_url, "order_id_templates": ["{order_name}"], **shop}},
        "timings": {**QUICK, **timings},
    }


@asynccontextmanager
async def vendors(folder: Path, **options: Any) -> AsyncIterator[World]:
    """Both vendors, and a daemon that nobody has started yet."""
    own = {
        "client_secret": fresh_secret("lwa"),
        "refresh_token": fresh_secret("refresh"),
        "loop_api_key": fresh_secret("loop"),
        "webhook_secret": fresh_secret("webhook"),
        "easypost_api_key": "EZAK" + fresh_secret("easypost"),
        "easypost_webhook_secret": fresh_secret("easypost-webhook"),
    }
    timings, shop, more = options.pop("timings", {}), options.pop("shop", {}), options.pop("config", {})
    more_secrets = options.pop("secrets", {})
    buys, easypost = options.pop("buys_labels", False), options.pop("easypost", {})
    defaults = {"process_after": 0.05, "retry_unit": 0.2, "enforce_limits": False}
    async with RaisedSandbox(SandboxOptions(**{**own, **defaults, **options}), CLOCK) as sandbox:
        config = configuration(folder, sandbox, timings, shop) | more
        daemon = DaemonProcess(folder, config, secret_files(sandbox.options) | more_secrets)
        if buys == "easypost":
            daemon.config["amazon"]["label_source"] = "easypost"
            daemon.config["easypost"] = {"api_url": sandbox.easypost_url} | easypost
            daemon.secrets["easypost_api_key"] = sandbox.options.easypost_api_key
            daemon.secrets["easypost_webhook_secret"] = sandbox.options.easypost_webhook_secret
        elif buys:
            daemon.config["amazon"]["label_source"] = "amazon_shipping"
            daemon.secrets["amazon_return_service_id"] = sandbox.options.return_service_id
        try:
            yield World(sandbox, daemon)
        except BaseException:
            tell(daemon.lines[-60:])
            raise
        finally:
            if daemon.running:
                await daemon.sigkill()


@asynccontextmanager
async def world(folder: Path, *, webhooks: bool = True, **options: Any) -> AsyncIterator[World]:
    """Both vendors and a running daemon, which must stop well in the end."""
    async with vendors(folder, **options) as made:
        await made.daemon.start()
        if webhooks:
            made.subscribe()
        yield made
        if made.daemon.running:
            assert await made.daemon.sigterm() == 0


async def everyone(*waits: Awaitable[Any]) -> list[Any]:
    """Wait for all at once."""
    return list(await asyncio.gather(*waits))
