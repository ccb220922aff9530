"""The control API does what the Sandbox object does, and explains what it does not do."""

import re
from pathlib import Path
from typing import get_args

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from adapters.sandbox import Fault
from adapters.sandbox.control import http as control
from adapters.sandbox.control.http import ControlVendor
from adapters.sandbox.control.openapi import describe
from adapters.sandbox.control.operations import OPERATIONS
from adapters.sandbox.faults import FaultKind
from tests.edges.test_sandbox_swagger import Answer, outside, purchase_request, rates_request

VENDORS = ("amazon", "shipping", "lwa", "notifications", "queue", "loop", "webhook", "notification")
SECRETS = ("client_secret", "refresh_token", "loop_api_key", "webhook_secret", "return_service_id")


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
        ("set_faults", {"faults": [{"vendor": "loop", "kind": "status", "status": 99}]}, 409, "from 200 to 599"),
        ("set_faults", {"faults": [{"vendor": "loop", "kind": "status", "status": "x"}]}, 409, "from 200 to 599"),
        ("set_faults", {"faults": [{"vendor": "loop", "kind": "hang", "seconds": -1}]}, 409, "0 or more"),
        ("set_faults", {"faults": [{"vendor": "loop", "kind": "drop", "count": 0}]}, 409, "a count is 1 or more"),
        ("set_label_after", {"seconds": -5}, 400, '"seconds" is too small; write 0 or more'),
        ("set_webhook_url", {"url": "nonsense"}, 409, "is no URL; write one like http://127.0.0.1"),
        ("set_webhook_url", {"url": "http://a:port/"}, 409, "is no URL"),
        ("cancel_return", {"return_id": "²"}, 409, "no return"),
        ("submit_return", {"order_name": "#1", "lines": [{"sku": "A", "price": "x"}]}, 409, "number such as 18.00"),
        (
            "submit_return",
            {"order_name": "#1", "lines": [{"sku": "A", "colour": "x"}]},
            409,
            "a line has no colour; it has",
        ),
        ("submit_return", {"order_name": "#1", "lines": [{"price": "1"}]}, 409, "a line has a sku; add it"),
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


async def test_the_description_is_valid_openapi_and_complete():
    """`/openapi.json` is OpenAPI 3.1, describes every route of the control listener, and nothing that is not there."""
    async with outside() as out:
        root = out.sandbox.control_url.removesuffix("/control")
        description = (await out.send("GET", f"{root}/openapi.json")).body
        OpenAPIV31SpecValidator(description).validate()
        told = {(method.upper(), path) for path, methods in description["paths"].items() for method in methods}
        served = {(r.method, r.path) for r in ControlVendor(out.sandbox).routes() if r.operation != "unknown"}
        assert told == served
        for method, path in sorted(told):
            answer = await out.send(method, root + path, data=b"[]" if method == "POST" else None)
            assert answer.status == (400 if method == "POST" else 200), path


async def test_the_description_tells_the_arguments():
    """Each operation's arguments are a schema with what is needed, what may be said, and the choices there are."""
    async with outside() as out:
        root = out.sandbox.control_url.removesuffix("/control")
        description = (await out.send("GET", f"{root}/openapi.json")).body
        schemas = description["components"]["schemas"]
        assert schemas["settle_review"]["required"] == ["return_id", "how"]
        assert schemas["settle_review"]["properties"]["how"]["enum"] == ["close", "process", "unflag", "cancel"]
        assert "exchange_sku" in schemas["ReturnLine"]["properties"]
        operation = description["paths"]["/control/receive"]["post"]
        assert operation["tags"] == ["Amazon"]
        assert operation["summary"].startswith("Let a fulfillment center process one unit")
        assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/receive")
        assert operation["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["result"] == {
            "type": "string"
        }


async def test_the_page_is_served_and_uses_what_exists():
    """Every call that the page makes is described, with arguments that the operation has; it holds no secret."""
    async with outside() as out:
        root = out.sandbox.control_url.removesuffix("/control")
        answer = await out.send("GET", f"{root}/")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        page, paths = answer.text, describe()["paths"]
        forms = re.findall(r'<form data-play="(\w+)">(.*?)</form>', page, re.DOTALL)
        buttons = re.findall(r'data-do="(\w+)"', page)
        calls = re.findall(r'play\("(\w+)", ', page)
        looks = re.findall(r'look\("(\w+)"\)', page)
        assert len(forms) >= 3
        assert {*buttons, *calls} >= {"lose", "cancel_return", "create_order", "submit_return", "set_faults"}
        for name in (*[form for form, _ in forms], *buttons, *calls):
            assert "post" in paths[f"/control/{name}"]
        assert all("get" in paths[f"/control/{name}"] for name in looks)
        for name, form in forms:
            assert {"return_id", *re.findall(r'name="(\w+)"', form)} <= set(OPERATIONS[name].arguments.model_fields)
        fault = re.search(r'<form id="fault">(.*?)</form>', page, re.DOTALL)[1]
        assert set(re.findall(r'name="(\w+)"', fault)) <= set(Fault.__dataclass_fields__)
        assert set(re.findall(r"<option>(\w+)", fault)) == {*VENDORS, *get_args(FaultKind)}
        assert not any(getattr(out.sandbox.options, name) in page for name in SECRETS)
        assert len(page.splitlines()) <= 240


