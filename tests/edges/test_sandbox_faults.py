"""What goes wrong on purpose does so as ordered, as often as ordered, and with or without its effect."""

import asyncio

import aiohttp
import pytest
from yarl import URL

from adapters.sandbox import ControlError, Fault
from adapters.sandbox.faults import FaultProfile
from tests.edges.test_sandbox_swagger import outside

GET = "getFulfillmentOrder"


def statuses(out, operation: str) -> list[tuple[int, str | None]]:
    """Say how the calls of an operation ended."""
    return [(call["status"], call["fault"]) for call in out.sandbox.calls() if call["operation"] == operation]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_status_with_an_html_body(status):
    """An operation may answer an error whose body is no JSON; the request id is still there."""
    async with outside() as out:
        out.sandbox.create_order("A-1", {"SOCK": 1})
        out.sandbox.set_faults([Fault(vendor="amazon", kind="status", status=status, operation=GET, count=2)])
        answers = [await out.order("A-1") for _ in range(3)]
        assert [answer.status for answer in answers] == [status, status, 200]
        assert answers[0].headers["Content-Type"].startswith("text/html")
        assert "x-amzn-RequestId" in answers[0].headers


async def test_an_empty_200_and_a_contradiction():
    """A 200 may have no body, or an error inside; neither has any effect."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [{"sku": "SOCK"}])
        out.sandbox.set_faults(
            [Fault(vendor="loop", kind="empty", count=1), Fault(vendor="loop", kind="contradiction", count=1)]
        )
        path = f"/warehouse/return/{ret}/flag"
        first, second = [await out.loop("POST", path) for _ in range(2)]
        assert (first.status, first.text) == (200, "")
        assert (second.status, second.body["errors"]["code"]) == (200, "UNEXPECTED_ERROR")
        assert out.sandbox.snapshot()["loop"]["returns"][str(ret)]["state"] == "open"


async def test_a_contradiction_may_follow_the_effect():
    """With `after_effect` the request is carried out although the answer denies it."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [{"sku": "SOCK"}])
        out.sandbox.set_faults([Fault(vendor="loop", kind="status", operation="flagReturn", after_effect=True)])
        assert (await out.loop("POST", f"/warehouse/return/{ret}/flag")).status == 503
        assert out.sandbox.snapshot()["loop"]["returns"][str(ret)]["state"] == "review"


@pytest.mark.parametrize("after_effect", [True, False])
async def test_the_connection_drops_before_or_after_the_effect(after_effect):
    """A dropped connection leaves the return created or not, as ordered, and the server sees one request."""
    async with outside() as out:
        out.sandbox.create_order("A-1", {"SOCK": 1})
        unit = await out.unit("A-1", "u1")
        operation = "createFulfillmentReturn"
        fault = Fault(vendor="amazon", kind="drop", operation=operation, count=2, after_effect=after_effect)
        out.sandbox.set_faults([fault])
        out.session._retry_connection = False
        with pytest.raises(aiohttp.ClientError):
            await out.give_back("A-1", unit)
        assert statuses(out, operation) == [(0, "drop")]
        assert len((await out.order("A-1")).body["payload"]["returnItems"]) == (1 if after_effect else 0)


