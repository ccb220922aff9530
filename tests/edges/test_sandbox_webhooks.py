"""Loop's webhooks are subscribed, signed, delivered and retried as the pages say, or lost when so ordered."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from adapters.host.clock import SystemClock
from adapters.sandbox import Fault
from tests.edges.test_sandbox_swagger import outside

SOCK = {"sku": "SOCK"}


@dataclass
class Listener:
    """Somebody who listens to webhooks; answers in turn, then 200 for ever."""

    answers: list[web.Response] = field(default_factory=list)
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    url: str = ""
    delay: float = 0.0

    async def hear(self, request: web.Request) -> web.Response:
        self.heard.append((request.headers.get("X-Loop-Signature", ""), await request.read()))
        await SystemClock().wait(asyncio.Event(), self.delay)
        return self.answers.pop(0) if self.answers else web.Response()

    @property
    def triggers(self) -> list[str]:
        return [json.loads(body).get("trigger") if body != b"[]" else "" for _, body in self.heard]

    def about(self, trigger: str) -> dict:
        return next(json.loads(body) for _, body in self.heard if json.loads(body)["trigger"] == trigger)


@asynccontextmanager
async def listening(*answers: web.Response, delay: float = 0.0) -> AsyncIterator[Listener]:
    """Listen on a port of its own."""
    listener = Listener(list(answers), delay=delay)
    app = web.Application()
    app.router.add_post("/hooks", listener.hear)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks"
    try:
        yield listener
    finally:
        await runner.cleanup()


async def test_a_submitted_return_is_told_twice():
    """A new return sends its label request and itself, each with the documented members."""
    async with listening() as ear, outside(webhook_url=ear.url) as out:
        ret = out.sandbox.submit_return("#1001", [SOCK | {"quantity": 2}])
        assert await out.sandbox.idle()
        assert sorted(ear.triggers) == ["label.request.issued", "return.created"]
        request = ear.about("label.request.issued")
        assert (request["topic"], request["return_id"], request["shop_id"]) == ("label.request", ret, 4410)
        origin = request["addresses"]["origin"]
        assert (origin["state"], origin["zip"], "region" in origin) == ("Idaho", "83702", False)
        assert [product["price"] for product in request["products"]] == [{"amount": 1800, "currency": "USD"}] * 2
        created = ear.about("return.created")
        assert (created["id"], created["state"], created["tracking_number"]) == (str(ret), "open", "N/A")
        assert "destination_id" not in created
        assert len({line["line_item_id"] for line in created["line_items"]}) == 2


async def test_bodies_are_written_as_php_does_and_signed():
    """The body is compact, with escaped slashes and non-ASCII letters; the signature covers its very bytes."""
    async with listening() as ear, outside(webhook_url=ear.url, webhook_secret="s3") as out:
        out.sandbox.submit_return("#1", [SOCK | {"title": "Söckchen / zwei"}])
        assert await out.sandbox.idle()
        for signature, body in ear.heard:
            wanted = base64.b64encode(hmac.new(b"s3", body, hashlib.sha256).digest()).decode()
            assert signature == wanted
            assert rb"S\u00f6ckchen \/ zwei" in body
            assert b'": ' not in body


async def test_the_life_of_a_return_is_told():
    """Labels, flags, closing, failure and cancelling each send their webhook."""
    async with listening() as ear, outside(webhook_url=ear.url) as out:
        closed, failed, gone = (out.sandbox.submit_return(f"#{n}", [SOCK]) for n in range(3))
        assert await out.sandbox.idle()
        ear.heard.clear()
        await out.loop("POST", f"/warehouse/return/{closed}/process")
        out.sandbox.plan_processing(failed, "fail", "no stock")
        await out.loop("POST", f"/warehouse/return/{failed}/process")
        out.sandbox.cancel_return(gone)
        assert await out.sandbox.idle()
        assert (ear.about("return.closed")["id"], ear.about("return.closed")["state"]) == (str(closed), "closed")
        failure = ear.about("return.processing.failed")
        assert failure == {
            "topic": "return.processing",
            "trigger": "return.processing.failed",
            "return_id": failed,
            "return_state": "open",
            "message": "no stock",
            "source": "api",
        }
        assert ear.about("label.request.cancelled")["return_id"] == gone
        assert ear.about("return.updated")["state"] == "cancelled"


async def test_webhooks_are_created_inactive_unless_told():
    """A subscription is inactive by default, can be changed and deleted, and only active ones are delivered."""
    async with listening() as ear, outside() as out:
        wanted = {"topic": "return", "trigger": "return.created", "url": ear.url}
        created = await out.loop("POST", "/webhooks", wanted)
        assert (created.status, created.body["status"]) == (201, "inactive")
        out.sandbox.submit_return("#1", [SOCK])
        assert await out.sandbox.idle()
        assert ear.heard == []
        path = f"/webhooks/{created.body['id']}"
        assert (await out.loop("PUT", path, wanted | {"status": "active"})).status == 204
        out.sandbox.submit_return("#2", [SOCK])
        assert await out.sandbox.idle()
        assert ear.triggers == ["return.created"]
        assert (await out.loop("GET", "/webhooks")).body["webhooks"][0]["status"] == "active"
        assert (await out.loop("DELETE", path)).status == 204
        missing = await out.loop("DELETE", path)
        assert (missing.status, missing.body) == (404, {"errors": {"code": "NOT_FOUND"}})


async def test_a_mismatched_pair_gets_an_empty_payload():
    """A subscription whose topic does not fit its trigger is delivered with nothing inside."""
    async with listening() as ear, outside() as out:
        odd = {"topic": "label", "trigger": "return.created", "url": ear.url, "status": "active"}
        assert (await out.loop("POST", "/webhooks", odd)).status == 201
        out.sandbox.submit_return("#1", [SOCK])
        assert await out.sandbox.idle()
        assert [body for _, body in ear.heard] == [b"[]"]


@pytest.mark.parametrize("wrong", [{"topic": "x"}, {"trigger": "x"}, {"url": "x"}, {"status": "sleepy"}])
async def test_a_senseless_webhook_is_a_422(wrong):
    """Unknown topics, triggers, statuses and URLs name their field."""
    async with outside() as out:
        body = {"topic": "return", "trigger": "return.created", "url": "https://x.example/"} | wrong
        answer = await out.loop("POST", "/webhooks", body)
        assert (answer.status, set(answer.body["errors"])) == (422, set(wrong))


async def one_event(out) -> list[int | None]:
    """Cause one webhook, and say how its attempts were answered."""
    before = len(out.sandbox.snapshot()["loop"]["deliveries"])
    out.sandbox.submit_return("#1", [SOCK], parcels=[])
    await out.sandbox.idle()
    return [attempt["status"] for attempt in out.sandbox.snapshot()["loop"]["deliveries"][before:]]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
async def test_some_answers_are_never_retried(status):
    """A delivery that is answered with one of the documented 4xx is dropped for good."""
    async with listening(web.Response(status=status)) as ear, outside(webhook_url=ear.url, retry_unit=0.001) as out:
        assert await one_event(out) == [status]


@pytest.mark.parametrize("status", [500, 503, 429, 408, 502, 302])
async def test_other_answers_are_retried(status):
    """Any other failure is tried again until it succeeds."""
    answers = [web.Response(status=status) for _ in range(2)]
    async with listening(*answers) as ear, outside(webhook_url=ear.url, retry_unit=0.001) as out:
        assert await one_event(out) == [status, status, 200]


async def test_six_attempts_are_all():
    """After the first attempt and five retries a delivery is given up; a refused connection counts as 0."""
    answers = [web.Response(status=500) for _ in range(9)]
    async with listening(*answers) as ear, outside(webhook_url=ear.url, retry_unit=0.001) as out:
        assert await one_event(out) == [500] * 6
    async with outside(webhook_url=ear.url, retry_unit=0.001) as out:
        assert await one_event(out) == [0] * 6


async def test_retry_after_is_honoured_up_to_half_an_hour():
    """A short Retry-After replaces the back-off; one beyond 30 minutes fails the delivery at once."""
    short = web.Response(status=503, headers={"Retry-After": "1"})
    async with listening(short) as ear, outside(webhook_url=ear.url, retry_unit=900, time_factor=0.01) as out:
        assert await one_event(out) == [503, 200]
    long = web.Response(status=503, headers={"Retry-After": "1801"})
    async with listening(long) as ear, outside(webhook_url=ear.url, retry_unit=0.001) as out:
        assert await one_event(out) == [503]


async def test_a_listener_that_is_too_slow_counts_as_no_connection():
    """A delivery without an answer in time is tried again."""
    async with listening(delay=0.3) as ear:
        async with outside(webhook_url=ear.url, webhook_timeout=0.05, retry_unit=0.001) as out:
            assert await one_event(out) == [0] * 6
        assert len(ear.heard) == 6


@pytest.mark.parametrize(("kind", "heard"), [("lose", 0), ("duplicate", 2), ("delay", 1)])
async def test_deliveries_go_wrong_as_ordered(kind, heard):
    """A delivery may be lost, doubled or delayed, once; the next one is fine."""
    async with listening() as ear, outside(webhook_url=ear.url) as out:
        out.sandbox.set_faults([Fault(vendor="webhook", kind=kind, operation="return.created", seconds=0.05, count=1)])
        await one_event(out)
        assert len(ear.heard) == heard
        await one_event(out)
        assert len(ear.heard) == heard + 1


async def test_deliveries_may_overtake_each_other():
    """A held-back delivery arrives after the one that was sent later."""
    async with listening() as ear, outside(webhook_url=ear.url) as out:
        out.sandbox.set_faults([Fault(vendor="webhook", kind="reorder", operation="label.request.issued", count=1)])
        out.sandbox.submit_return("#1", [SOCK])
        assert await out.sandbox.idle()
        assert ear.triggers == ["return.created", "label.request.issued"]