@pytest.mark.parametrize(
    ("operation", "argument"),
    [("settle_review", "how"), ("carry", "status"), ("receive", "condition")],
)
async def test_the_choices_of_the_page_are_real(operation, argument):
    """What the page offers to choose from is taken by the sandbox."""
    page = (Path(control.__file__).parent / "page.html").read_text()
    form = re.search(rf'<form data-play="{operation}">(.*?)</form>', page, re.DOTALL)[1]
    choices = re.findall(r"<option>(\w+)", re.search(rf'<select name="{argument}">(.*?)</select>', form)[1])
    assert choices
    arguments = {"return_id": 1} | ({"line": 1} if operation == "receive" else {})
    for choice in choices:
        assert OPERATIONS[operation].check(arguments | {argument: choice})[argument] == choice


async def test_a_return_has_a_history():
    """The snapshot tells, with times, what everybody did to a return."""
    async with outside() as out:
        out.sandbox.create_order("1001", {"SOCK": 1})
        ret = out.sandbox.submit_return("#1001", [{"sku": "SOCK"}])
        await out.give_back("1001", await out.unit("1001", "u1"))
        request = out.sandbox.snapshot()["loop"]["returns"][str(ret)]["label_requests"][0]
        rates = await out.shipping("POST", "/shipments/rates", rates_request())
        bought = (await out.shipping("POST", "/shipments", purchase_request(rates))).body["payload"]
        tracking_id = bought["packageDocumentDetails"][0]["trackingId"]
        body = {"label_request_id": request, "tracking_number": tracking_id, "carrier": "Amazon"}
        made = await out.loop("POST", "/labels", body | {"label_url": "https://x.example/l", "rate": {"amount": 1}})
        assert (await order(out, "carry", return_id=ret, status="Delivered")).body == {"result": [tracking_id]}
        out.sandbox.receive(ret, sku="SOCK", condition="Defective")
        line = out.sandbox.snapshot()["loop"]["returns"][str(ret)]["line_items"][0]["line_item_id"]
        graded = {"line_item_id": line, "description": "Amazon: Defective"}
        await out.loop("POST", "/dispositioning/grade", {"items": [graded]})
        await out.loop("POST", f"/warehouse/return/{ret}/note", {"content": "look at it"})
        await out.loop("POST", f"/warehouse/return/{ret}/flag")
        out.sandbox.settle_review(ret, "process")
        history = out.sandbox.snapshot()["loop"]["returns"][str(ret)]["history"]
        assert [entry["what"] for entry in history] == [
            "shopper: submitted",
            f"Loop: label request {request} issued",
            f"provider: label {made.body['id']}, Amazon {tracking_id}",
            f"carrier: Delivered, {tracking_id}",
            "Amazon: u1 is Defective, RNO1",
            "warehouse: SOCK graded, Amazon: Defective",
            "note: look at it",
            "Loop: review",
            "Loop: closed",
            "Loop: outcomes given",
        ]
        assert all(entry["at"].endswith("Z") for entry in history)


async def test_the_snapshot_tells_the_faults_that_are_left():
    """What may still go wrong is shown with how often; what is used up is not."""
    async with outside() as out:
        faults = [{"vendor": "loop", "kind": "drop"}, {"vendor": "amazon", "kind": "empty", "count": 2}]
        await order(out, "set_faults", faults=faults)
        await out.order("x")
        left = out.sandbox.snapshot()["faults"]
        assert [(f["vendor"], f["kind"], f["count"]) for f in left] == [("loop", "drop", None), ("amazon", "empty", 1)]
        await out.order("x")
        assert [f["vendor"] for f in out.sandbox.snapshot()["faults"]] == ["loop"]
        assert (await order(out, "set_faults", faults=left)).status == 200


async def test_what_is_over_is_forgotten_and_what_is_open_stays():
    """`forget_closed` removes closed returns with their orders and calls; an order with an open return stays."""
    async with outside() as out:
        for name in ("1001", "1002"):
            await order(out, "create_order", order_id=name, lines={"SOCK": 2})
        names = ("#1001", "#1002", "#1002")
        over, shared, still_open = [out.sandbox.submit_return(name, [{"sku": "SOCK"}]) for name in names]
        for ret in (over, shared):
            await order(out, "close_return", return_id=ret)
        assert (await order(out, "forget_closed")).body == {"result": 2}
        held = out.sandbox.snapshot()
        assert list(held["loop"]["returns"]) == [str(still_open)]
        assert [row["return_id"] for row in held["loop"]["label_requests"].values()] == [still_open]
        assert list(held["amazon"]["orders"]) == ["1002"]
        assert out.sandbox.calls() == []
        assert (await order(out, "close_return", return_id=over)).status == 409
