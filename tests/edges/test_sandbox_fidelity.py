"""What the vendors' pages say beside the main ways: error shapes, headers, spellings, switches for what they leave open."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from urllib.parse import quote

import pytest
from aiohttp import web

from adapters.sandbox import ServiceOffer
from tests.edges.test_sandbox_swagger import FBA, outside, rates_request
from tests.edges.test_sandbox_webhooks import SOCK, listening, one_event

LABEL = {"tracking_number": "T1", "carrier": "Amazon", "label_url": "https://x.example/l", "rate": {"amount": 1}}


async def request_of(out, ret: int) -> int:
    """Name the first label request of a return."""
    return out.sandbox.snapshot()["loop"]["returns"][str(ret)]["label_requests"][0]


async def test_loops_nine_ways_to_say_no():
    """Each shape of error is exactly as it was seen, with the status that belongs to it."""
    gateway = {"error": {"code": "401", "http_code": "GEN-UNAUTHORIZED", "message": "Unauthorized."}}
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        out.sandbox.close_return(ret)
        act = f"/warehouse/return/{ret}"
        wrong_key = await out.loop("GET", "/webhooks", headers={"X-Authorization": "x"})
        assert (wrong_key.status, wrong_key.body) == (401, gateway)
        refused = await out.loop("POST", f"{act}/process")
        message = "Return is closed and therefore cannot be processed."
        assert (refused.status, refused.body) == (200, {"errors": {"message": message, "code": "UNPROCESSABLE_RETURN"}})
        nothing = await out.loop("GET", "/warehouse/return/details?return_id=1")
        assert (nothing.status, nothing.body) == (200, {"error": {"message": "No return found with this ID."}})
        stranger = await out.loop("POST", "/warehouse/return/1/remove?line_item_id=1")
        assert (stranger.status, stranger.body) == (403, {"errors": [{"message": "Return not found."}]})
        invalid = await out.loop("POST", f"{act}/note", {})
        field = {"content": ["The content field is required."]}
        assert (invalid.status, invalid.body) == (422, {"message": "The given data was invalid.", "errors": field})
        for path in ("/destinations/1", "/label-requests/1"):
            missing = await out.loop("GET", path)
            assert (missing.status, missing.body.keys(), missing.body["code"]) == (
                404,
                {"code", "message"},
                "NOT_FOUND",
            )
        webhook = await out.loop("DELETE", "/webhooks/1")
        assert (webhook.status, webhook.body) == (404, {"errors": {"code": "NOT_FOUND"}})
        notes = await out.loop("GET", f"{act}/notes")
        assert (notes.status, notes.text) == (422, "false")
    async with outside(api_scopes=frozenset()) as out:
        scope = await out.loop("GET", "/webhooks")
        assert (scope.status, scope.body) == (401, {"errors": "Unauthorized."})
        assert (await out.loop("POST", "/returns/1/labels/regenerate")).status == 403


@pytest.mark.parametrize(
    "spelling", ["{:%Y-%m-%d %H:%M:%S}", "{:%Y-%m-%dT%H:%M:%S.000Z}", "{:%Y-%m-%dT%H:%M:%S}+00:00"]
)
async def test_windows_are_spelled_in_each_documented_way(spelling):
    """The list takes times with and without a zone; the start of a window is in it."""
    async with outside() as out:
        ret = str(out.sandbox.submit_return("#1", [SOCK]))
        created = datetime.fromisoformat(out.sandbox.snapshot()["loop"]["returns"][ret]["created_at"]).replace(
            tzinfo=UTC
        )
        start, end = (quote(spelling.format(created + timedelta(seconds=n))) for n in (0, 60))
        answer = await out.loop("GET", f"/warehouse/return/list?from={start}&to={end}")
        assert [row["id"] for row in answer.body] == [ret]


async def test_loop_is_asked_to_make_a_label():
    """Loop then asks the provider again, unless somebody is at it, gave up, delivered one, or the return is over."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        request = await request_of(out, ret)
        path = f"/returns/{ret}/labels"
        queued = await out.loop("POST", path)
        assert (queued.status, queued.body["returnId"]) == (202, ret)
        held = out.sandbox.snapshot()["loop"]["returns"][str(ret)]
        assert held["label_requests"] == [request]
        await out.loop("POST", f"/label-requests/{request}/errors", {"reason": "Other"})
        failed = await out.loop("POST", path)
        assert (failed.status, failed.body["code"]) == (422, "label_generation_failed")
        out.sandbox.cancel_label_request(request)
        assert (await out.loop("POST", path)).status == 202
        again = out.sandbox.snapshot()["loop"]["returns"][str(ret)]["label_requests"][1]
        assert (await out.loop("POST", "/labels", LABEL | {"label_request_id": again})).status == 201
        there = await out.loop("POST", path)
        assert (there.status, there.body["code"]) == (409, "label_already_exists")
        for call, status, code in (
            (f"{path}/regenerate", 422, "return_cannot_receive_label"),
            ("/returns/1/labels", 404, "return_not_found"),
            ("/returns/1/labels/regenerate", 404, "return_not_found"),
        ):
            answer = await out.loop("POST", call)
            assert (answer.status, answer.body["code"]) == (status, code)
        other = out.sandbox.submit_return("#2", [SOCK])
        out.sandbox.close_return(other)
        assert (await out.loop("POST", f"/returns/{other}/labels")).body["code"] == "return_cannot_receive_label"


