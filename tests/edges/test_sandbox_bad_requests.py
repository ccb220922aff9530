"""Whatever the stand-ins are sent, they refuse in the vendor's words; none of them ever breaks."""

import json
import random

import pytest

from adapters.sandbox.control.http import ControlVendor
from tests.edges.test_sandbox_swagger import outside, purchase_request, rates_request

JUNK = [
    None,
    True,
    -1,
    0,
    1.5,
    10**30,
    "",
    " ",
    "x" * 300,
    "\ud800",
    [],
    {},
    [None],
    {"a": []},
    ["x", {}],
    "NaN",
    "1e999999",
    1e300,
]
SEEDS = range(6)


def spoilt(rng: random.Random, document):
    """Replace or remove something somewhere in a document."""
    if isinstance(document, dict | list) and document and rng.random() < 0.8:
        copy = dict(document) if isinstance(document, dict) else list(document)
        key = rng.choice(list(copy) if isinstance(copy, dict) else range(len(copy)))
        if rng.random() < 0.2:
            del copy[key]
        else:
            copy[key] = spoilt(rng, copy[key])
        return copy
    return rng.choice(JUNK)


async def whole_world(out) -> list[tuple[str, str, str, object]]:
    """Set up something of everything, and list calls that work: vendor, method, path, body."""
    sandbox = out.sandbox
    sandbox.create_order("A-1", {"SOCK": 2})
    ret = sandbox.submit_return("A-1", [{"sku": "SOCK", "quantity": 2}])
    held = sandbox.snapshot()["loop"]["returns"][str(ret)]
    line, request = held["line_items"][0]["line_item_id"], held["label_requests"][0]
    unit, rates = await out.unit("A-1", "u1"), await out.shipping("POST", "/shipments/rates", rates_request())
    bought = purchase_request(rates)
    one_click = rates_request() | {
        "labelSpecifications": bought["requestedDocumentSpecification"],
        "serviceSelection": {"serviceId": ["SWA-US-GROUND"]},
    }
    grade = {"line_item_id": line, "description": "d", "condition_category": {"subject": "s", "title": "t"}}
    label = {"tracking_number": "T", "carrier": "C", "label_url": "https://x.example/l", "rate": {"amount": 1}}
    hook = {"topic": "return", "trigger": "return.closed", "url": "https://x.example/h", "status": "inactive"}
    listing = "/warehouse/return/list?paginate=true&pageSize=5&cursor=MA==&filter=updated_at&state=open"
    return [
        ("amazon", "PUT", "/fba/outbound/2020-07-01/fulfillmentOrders/A-1/return", {"items": [unit]}),
        ("amazon", "GET", "/fba/outbound/2020-07-01/fulfillmentOrders?nextToken=MHww", None),
        ("amazon", "GET", "/fba/outbound/2020-07-01/returnReasonCodes?sellerSku=S&marketplaceId=M", None),
        ("shipping", "POST", "/shipments/rates", rates_request()),
        ("shipping", "POST", "/shipments", bought),
        ("shipping", "POST", "/oneClickShipment", one_click),
        ("loop", "POST", "/labels", label | {"label_request_id": request}),
        ("loop", "POST", f"/label-requests/{request}/errors", {"reason": "Other", "message": "m"}),
        ("loop", "PUT", "/labels/550001", {"status": "new"}),
        ("loop", "POST", f"/warehouse/return/{ret}/note", {"content": "c"}),
        ("loop", "POST", f"/warehouse/return/{ret}/process", {"a": "b"}),
        ("loop", "POST", f"/warehouse/return/{ret}/remove?line_item_id={line}", None),
        ("loop", "POST", "/dispositioning/grade", {"items": [grade | {"images": ["u"]}]}),
        (
            "loop",
            "POST",
            "/dispositioning/assess",
            {"items": [{"line_item_id": line, "disposition_outcome": "donate"}]},
        ),
        ("loop", "POST", "/webhooks", hook),
        ("loop", "GET", listing, None),
        ("loop", "GET", "/label-requests?limit=5&offset=0&from=2026-01-01&return_id=1", None),
        ("control", "POST", "/create_order", {"order_id": "B", "shipments": [{"lines": {"S": 1}}], "age": 1}),
        (
            "control",
            "POST",
            "/submit_return",
            {"order_name": "#1", "lines": [{"sku": "S", "price": "1"}], "parcels": [[0]]},
        ),
        ("control", "POST", "/edit_return", {"return_id": ret, "add": [{"sku": "T"}], "remove": []}),
        ("control", "POST", "/set_faults", {"faults": []}),
        ("control", "POST", "/offer_services", {"offers": [{"service_id": "R", "formats": ["PDF"]}]}),
        ("control", "POST", "/refuse_sku", {"sku": "S", "code": "InvalidValues", "description": "d"}),
    ]


async def send(out, vendor: str, method: str, path: str, body) -> int:
    """Send a call to its vendor."""
    if vendor == "control":
        data = json.dumps(body).encode()
        return (await out.send(method, out.sandbox.control_url + path, data=data)).status
    ask = {"amazon": out.amazon, "shipping": out.shipping, "loop": out.loop}[vendor]
    target, _, query = path.partition("?")
    if vendor == "loop":
        return (await ask(method, path, body)).status
    return (await ask(method, target, body, params=query)).status


@pytest.mark.parametrize("seed", SEEDS)
async def test_spoilt_requests_are_refused_or_taken(seed):
    """Bodies and queries with anything in the place of anything are never answered with a 500."""
    rng = random.Random(seed)
    async with outside() as out:
        for call in await whole_world(out):
            for _ in range(8):
                vendor, method, path, body = call
                target, mark, query = path.partition("?")
                if mark and rng.random() < 0.6:
                    pairs = query.split("&")
                    name = (chosen := rng.choice(pairs)).partition("=")[0]
                    junk = rng.choice(["", "x", "-1", "9" * 40, "9" * 5000, "%C2%B2", "%00", "%FF", "1,2,x", "=="])
                    path = f"{target}?{'&'.join(f'{name}={junk}' if pair == chosen else pair for pair in pairs)}"
                spoiled = None if body is None else spoilt(rng, body)
                status = await send(out, vendor, method, path, spoiled)
                assert status < 500, (vendor, method, path, spoiled)
        out.sandbox.set_faults()
        out.sandbox.snapshot()


async def test_every_control_operation_takes_nothing_amiss():
    """Each operation without arguments, and with junk for each, is done or refused with a sentence."""
    async with outside() as out:
        await whole_world(out)
        names = [route.operation for route in ControlVendor(out.sandbox).routes() if route.method == "POST"]
        for name in names:
            for junk in (b"{}", b"null", b"[", b"\xff", b'{"": 1}'):
                answer = await out.send("POST", f"{out.sandbox.control_url}/{name}", data=junk)
                assert answer.status in {200, 400, 409}, (name, junk)
                assert answer.status == 200 or answer.body["error"]
