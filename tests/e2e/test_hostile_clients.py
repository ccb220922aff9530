"""Other stand-ins than our own: written from the vendors' pages alone, behind a proxy's paths, with numbers as ids."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.world import QUICK, everyone, fresh_secret, until

STAMP = "2026-11-20T10:00:00Z"
SECRET, LWA_SECRET = fresh_secret("webhook"), fresh_secret("lwa")
ORDERS = "/gateway/fba/outbound/2020-07-01/fulfillmentOrders/{id}"
LOOP = "/loop/api/2026-07"


@dataclass
class Strangers:
    """One order, one return of one cap; everything that was asked, by method and path."""

    condition: str
    items: list[dict] = field(default_factory=list)
    labels: list[dict] = field(default_factory=list)
    notes: list[dict] = field(default_factory=list)
    told: list[tuple[str, object]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    state: str = "open"
    url: str = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.post("/login", self.token),
                web.get(ORDERS, self.order),
                web.put(f"{ORDERS}/return", self.create),
                web.get("/gateway/fba/outbound/2020-07-01/returnReasonCodes", self.reasons),
                web.get(f"{LOOP}/label-requests", self.no_requests),
                web.get(f"{LOOP}/label-requests/9001", self.request),
                web.get(f"{LOOP}/warehouse/return/details", self.details),
                web.get(f"{LOOP}/warehouse/return/list", self.no_returns),
                web.get(f"{LOOP}/warehouse/return/77/notes", self.all_notes),
                web.post(f"{LOOP}/warehouse/return/77/note", self.note),
                web.post(f"{LOOP}/labels", self.label),
                web.put(f"{LOOP}/labels/5", self.accept),
                web.post(f"{LOOP}/dispositioning/grade", self.accept),
                web.post(f"{LOOP}/dispositioning/assess", self.accept),
                web.post(f"{LOOP}/warehouse/return/77/flag", self.flag),
                web.post(f"{LOOP}/warehouse/return/77/process", self.process),
                web.route("*", "/{tail:.*}", self.nothing),
            ]
        )
        return app

    # ---- Amazon

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form["client_secret"] != LWA_SECRET:
            return web.json_response({"error": "invalid_client"}, status=401)
        return web.json_response({"access_token": "opaque", "token_type": "bearer", "expires_in": 3600})

    async def order(self, request: web.Request) -> web.Response:
        if request.match_info["id"] != "SHOP-42":
            return web.json_response({"errors": [{"code": "InvalidInput", "message": "not found"}]}, status=400)
        line = {"sellerSku": "CAP", "sellerFulfillmentOrderItemId": "1", "quantity": 1}
        shipment = {
            "amazonShipmentId": "S1",
            "fulfillmentCenterId": "XYZ1",
            "fulfillmentShipmentStatus": "SHIPPED",
            "fulfillmentShipmentItem": [line],
        }
        head = {
            "sellerFulfillmentOrderId": "SHOP-42",
            "displayableOrderId": "42",
            "receivedDate": STAMP,
            "statusUpdatedDate": STAMP,
            "fulfillmentOrderStatus": "COMPLETE",
        }
        page = {
            "fulfillmentOrder": head,
            "fulfillmentOrderItems": [line | {"cancelledQuantity": 0, "unfulfillableQuantity": 0}],
            "fulfillmentShipments": [shipment],
            "returnItems": self.items,
            "returnAuthorizations": self.authorizations(),
        }
        return web.json_response({"payload": page})

    async def create(self, request: web.Request) -> web.Response:
        (wanted,) = (await request.json())["items"]
        item = {
            "sellerReturnItemId": wanted["sellerReturnItemId"],
            "sellerFulfillmentOrderItemId": "1",
            "amazonShipmentId": wanted["amazonShipmentId"],
            "sellerReturnReasonCode": wanted["returnReasonCode"],
            "status": "New",
            "statusChangedDate": STAMP,
            "returnAuthorizationId": "A1",
        }
        self.items.append(item)
        return web.json_response({"payload": {"returnItems": [item], "returnAuthorizations": self.authorizations()}})

    def authorizations(self) -> list[dict]:
        address = {"name": "R", "addressLine1": "1 Road", "city": "Reno", "stateOrRegion": "NV", "postalCode": "89506"}
        page = {"amazonRmaId": "RMA-77", "rmaPageURL": "https://stranger.example/rma/77"}
        held = {"returnAuthorizationId": "A1", "fulfillmentCenterId": "XYZ1", **page}
        return [held | {"returnToAddress": address | {"countryCode": "US"}}] if self.items else []

    async def reasons(self, _: web.Request) -> web.Response:
        return web.json_response({"payload": {"reasonCodeDetails": []}})

    def inspect(self) -> None:
        """Let the fulfillment center open the parcel."""
        self.items[0] |= {"status": "Processed", "returnReceivedCondition": self.condition}
        self.items[0] |= {"fulfillmentCenterId": "XYZ1", "statusChangedDate": STAMP}

    # ---- Loop

    async def no_requests(self, _: web.Request) -> web.Response:
        return web.json_response({"data": []})

    async def no_returns(self, _: web.Request) -> web.Response:
        return web.json_response([])

    async def all_notes(self, _: web.Request) -> web.Response:
        return web.json_response(self.notes)

    async def request(self, _: web.Request) -> web.Response:
        origin = {"name": "A", "address1": "1 St", "city": "Ely", "region": "NV", "country_code": "US"}
        held = {"id": 9001, "return_id": 77, "shop_id": 1, "status": "fulfilled" if self.labels else "issued"}
        product = {"name": "Cap", "sku": "CAP", "price": {"amount": 900, "currency_code": "USD"}}
        return web.json_response(held | {"addresses": {"origin": origin}, "products": [product], "errors": []})

    async def details(self, request: web.Request) -> web.Response:
        if request.query.get("return_id") != "77":
            return web.json_response({"error": "Return not found."}, status=404)
        line = {"line_item_id": 500, "sku": "CAP", "price": "9.00", "return_reason": "Too big", "outcome": "default"}
        held = {"id": 77, "state": self.state, "outcome": "refund", "order_name": "SHOP-42", "line_items": [line]}
        labels = [{"url": label["label_url"], "status": "new"} for label in self.labels]
        return web.json_response(held | {"labels": labels, "was_processed": self.state == "closed"})

    async def note(self, request: web.Request) -> web.Response:
        self.notes.append({"id": len(self.notes) + 1, "content": (await request.json())["content"]})
        return web.json_response({"success": True})

    async def label(self, request: web.Request) -> web.Response:
        self.labels.append(await request.json())
        return web.json_response({"id": "5", **self.labels[-1]}, status=201)

    async def accept(self, request: web.Request) -> web.Response:
        self.told.append((request.path.removeprefix(LOOP), await request.json()))
        return web.json_response({"success": True})

    async def flag(self, _: web.Request) -> web.Response:
        self.told.append(("flag", None))
        self.state = "review"
        return web.json_response({"success": True})

    async def process(self, _: web.Request) -> web.Response:
        self.told.append(("process", None))
        self.state = "closed"
        return web.json_response({"success": True})

    async def nothing(self, request: web.Request) -> web.Response:
        self.unknown.append(f"{request.method} {request.path}")
        return web.json_response({"message": "no such thing"}, status=404)


@asynccontextmanager
async def strangers(condition: str) -> AsyncIterator[Strangers]:
    """Serve them on a port of their own."""
    made = Strangers(condition)
    runner = web.AppRunner(made.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


def files(folder, loop: Strangers, amazon: Strangers) -> DaemonProcess:
    """A daemon that knows nothing but other URLs."""
    config = {
        "public_url": "https://returns.shop.test",
        "listen": {"public": "127.0.0.1:0", "ops": "127.0.0.1:0"},
        "store": {"path": str(folder / "state" / "mcfd.db")},
        "amazon": {
            "client_id": "amzn1.application-oa2-client.strange",
            "endpoint": f"{amazon.url}/gateway",
            "lwa_endpoint": f"{amazon.url}/login",
            "limits": {"getFulfillmentOrder": {"rate": 50, "burst": 50}},
        },
        "shops": {"strange": {"api_url": f"{loop.url}/loop/api", "api_version": "2026-07"}},
        "timings": QUICK,
    }
    secrets = {
        "amazon_client_secret": LWA_SECRET,
        "amazon_refresh_token": fresh_secret("refresh"),
        "loop_api_key.strange": fresh_secret("loop"),
        "loop_webhook_secrets.strange": SECRET,
        "vault_keys": base64.b64encode(b"k" * 32).decode(),
        "ops_token": fresh_secret("ops"),
    }
    folder.mkdir(exist_ok=True)
    return DaemonProcess(folder, config, secrets)


async def hears(daemon: DaemonProcess, topic: str, trigger: str, **body: object) -> None:
    """Deliver a webhook as Loop's pages say."""
    text = json.dumps({"topic": topic, "trigger": trigger, "shop_id": 1, **body}).encode()
    signed = base64.b64encode(hmac.new(SECRET.encode(), text, hashlib.sha256).digest()).decode()
    assert await daemon.deliver("/webhooks/loop/strange", text, signed) == 200


