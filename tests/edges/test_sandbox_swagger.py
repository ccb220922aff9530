"""Every answer of the Amazon stand-in fits Amazon's own models; also the outsider that drives all sandbox tests."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from adapters.clock import SystemClock
from adapters.sandbox import Sandbox, SandboxOptions

MODELS = Path(__file__).parents[2].parent / "shared/reference/models"
OUTBOUND = "fulfillmentOutbound_2020-07-01.json"
SHIPPING = "shippingV2.json"
FBA = "/fba/outbound/2020-07-01"
AGENT = "outsider/1.0 (Language=Python/3.12; Platform=Linux)"


class ShiftedClock(SystemClock):
    """The machine's clocks, set forward by as many seconds as a test likes, or held still."""

    def __init__(self) -> None:
        self.shift = 0.0
        self._held: float | None = None

    def hold(self) -> None:
        self._held = super().monotonic()

    def now(self) -> float:
        return super().now() + self.shift

    def monotonic(self) -> float:
        return (super().monotonic() if self._held is None else self._held) + self.shift


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self):
        return json.loads(self.text)


@dataclass
class Outsider:
    """Somebody who knows the vendors' pages and nothing of the sandbox's inside."""

    sandbox: Sandbox
    session: aiohttp.ClientSession
    clock: ShiftedClock
    token: str = ""

    async def log_in(self, **changes) -> Answer:
        options = self.sandbox.options
        form = {
            "grant_type": "refresh_token",
            "refresh_token": options.refresh_token,
            "client_id": options.client_id,
            "client_secret": options.client_secret,
        } | changes
        answer = await self.send("POST", self.sandbox.lwa_url, data=form)
        if answer.status == 200:
            self.token = answer.body["access_token"]
        return answer

    async def amazon(self, method: str, path: str, body=None, *, headers=None, params="") -> Answer:
        url = self.sandbox.amazon_url + path + (f"?{params}" if params else "")
        mine = {"x-amz-access-token": self.token, "User-Agent": AGENT} | (headers or {})
        return await self.send(method, url, json=body, headers=mine)

    async def shipping(self, method: str, path: str, body=None, *, headers=None, params="") -> Answer:
        mine = {"x-amzn-shipping-business-id": "AmazonShipping_US"} | (headers or {})
        return await self.amazon(method, f"/shipping/v2{path}", body, headers=mine, params=params)

    async def order(self, order_id: str) -> Answer:
        return await self.amazon("GET", f"{FBA}/fulfillmentOrders/{quote(order_id, safe='')}")

    async def give_back(self, order_id: str, *items: dict) -> Answer:
        path = f"{FBA}/fulfillmentOrders/{quote(order_id, safe='')}/return"
        return await self.amazon("PUT", path, {"items": list(items)})

    async def unit(self, order_id: str, seller_id: str, *, line: int = 0, shipment: int = 0, **changes) -> dict:
        """Build a CreateReturnItem from what the order says of itself."""
        payload = (await self.order(order_id)).body["payload"]
        return {
            "sellerReturnItemId": seller_id,
            "sellerFulfillmentOrderItemId": payload["fulfillmentOrderItems"][line]["sellerFulfillmentOrderItemId"],
            "amazonShipmentId": payload["fulfillmentShipments"][shipment]["amazonShipmentId"],
            "returnReasonCode": "CR-UNWANTED_ITEM",
        } | changes

    async def loop(self, method: str, path: str, body=None, *, version="2026-10", headers=None) -> Answer:
        url = f"{self.sandbox.loop_url}{f'/{version}' if version else ''}{path}"
        mine = {"X-Authorization": self.sandbox.options.loop_api_key} | (headers or {})
        return await self.send(method, url, json=body, headers=mine)

    async def send(self, method: str, url: str, **more) -> Answer:
        if more.get("json") is None:
            more.pop("json", None)
        async with self.session.request(method, URL(url, encoded=True), allow_redirects=False, **more) as response:
            return Answer(response.status, response.headers, await response.text())


@asynccontextmanager
async def outside(**options) -> AsyncIterator[Outsider]:
    """Run a sandbox, with the limits off unless wanted, and log in to it."""
    clock = ShiftedClock()
    settings = replace(SandboxOptions(enforce_limits=False), **options)
    async with Sandbox(settings, clock) as sandbox, aiohttp.ClientSession() as session:
        outsider = Outsider(sandbox, session, clock)
        await outsider.log_in()
        yield outsider


