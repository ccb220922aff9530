"""The sandbox's EasyPost: what the published client makes of it, and how it differs from a good day."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import easypost
import pytest
from aiohttp import web
from easypost.util import validate_webhook

from adapters.host.clock import SystemClock
from adapters.sandbox import ControlError, Fault, Sandbox, SandboxOptions
from adapters.sandbox.easypost.hooks import signature
from tests.support.virtual_time import FakeClock

CLOCK = SystemClock()
SHOPPER = {
    "name": "Rowan Pike", "street1": "18 Larch Row", "street2": "Apt 4", "city": "Boise", "state": "ID", "zip": "83702",
    "country": "US", "phone": "2085550100",
}  # fmt: skip
CENTER = {
    "name": "Amazon Returns", "street1": "900 Depot Ave", "city": "Reno", "state": "NV", "zip": "89506",
    "country": "US", "phone": "7755550100",
}  # fmt: skip
RETURN = {
    "to_address": SHOPPER, "from_address": CENTER, "parcel": {"weight": 14.5}, "is_return": True, "reference": "ref-1",
    "options": {"label_format": "PDF"},
}  # fmt: skip


@asynccontextmanager
async def merchant(*, key: str = "", **options) -> AsyncIterator[tuple[Sandbox, easypost.EasyPostClient]]:
    """A sandbox, and the published client with one of its keys; each of its calls blocks, so it runs in a thread."""
    async with Sandbox(SandboxOptions(**options), CLOCK) as sandbox:
        client = easypost.EasyPostClient(key or sandbox.options.easypost_api_key, api_base=sandbox.easypost_url)
        try:
            yield sandbox, client
        finally:
            client._requests_session.close()


async def test_the_published_client_buys_tracks_and_gives_back():
    """Shipment, purchase, file, tracker and refund come through as the client's own objects."""
    async with merchant() as (sandbox, client):
        made = await asyncio.to_thread(client.shipment.create, **RETURN)
        assert {(rate.carrier, rate.service) for rate in made.rates} >= {("USPS", "GroundAdvantage"), ("UPS", "Ground")}
        lowest = made.lowest_rate()
        bought = await asyncio.to_thread(client.shipment.buy, made.id, rate=lowest)
        assert (bought.selected_rate.id, bought.tracker.status) == (lowest.id, "unknown")
        assert bought.to_address.street1 == "18 LARCH ROW APT 4"
        async with aiohttp.ClientSession() as session, session.get(bought.postage_label.label_url) as answer:
            label = await answer.read()
        assert label.startswith(b"%PDF")
        assert label.index(b"83702") < label.index(b"SHIP TO") < label.index(b"89506")
        sandbox.scan_easypost(bought.tracking_code, "pre_transit")
        tracker = await asyncio.to_thread(client.tracker.retrieve, bought.tracker.id)
        assert (tracker.status, tracker.shipment_id) == ("pre_transit", made.id)
        refunded = await asyncio.to_thread(client.shipment.refund, made.id)
        assert refunded.refund_status == "submitted"
        listed = await asyncio.to_thread(client.shipment.all, purchased=True)
        assert [one.id for one in listed.shipments] == [made.id]


async def test_a_shipment_is_sold_once():
    """A second purchase is refused by its code, and the reading shows the first."""
    async with merchant() as (sandbox, client):
        made = await asyncio.to_thread(client.shipment.create, **RETURN)
        await asyncio.to_thread(client.shipment.buy, made.id, rate=made.rates[0])
        with pytest.raises(easypost.errors.api.ApiError) as caught:
            await asyncio.to_thread(client.shipment.buy, made.id, rate=made.rates[0])
        assert caught.value.code == "SHIPMENT.POSTAGE.EXISTS"
        assert len(sandbox.easypost_labels()) == 1
        assert sandbox.snapshot()["easypost"]["shipments"][made.id]["purchase_requests"] == 2


async def test_rates_have_new_ids_after_rating_again():
    """An old rate cannot be bought any more."""
    async with merchant() as (_, client):
        made = await asyncio.to_thread(client.shipment.create, **RETURN)
        again = await asyncio.to_thread(client.shipment.regenerate_rates, made.id)
        assert {rate.id for rate in again.rates}.isdisjoint(rate.id for rate in made.rates)
        with pytest.raises(easypost.errors.api.ApiError) as caught:
            await asyncio.to_thread(client.shipment.buy, made.id, rate=made.rates[0])
        assert caught.value.code == "SHIPMENT.MISSING_RATE"


