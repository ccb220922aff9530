"""The control API does what the Sandbox object does, and explains what it does not do."""

import pytest

from adapters.sandbox import control
from tests.edges.test_sandbox_swagger import Answer, outside


async def order(out, operation: str, **arguments) -> Answer:
    """Ask for a control operation."""
    return await out.send("POST", f"{out.sandbox.control_url}/{operation}", json=arguments)


async def test_a_whole_return_is_played_over_http():
    """An order, a return, its inspection and its review can be played with nothing but JSON."""
    async with outside() as out:
        made = await order(out, "create_order", order_id="1001", lines={"SOCK": 1}, return_centers=["ABE8"])
        assert (made.status, made.body) == (200, {"result": "1001"})
        lines = [{"sku": "SOCK", "exchange_sku": "CAP"}]
        ret = (await order(out, "submit_return", order_name="#1001", lines=lines)).body["result"]
        await out.give_back("1001", await out.unit("1001", "u1"))
        received = await order(out, "receive", return_id=str(ret), sku="SOCK", condition="CarrierDamaged")
        assert received.body == {"result": "u1"}
        assert (await order(out, "flag_return", return_id=ret)).status == 200
        assert (await order(out, "settle_review", return_id=ret, how="process")).body == {"result": None}
        shown = (await out.send("GET", f"{out.sandbox.control_url}/snapshot")).body
        assert shown["loop"]["returns"][str(ret)]["state"] == "closed"
        item = shown["amazon"]["orders"]["1001"]["returnItems"][0]
        assert (item["returnReceivedCondition"], item["fulfillmentCenterId"]) == ("CarrierDamaged", "ABE8")
        calls = (await out.send("GET", f"{out.sandbox.control_url}/calls")).body
        assert [call["operation"] for call in calls][-1] == "createFulfillmentReturn"
        assert shown == out.sandbox.snapshot()


async def test_faults_and_services_are_set_over_http():
    """Fault profiles and shipping services are plain JSON, too."""
    async with outside() as out:
        faults = [{"vendor": "loop", "kind": "status", "status": 500, "count": 1}]
        assert (await order(out, "set_faults", faults=faults)).status == 200
        assert [(await out.loop("GET", "/webhooks")).status for _ in range(2)] == [500, 200]
        offers = [{"service_id": "RS", "formats": ["ZPL"]}]
        assert (await order(out, "offer_services", offers=offers)).status == 200
        assert (await order(out, "offer_services", offers=[{"colour": "red"}])).status in {400, 409}


@pytest.mark.parametrize(
    ("operation", "arguments", "status", "hint"),
    [
        ("create_order", {"lines": {"SOCK": 1}}, 400, "order_id"),
        ("create_order", {"order_id": "x", "lines": {"SOCK": "many"}}, 400, "lines"),
        ("create_order", {"order_id": "x", "colour": "red"}, 400, "colour"),
        ("create_order", {"order_id": "x"}, 409, "at least one line"),
        ("cancel_return", {"return_id": 1}, 409, "no return 1"),
        ("scan", {"tracking_id": "x", "status": "Delivered"}, 409, "no label"),
        ("lose", {"return_id": 1}, 409, "no return 1"),
        ("set_faults", {"faults": [{"vendor": "ups", "kind": "drop"}]}, 409, "ups"),
        ("submit_return", {"order_name": "#1", "lines": [{"sku": "A", "price": "x"}]}, 409, "price"),
        ("levitate", {}, 404, "GET /control"),
    ],
)
async def test_what_cannot_be_is_explained(operation, arguments, status, hint):
    """Wrong arguments are a 400, the impossible a 409, the unknown a 404, each with a sentence."""
    async with outside() as out:
        answer = await order(out, operation, **arguments)
        assert answer.status == status
        assert hint in answer.body["error"]


@pytest.mark.parametrize("body", [b"{", b"[]"])
async def test_a_body_that_is_no_object_is_a_400(body):
    """Arguments come as a JSON object."""
    async with outside() as out:
        answer = await out.send("POST", f"{out.sandbox.control_url}/expire", data=body)
        assert (answer.status, "JSON object" in answer.body["error"]) == (400, True)


async def test_every_operation_is_listed_and_described():
    """The list of operations and the module's own description name the same things, and all exist."""
    async with outside() as out:
        listed = (await out.send("GET", out.sandbox.control_url)).body["operations"]
        described = [line.split()[0] for line in control.__doc__.splitlines() if line.startswith("    ")]
        assert sorted(listed) == sorted(described)
        assert all(callable(getattr(out.sandbox, name)) for name in listed)


async def test_all_three_listeners_close():
    """After the end nobody listens any more."""
    async with outside() as out:
        urls = [out.sandbox.amazon_url, out.sandbox.loop_url, out.sandbox.control_url]
    async with outside() as other:
        for url in urls:
            with pytest.raises(OSError, match="Cannot connect"):
                await other.send("GET", url)