def misfits(definitions: dict, schema: dict, value, where: str = "$") -> list[str]:
    """Say where a value departs from a Swagger 2 schema; a member the schema does not name is a misfit, too."""
    if "$ref" in schema:
        return misfits(definitions, definitions[schema["$ref"].rsplit("/", 1)[1]], value, where)
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": int | float, "boolean": bool}
    kind = schema.get("type", "object" if "properties" in schema else None)
    if kind and not isinstance(value, kinds[kind]):
        return [f"{where}: not a {kind}"]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: {value!r} is no member of the enum")
    if len(value) > schema["maxLength"] if "maxLength" in schema else False:
        found.append(f"{where}: too long")
    if schema.get("format") == "date-time":
        datetime.fromisoformat(value)
    if isinstance(value, list) and "items" in schema:
        for n, item in enumerate(value):
            found += misfits(definitions, schema["items"], item, f"{where}[{n}]")
    if isinstance(value, dict):
        known = schema.get("properties", {})
        found += [f"{where}: {name} is missing" for name in schema.get("required", []) if name not in value]
        found += [f"{where}: {name} is unknown" for name in value if known and name not in known]
        for name in value.keys() & known.keys():
            found += misfits(definitions, known[name], value[name], f"{where}.{name}")
    return found


def assert_fits(model: str, path: str, method: str, answer: Answer) -> None:
    """Compare an answer with the schema that the model declares for its status, where the models are at hand."""
    if not (MODELS / model).exists():
        return
    swagger = json.loads((MODELS / model).read_text())
    declared = swagger["paths"][path][method]["responses"][str(answer.status)]
    assert misfits(swagger["definitions"], declared["schema"], answer.body) == []
    assert "x-amzn-RequestId" in answer.headers
    if "x-amzn-RateLimit-Limit" in answer.headers:
        assert "x-amzn-RateLimit-Limit" in declared["headers"]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({"id": "a", "extra": 1}, ["$: extra is unknown"]),
        ({}, ["$: id is missing"]),
        ({"id": "long"}, ["$.id: too long"]),
        ({"id": "a", "kind": "z"}, ["$.kind: 'z' is no member of the enum"]),
        ({"id": "a", "many": [1, "x"]}, ["$.many[1]: not a integer"]),
        ({"id": "a", "kind": "x", "many": []}, []),
    ],
)
def test_misfits_are_noticed(value, complaint):
    """The comparison names unknown, missing, overlong and ill-typed members, and accepts a fitting value."""
    thing = {
        "required": ["id"],
        "properties": {
            "id": {"type": "string", "maxLength": 3},
            "kind": {"type": "string", "enum": ["x"]},
            "many": {"type": "array", "items": {"type": "integer"}},
        },
    }
    assert misfits({"Thing": thing}, {"$ref": "#/definitions/Thing"}, value) == complaint


async def test_outbound_answers_fit_the_model():
    """Orders, lists, reason codes, returns and errors of Fulfillment Outbound have Amazon's shapes at each step."""
    async with outside(list_page_size=1) as out:
        out.sandbox.create_order("A-1", {"SOCK": 2}, return_centers=("RNO1", "ABE8"))
        out.sandbox.create_order("A-2", {"CAP": 1})
        order, listing = f"{FBA}/fulfillmentOrders/{{sellerFulfillmentOrderId}}", f"{FBA}/fulfillmentOrders"
        assert_fits(OUTBOUND, order, "get", await out.order("A-1"))
        assert_fits(OUTBOUND, order, "get", await out.order("nobody"))
        assert_fits(OUTBOUND, listing, "get", await out.amazon("GET", listing))
        codes = await out.amazon("GET", f"{FBA}/returnReasonCodes", params="sellerSku=SOCK&marketplaceId=X")
        assert_fits(OUTBOUND, f"{FBA}/returnReasonCodes", "get", codes)
        units = [await out.unit("A-1", f"u{n}", returnComment="too big") for n in range(3)]
        answer = await out.give_back("A-1", *units)
        assert len(answer.body["payload"]["invalidReturnItems"]) == 1
        assert_fits(OUTBOUND, f"{order}/return", "put", answer)
        ret = out.sandbox.submit_return("A-1", [{"sku": "SOCK", "quantity": 2}])
        out.sandbox.receive(ret, sku="SOCK", condition="Defective", amazon_reason="CR-DEFECTIVE")
        assert_fits(OUTBOUND, order, "get", await out.order("A-1"))