async def test_carriers_accounts_and_failures():
    """Only the accounts that were named are rated, and one that fails says so in a good answer."""
    async with merchant() as (sandbox, client):
        named = await asyncio.to_thread(client.shipment.create, **RETURN, carrier_accounts=["ca_sandbox2"])
        assert [rate.carrier for rate in named.rates] == ["UPS"]
        sandbox.offer_rates([{"carrier": "FedEx", "service": "Ground", "cents": 900, "failure": "no answer"}])
        failed = await asyncio.to_thread(client.shipment.create, **RETURN)
        assert (failed.rates, failed.messages[0].message) == ([], "no answer")
        accounts = await asyncio.to_thread(client.carrier_account.all)
        assert [account.readable for account in accounts] == ["FedEx"]
        with pytest.raises(ControlError, match="unexpected keyword"):
            sandbox.offer_rates([{"colour": "red"}])


@pytest.mark.parametrize(
    ("spoil", "kind", "code"),
    [
        (lambda s: s.set_funds(False), easypost.errors.api.PaymentError, "PAYMENT_REQUIRED"),
        (lambda s: s.set_easypost_key(False), easypost.errors.api.ForbiddenError, "APIKEY.INACTIVE"),
        (lambda s: s.refuse_purchase(), easypost.errors.api.InvalidRequestError, "SHIPMENT.POSTAGE.FAILURE"),
        (lambda s: s.time_out_purchase(), easypost.errors.api.InvalidRequestError, "SHIPMENT.POSTAGE.TIMED_OUT"),
        (
            lambda s: s.set_faults([Fault(vendor="easypost", kind="error", status=500, count=1)]),
            easypost.errors.api.InternalServerError,
            "INTERNAL_SERVER_ERROR",
        ),
    ],
)
async def test_each_refusal_is_the_clients_own_error(spoil, kind, code):
    """No money, no key, a carrier that refuses or does not answer, and trouble inside are told apart."""
    async with merchant() as (sandbox, client):
        made = await asyncio.to_thread(client.shipment.create, **RETURN)
        spoil(sandbox)
        with pytest.raises(kind) as caught:
            await asyncio.to_thread(client.shipment.buy, made.id, rate=made.rates[0])
        assert caught.value.code == code
        assert sandbox.easypost_labels() == []


async def test_a_carriers_demand_is_a_bare_text():
    """Some carriers want telephone numbers of both ends, and say so only when they sell."""
    async with merchant() as (sandbox, _):
        sandbox.offer_rates([{"carrier": "FedEx", "service": "Ground", "cents": 900, "needs_phones": True}])
        silent = {**RETURN, "from_address": {k: v for k, v in CENTER.items() if k != "phone"}}
        status, made = await ask(sandbox, "POST", "/shipments", {"shipment": silent})
        assert status == 201
        wanted = {"rate": {"id": made["rates"][0]["id"]}}
        assert await ask(sandbox, "POST", f"/shipments/{made['id']}/buy", wanted) == (400, {"error": "FromPhone"})


async def test_ids_do_not_cross_modes():
    """A test key finds nothing of what a production key made."""
    async with merchant() as (sandbox, client):
        made = await asyncio.to_thread(client.shipment.create, **RETURN)
        client.api_key = sandbox.options.easypost_test_key
        with pytest.raises(easypost.errors.api.NotFoundError):
            await asyncio.to_thread(client.shipment.retrieve, made.id)
        client.api_key = "EZAKnobody"
        with pytest.raises(easypost.errors.api.UnauthorizedError):
            await asyncio.to_thread(client.shipment.retrieve, made.id)