async def test_retries_wait_twice_as_long_each_time():
    """The back-off doubles, give or take a fifth."""
    answers = [web.Response(status=500) for _ in range(4)]
    async with listening(*answers) as ear, outside(webhook_url=ear.url, retry_unit=0.05) as out:
        assert await one_event(out) == [500] * 4 + [200]
        times = [attempt["at"] for attempt in out.sandbox.snapshot()["loop"]["deliveries"]]
        waits = [later - earlier for earlier, later in pairwise(times)]
        assert all(wait >= 0.8 * 0.05 * 2**n for n, wait in enumerate(waits))


@pytest.mark.parametrize(("spelling", "seen"), [("mixed", "CompletePartialled"), ("capitals", "COMPLETEPARTIALLED")])
async def test_order_statuses_are_spelled_both_ways(spelling, seen):
    """Amazon's model mixes the cases, its older answers have capitals; a word that it does not know stays as it is."""
    async with outside(order_statuses=spelling) as out:
        out.sandbox.create_order("A-1", {"SOCK": 1}, status="completepartialled")
        payload = (await out.order("A-1")).body["payload"]
        assert payload["fulfillmentOrder"]["fulfillmentOrderStatus"] == seen
        assert payload["fulfillmentShipments"][0]["fulfillmentShipmentStatus"] == "SHIPPED"
        out.sandbox.misfits.clear()  # the model knows the one spelling only


async def test_the_usage_plan_can_be_another():
    """Rate and burst can be set for one operation and for all others; the header shows them."""
    async with outside(enforce_limits=True, amazon_limits={"getFulfillmentOrder": (0.5, 2), "*": (5, 3)}) as out:
        out.clock.hold()
        orders = [await out.order("A-1") for _ in range(3)]
        assert [(a.status, a.headers.get("x-amzn-RateLimit-Limit")) for a in orders] == [
            (400, "0.5"),
            (400, "0.5"),
            (429, None),
        ]
        lists = [await out.amazon("GET", f"{FBA}/fulfillmentOrders") for _ in range(4)]
        assert [answer.status for answer in lists] == [200, 200, 200, 429]
        assert lists[0].headers["x-amzn-RateLimit-Limit"] == "5"
        tracked = [await out.shipping("GET", "/tracking", params="trackingId=x&carrierId=y") for _ in range(4)]
        assert [answer.status for answer in tracked] == [404, 404, 404, 429]


async def test_the_rate_is_shown_where_amazon_shows_it_only():
    """Every answer names its request; the rate is on 200, 400 and 404, never on 401, 403 and 429."""
    async with outside(enforce_limits=True) as out:
        out.sandbox.create_order("A-1", {"SOCK": 1})
        out.clock.hold()
        good = out.token
        answers = [await out.order("A-1"), await out.order("nobody")]
        answers.append(await out.shipping("GET", "/tracking", params="trackingId=x&carrierId=y"))
        out.token = "Atza|other"
        answers.append(await out.order("A-1"))
        out.token = good
        answers.append(await out.send("GET", f"{out.sandbox.amazon_url}{FBA}/fulfillmentOrders/A-1"))
        answers.append([await out.order("A-1") for _ in range(30)][-1])
        shown = {answer.status: "x-amzn-RateLimit-Limit" in answer.headers for answer in answers}
        assert shown == {200: True, 400: True, 404: True, 403: False, 401: False, 429: False}
        ids = [answer.headers["x-amzn-RequestId"] for answer in answers]
        assert len(set(ids)) == len(ids)