async def test_a_call_hangs_after_its_effect():
    """A caller's time-out leaves the effect behind; stopping the sandbox does not wait for the hanging call."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [{"sku": "SOCK"}])
        out.sandbox.set_faults([Fault(vendor="loop", kind="hang", operation="flagReturn", after_effect=True)])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await out.loop("POST", f"/warehouse/return/{ret}/flag")
        assert out.sandbox.snapshot()["loop"]["returns"][str(ret)]["state"] == "review"
        started = out.clock.monotonic()
    assert out.clock.monotonic() - started < 2


async def test_a_hanging_call_ends_with_a_drop():
    """A hang of some seconds ends in a dropped connection."""
    async with outside() as out:
        out.sandbox.set_faults([Fault(vendor="loop", kind="hang", seconds=0.02, count=1)])
        with pytest.raises(aiohttp.ClientError):
            await out.loop("POST", "/webhooks", {})


async def test_an_answer_is_delayed():
    """A slow vendor answers well, only later."""
    async with outside() as out:
        out.sandbox.set_faults([Fault(vendor="lwa", kind="delay", seconds=0.1)])
        started = out.clock.monotonic()
        assert (await out.log_in()).status == 200
        assert out.clock.monotonic() - started >= 0.1


async def test_faults_are_for_one_vendor_and_can_be_lifted():
    """A fault of one vendor leaves the others alone, and an empty profile ends it."""
    async with outside() as out:
        out.sandbox.create_order("A-1", {"SOCK": 1})
        out.sandbox.set_faults([{"vendor": "amazon", "kind": "status", "status": 500}])
        assert (await out.order("A-1")).status == 500
        assert (await out.loop("GET", "/webhooks")).status == 200
        out.sandbox.set_faults()
        assert (await out.order("A-1")).status == 200
        assert statuses(out, GET) == [(500, "status"), (200, None)]


def test_chance_is_seeded():
    """The same seed picks the same requests; the share is about the probability."""

    def picks(seed: int) -> list[bool]:
        profile = FaultProfile(seed)
        profile.replace([Fault(vendor="loop", kind="drop", probability=0.3)])
        return [profile.pick("loop", "x") is not None for _ in range(200)]

    assert picks(1) == picks(1)
    assert picks(1) != picks(2)
    assert 30 < sum(picks(1)) < 90


@pytest.mark.parametrize(
    "wrong",
    [
        {"vendor": "ups", "kind": "drop"},
        {"vendor": "loop", "kind": "lose"},
        {"vendor": "webhook", "kind": "hang"},
        {"vendor": "loop", "kind": "drop", "probability": 2},
        {"vendor": "loop", "kind": "drop", "often": True},
    ],
)
async def test_a_senseless_fault_is_explained(wrong):
    """Unknown vendors, kinds, members and chances are refused."""
    async with outside() as out:
        with pytest.raises(ControlError):
            out.sandbox.set_faults([wrong])


async def test_calls_are_logged_in_order_without_secrets():
    """The log names operations and encoded paths, and holds no token, key, query or body."""
    async with outside() as out:
        await out.order("#1001")
        await out.loop("GET", "/warehouse/return/details?order_name=%231001")
        logged = out.sandbox.calls()
        assert [(call["vendor"], call["operation"], call["status"]) for call in logged] == [
            ("lwa", "token", 200),
            ("amazon", GET, 400),
            ("loop", "getReturnDetails", 200),
        ]
        assert logged[1]["path"].endswith("/fulfillmentOrders/%231001")
        text = str(logged)
        options = out.sandbox.options
        for secret in (out.token, options.loop_api_key, options.client_secret, options.refresh_token, "order_name"):
            assert secret not in text


@pytest.mark.parametrize(
    ("vendor", "status", "code"),
    [
        ("amazon", 429, "QuotaExceeded"),
        ("amazon", 500, "InternalFailure"),
        ("shipping", 503, "ServiceUnavailable"),
    ],
)
async def test_amazons_own_trouble_is_json(vendor, status, code):
    """An error in Amazon's own words has its envelope, and shows no rate limit."""
    async with outside() as out:
        out.sandbox.set_faults([Fault(vendor=vendor, kind="error", status=status)])
        answer = await (out.order("A-1") if vendor == "amazon" else out.shipping("GET", "/tracking"))
        assert (answer.status, answer.body["errors"][0]["code"]) == (status, code)
        assert "x-amzn-RateLimit-Limit" not in answer.headers


async def test_the_other_vendors_own_trouble_is_json():
    """LWA has its ServerError, Loop a message."""
    async with outside() as out:
        out.sandbox.set_faults(
            [Fault(vendor="lwa", kind="error", status=500), Fault(vendor="loop", kind="error", status=500)]
        )
        refused = await out.log_in()
        assert (refused.status, refused.body["error"]) == (500, "ServerError")
        answer = await out.loop("GET", "/webhooks")
        assert (answer.status, answer.body) == (500, {"message": "Server Error"})
        out.sandbox.set_faults([Fault(vendor="loop", kind="error", status=429)])
        assert (await out.loop("GET", "/webhooks")).body == {"message": "Too Many Attempts."}


async def test_a_delay_begins_when_the_request_is_complete():
    """A slow vendor takes the whole request in first: the silence is not spent while the body is still on its way."""
    async with outside() as out:
        out.sandbox.set_faults([Fault(vendor="loop", kind="delay", seconds=0.3)])
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(out.sandbox.loop_url).port)
        body = b'{"topic": "x"}'
        head = f"POST /api/webhooks HTTP/1.1\r\nHost: x\r\nX-Authorization: {out.sandbox.options.loop_api_key}\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
        await out.clock.wait(asyncio.Event(), 0.35)
        writer.write(body[5:])
        complete = out.clock.monotonic()
        assert (await reader.readline()).startswith(b"HTTP/1.1 422")
        assert out.clock.monotonic() - complete >= 0.25
        writer.close()
        await writer.wait_closed()


async def test_an_error_says_what_it_is_told_to():
    """Code and words of an error, of a page and of the headers can be chosen: vendors repeat what they were sent."""
    async with outside() as out:
        says = "Rowan Pike, 18 Larch Row"
        chosen = {"vendor": "amazon", "operation": GET, "count": 1, "status": 400, "says": says}
        out.sandbox.set_faults([Fault(kind="error", code="InvalidInput", **chosen), Fault(kind="status", **chosen)])
        error, page = [await out.order("A-1") for _ in range(2)]
        assert error.body["errors"][0] == {"code": "InvalidInput", "message": says, "details": says}
        assert error.headers["x-amzn-RequestId"] == says
        assert says in page.text
        out.sandbox.set_faults([Fault(vendor="loop", kind="error", status=422, code="NO_WAY", says=says)])
        assert (await out.loop("GET", "/destinations")).body == {"message": says, "code": "NO_WAY"}


async def test_a_refusal_asks_for_a_pause():
    """As vendors do in a brown-out: most calls are refused, and the answer says how long to wait."""
    async with outside() as out:
        out.sandbox.set_faults([Fault(vendor="amazon", kind="error", status=429, retry_after=1800.0, count=1)])
        answers = [await out.order("A-1") for _ in range(2)]
        assert [answer.headers.get("Retry-After") for answer in answers] == ["1800", None]