async def test_refusals_at_the_door_fit_the_model():
    """A missing token, a bad token and a quota that is used up have the shapes and headers of the model."""
    async with outside(enforce_limits=True) as out:
        out.sandbox.create_order("A-1", {"SOCK": 1})
        order = f"{FBA}/fulfillmentOrders/{{sellerFulfillmentOrderId}}"
        good, out.token = out.token, "Atza|made-up"
        refused = await out.order("A-1")
        assert refused.status == 403
        assert_fits(OUTBOUND, order, "get", refused)
        out.token = good
        out.clock.hold()
        answers = [await out.order("A-1") for _ in range(31)]
        assert answers[-1].status == 429
        assert_fits(OUTBOUND, order, "get", answers[-1])


async def test_shipping_answers_fit_the_model():
    """Rates, purchase, documents, tracking, void and errors of Shipping v2 have Amazon's shapes."""
    async with outside() as out:
        base = "/shipping/v2"
        rates = await out.shipping("POST", "/shipments/rates", rates_request())
        assert_fits(SHIPPING, f"{base}/shipments/rates", "post", rates)
        abroad = await out.shipping("POST", "/shipments/rates", rates_request(country="CA"))
        assert abroad.body["payload"]["ineligibleRates"]
        assert_fits(SHIPPING, f"{base}/shipments/rates", "post", abroad)
        bought = await out.shipping("POST", "/shipments", purchase_request(rates))
        assert_fits(SHIPPING, f"{base}/shipments", "post", bought)
        shipment = bought.body["payload"]["shipmentId"]
        path = f"/shipments/{shipment}/documents"
        documents = await out.shipping("GET", path, params="packageClientReferenceId=lbl-1")
        assert_fits(SHIPPING, f"{base}/shipments/{{shipmentId}}/documents", "get", documents)
        tracking_id = bought.body["payload"]["packageDocumentDetails"][0]["trackingId"]
        out.sandbox.scan(tracking_id, "InTransit")
        tracking = await out.shipping("GET", "/tracking", params=f"trackingId={tracking_id}&carrierId=AMZN_US")
        assert_fits(SHIPPING, f"{base}/tracking", "get", tracking)
        for shipment_id in (shipment, "nobody"):
            cancelled = await out.shipping("PUT", f"/shipments/{shipment_id}/cancel")
            assert_fits(SHIPPING, f"{base}/shipments/{{shipmentId}}/cancel", "put", cancelled)


def rates_request(country: str = "US", **changes) -> dict:
    """Ask for a label from a shopper to a fulfillment center."""
    return {
        "shipmentType": "RETURNS",
        "channelDetails": {"channelType": "EXTERNAL"},
        "shipFrom": {
            "name": "R. Shopper",
            "addressLine1": "9 Elm Way",
            "city": "Sampletown",
            "stateOrRegion": "OR",
            "postalCode": "97000",
            "countryCode": country,
        },
        "shipTo": {
            "name": "Returns",
            "addressLine1": "1 Dock Road",
            "city": "Reno",
            "stateOrRegion": "NV",
            "postalCode": "89506",
            "countryCode": "US",
        },
        "packages": [
            {
                "packageClientReferenceId": "lbl-1",
                "dimensions": {"length": 12, "width": 9, "height": 4, "unit": "INCH"},
                "weight": {"value": 500, "unit": "GRAM"},
                "insuredValue": {"value": 40, "unit": "USD"},
                "items": [{"quantity": 1, "weight": {"value": 500, "unit": "GRAM"}}],
            }
        ],
    } | changes


def purchase_request(rates: Answer, *, rate: int = 0, **document) -> dict:
    """Buy one of the rates, as a PDF unless said otherwise."""
    payload = rates.body["payload"]
    specification = {
        "format": "PDF",
        "size": {"width": 4, "length": 6, "unit": "INCH"},
        "needFileJoining": False,
        "requestedDocumentTypes": ["LABEL"],
    } | document
    return {
        "requestToken": payload["requestToken"],
        "rateId": payload["rates"][rate]["rateId"],
        "requestedDocumentSpecification": specification,
    }