async def test_a_parcel_to_the_shopper_is_tracked():
    """An outbound package is found by its number, on its way at first and delivered later; another is a 400."""
    async with outside() as out:
        out.sandbox.create_order("A-1", shipments=[{"lines": {"SOCK": 1}}, {"status": "PENDING", "lines": {"SOCK": 1}}])
        number = (await out.order("A-1")).body["payload"]["fulfillmentShipments"][0]["fulfillmentShipmentPackage"][0]
        params = f"packageNumber={number['packageNumber']}"
        for shift, status in ((0, "IN_TRANSIT"), (4 * 86400, "DELIVERED")):
            out.clock.shift = shift
            await out.log_in()
            answer = await out.amazon("GET", f"{FBA}/tracking", params=params)
            assert answer.body["payload"]["currentStatus"] == status
        for wrong in ("packageNumber=1", f"packageNumber={number['packageNumber'] + 1}", ""):
            assert (await out.amazon("GET", f"{FBA}/tracking", params=wrong)).status == 400


def one_click(*services: str, **changes) -> dict:
    """Ask for a label of the first of these services."""
    request = rates_request()
    del request["shipmentType"]
    document = {
        "format": "PDF",
        "size": {"width": 4, "length": 6, "unit": "INCH"},
        "needFileJoining": False,
        "requestedDocumentTypes": ["LABEL"],
    }
    return request | {"labelSpecifications": document, "serviceSelection": {"serviceId": list(services)}} | changes


async def test_a_label_is_bought_with_one_click():
    """The first of the named services that is sold is bought at once, with its carrier, service and charge."""
    async with outside() as out:
        service = out.sandbox.options.return_service_id
        answer = await out.shipping("POST", "/oneClickShipment", one_click("nobody", service, "SWA-US-GROUND"))
        payload = answer.body["payload"]
        assert (answer.status, payload["service"]["id"], payload["carrier"]["id"]) == (200, service, "AMZN_US")
        assert payload["totalCharge"] == {"value": 6.5, "unit": "USD"}
        (parcel,) = payload["packageDocumentDetails"]
        assert parcel["packageDocuments"][0]["contents"]
        out.sandbox.scan(parcel["trackingId"], "InTransit")
        assert list(out.sandbox.snapshot()["amazon"]["shipments"]) == [payload["shipmentId"]]


@pytest.mark.parametrize(
    "changes",
    [
        {"serviceSelection": {"serviceId": ["nobody"]}},
        {"serviceSelection": {"serviceId": ["LAZY"]}},
        {"serviceSelection": None},
        {"labelSpecifications": None},
        {"labelSpecifications": {"format": "GIF"}},
        {"packages": []},
    ],
)
async def test_one_click_buys_only_what_is_sold(changes):
    """A service that is not sold, no service, no document and no parcel are a 400, and nothing is bought."""
    async with outside() as out:
        out.sandbox.offer_services([ServiceOffer(service_id="LAZY", ineligible="NO_COVERAGE"), {"service_id": "RS"}])
        answer = await out.shipping("POST", "/oneClickShipment", one_click("RS") | changes)
        assert (answer.status, answer.body["errors"][0]["code"]) == (400, "InvalidInput")
        assert out.sandbox.snapshot()["amazon"]["shipments"] == {}


async def test_ids_and_texts_survive_the_way_there_and_back():
    """What is not ASCII comes back as it was, and bodies are JSON in UTF-8."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK | {"title": "Söckchen / 2"}])
        await out.loop("POST", f"/warehouse/return/{ret}/note", {"content": "größer, „so“"})
        answer = await out.loop("GET", f"/warehouse/return/{ret}/notes")
        assert json.loads(answer.text)["notes"][0]["content"] == "größer, „so“"
        shown = await out.loop("GET", f"/warehouse/return/details?return_id={ret}")
        assert shown.body["line_items"][0]["title"] == "Söckchen / 2"