async def goes_all_the_way(folder, condition: str, last: str, states: tuple[str, ...]) -> None:
    """Follow one return from the webhook to its end."""
    async with strangers(condition) as loop, strangers(condition) as amazon:
        loop.items = amazon.items
        daemon = files(folder, loop, amazon)
        await daemon.start()
        try:
            await hears(daemon, "label.request", "label.request.issued", id=9001, return_id=77, products=[])
            await until("a label", lambda: loop.labels)
            (label,) = loop.labels
            assert (label["label_request_id"], label["tracking_number"]) == (9001, "RMA-77")
            assert label["label_url"] == "https://stranger.example/rma/77"
            amazon.inspect()
            await until(last, lambda: (last, None) in loop.told)

            async def settled() -> bool:
                return (await daemon.show("strange/77"))["state"] in states

            await until("it is settled", settled)
            notes = re.findall(r"\[mcfd \w+\]", " ".join(note["content"] for note in loop.notes))
            assert (len(amazon.items), len(loop.labels), len(set(notes)), len(notes)) == (1, 1, 4, 4)
            told = [path for path, _ in loop.told]
            assert told.count(last) == 1
            assert {"/dispositioning/grade", "/dispositioning/assess"} <= set(told)
            assert loop.unknown + amazon.unknown == []
            assert not daemon.complaints
        finally:
            await daemon.sigkill()


async def test_nothing_depends_on_our_sandbox(tmp_path):
    """With stand-ins of a stranger a clean return is processed and a damaged one is flagged."""
    await everyone(
        goes_all_the_way(tmp_path / "clean", "Sellable", "process", ("closed",)),
        goes_all_the_way(tmp_path / "damaged", "Defective", "flag", ("in_review",)),
    )