async def test_events_are_signed_as_the_client_expects():
    """A scan reaches whoever listens, and the client's own check takes its signature."""
    got: list[tuple[bytes, str]] = []

    async def hear(request: web.Request) -> web.Response:
        got.append((await request.read(), request.headers["X-Hmac-Signature"]))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hear)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with merchant() as (sandbox, client):
            secret = sandbox.options.easypost_webhook_secret
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
            await asyncio.to_thread(client.webhook.create, url=url, webhook_secret=secret)
            made = await asyncio.to_thread(client.shipment.create, **RETURN)
            bought = await asyncio.to_thread(client.shipment.buy, made.id, rate=made.rates[0])
            sandbox.scan_easypost(bought.tracking_code, "in_transit")
            assert await sandbox.idle()
    finally:
        await runner.cleanup()
    events = [json.loads(body) for body, _ in got]
    assert {event["description"] for event in events} == {"tracker.created", "tracker.updated"}
    for body, signed in got:
        assert signed == signature(secret, body)
        assert validate_webhook(body, {"X-Hmac-Signature": signed}, secret)


async def test_a_parcel_can_come_back_to_the_shopper():
    """A carrier that returns a parcel delivers it to its sender; a code that nobody sold cannot be scanned."""
    async with merchant() as (sandbox, client):
        made = await asyncio.to_thread(client.shipment.create, **RETURN)
        bought = await asyncio.to_thread(client.shipment.buy, made.id, rate=made.rates[0])
        sandbox.send_back(bought.tracking_code)
        tracker = await asyncio.to_thread(client.tracker.retrieve, bought.tracker.id)
        assert [detail.status for detail in tracker.tracking_details] == ["return_to_sender", "delivered"]
        with pytest.raises(easypost.errors.api.ApiError) as caught:
            await asyncio.to_thread(client.shipment.refund, made.id)
        assert caught.value.code == "SHIPMENT.REFUND.UNAVAILABLE"
        with pytest.raises(ControlError):
            sandbox.scan_easypost("nobody's", "in_transit")
        with pytest.raises(ControlError):
            sandbox.settle_refund(made.id, "refunded")


async def test_a_label_of_a_test_key_travels_by_itself():
    """It is delivered after three minutes, with details from a month before the purchase; its refund is rejected."""
    clock = FakeClock()
    async with Sandbox(SandboxOptions(), clock) as sandbox:
        made = sandbox.easypost.create({"shipment": RETURN}, "test")
        bought = sandbox.easypost.buy(made["id"], {"rate": made["rates"][0]}, "test")
        clock.advance(200)
        tracker = sandbox.easypost.read_tracker(bought["tracker"]["id"], "test")
        assert tracker["status"] == "delivered"
        assert tracker["tracking_details"][0]["datetime"] < bought["created_at"]
        assert sandbox.easypost.refund(made["id"], "test")["refund_status"] == "submitted"
        clock.advance(86400)
        assert sandbox.easypost.read(made["id"], "test")["refund_status"] == "rejected"


async def test_a_sale_may_show_late_and_may_come_late():
    """Readings may lag behind a purchase, and one that timed out may turn out bought."""
    clock = FakeClock()
    async with Sandbox(SandboxOptions(sale_shows_after=60.0), clock) as sandbox:
        made = sandbox.easypost.create({"shipment": RETURN}, "production")
        wanted = {"rate": made["rates"][0]}
        assert sandbox.easypost.buy(made["id"], wanted, "production")["tracking_code"]
        assert sandbox.easypost.read(made["id"], "production")["tracking_code"] is None
        clock.advance(61)
        assert sandbox.easypost.read(made["id"], "production")["tracking_code"]
        other = sandbox.easypost.create({"shipment": RETURN}, "production")
        sandbox.time_out_purchase(3600.0)
        path = f"/shipments/{other['id']}/buy"
        status, refusal = await ask(sandbox, "POST", path, {"rate": other["rates"][0]})
        assert (status, refusal["error"]["code"]) == (422, "SHIPMENT.POSTAGE.TIMED_OUT")
        status, refusal = await ask(sandbox, "POST", path, {"rate": other["rates"][0]})
        assert (status, refusal["error"]["code"]) == (409, "SHIPMENT.PURCHASE.IN_PROGRESS")
        clock.advance(3601)
        assert sandbox.easypost.read(other["id"], "production")["tracking_code"]


async def ask(sandbox: Sandbox, method: str, path: str, body: object) -> tuple[int, dict]:
    """Make one call as any HTTP client would."""
    key = {"Authorization": f"Bearer {sandbox.options.easypost_api_key}"}
    async with (
        aiohttp.ClientSession(headers=key) as session,
        session.request(method, sandbox.easypost_url + path, json=body) as answer,
    ):
        return answer.status, await answer.json()
