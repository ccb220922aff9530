"""Every answer of the Amazon stand-in fits Amazon's own models; also the outsider that drives all sandbox tests."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from adapters.host.clock import SystemClock
from adapters.sandbox import Fault, Sandbox, SandboxOptions
from tests.support.swagger import CheckedSandbox, Exchange, answer_misfits, check_models, misfits, request_misfits

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
    """Run a sandbox, with the limits off unless wanted, and log in to it; its answers are held against the models."""
    clock = ShiftedClock()
    settings = replace(SandboxOptions(enforce_limits=False), **options)
    async with CheckedSandbox(settings, clock) as sandbox, aiohttp.ClientSession() as session:
        outsider = Outsider(sandbox, session, clock)
        await outsider.log_in()
        yield outsider
        assert sandbox.misfits == []


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


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        ({"answer": b'{"payload": {"reasonCodeDetails": [{"returnReasonCode": "x"}]}}'}, "description is missing"),
        ({"status": 418}, "the status is not declared"),
        ({"headers": {"Content-Type": "application/json"}}, "no request id"),
        ({"status": 403, "answer": b'{"errors": []}'}, "a rate limit is shown"),
        ({"raw_path": f"{FBA}/returnReasonCodes?sellerSku=S&sku=S"}, "sku is no parameter"),
        ({"raw_path": f"{FBA}/returnReasonCodes?language=en"}, "sellerSku is missing"),
        ({"body": b"{}"}, "the operation takes no body"),
        ({}, None),
    ],
)
def test_misfitting_exchanges_are_noticed(spoil, complaint):
    """An answer, a status, a header or a request that the model does not declare is named."""
    check_models()
    fine = Exchange(
        vendor="amazon",
        method="GET",
        raw_path=f"{FBA}/returnReasonCodes?sellerSku=S&marketplaceId=M",
        body=b"",
        status=200,
        headers={
            "Content-Type": "application/json; charset=utf-8",
            "x-amzn-RequestId": "1",
            "x-amzn-RateLimit-Limit": "2.0",
        },
        answer=b'{"payload": {"reasonCodeDetails": []}}',
    )
    exchange = replace(fine, **spoil)
    complaints = answer_misfits(exchange) + request_misfits(exchange)
    assert [one.rpartition(": ")[2] for one in complaints] == ([complaint] if complaint else [])


async def test_outbound_answers_fit_the_model():
    """Orders, lists, reason codes, returns and errors of Fulfillment Outbound have Amazon's shapes at each step."""
    check_models()
    async with outside(list_page_size=1) as out:
        out.sandbox.create_order("A-1", {"SOCK": 2}, return_centers=("RNO1", "ABE8"))
        out.sandbox.create_order("A-2", {"CAP": 1})
        await out.order("A-1")
        await out.order("nobody")
        await out.amazon("GET", f"{FBA}/fulfillmentOrders")
        await out.amazon("GET", f"{FBA}/returnReasonCodes", params="sellerSku=SOCK&marketplaceId=X")
        await out.amazon("GET", f"{FBA}/tracking", params="packageNumber=700000001")
        units = [await out.unit("A-1", f"u{n}", returnComment="too big") for n in range(3)]
        answer = await out.give_back("A-1", *units)
        assert len(answer.body["payload"]["invalidReturnItems"]) == 1
        ret = out.sandbox.submit_return("A-1", [{"sku": "SOCK", "quantity": 2}])
        out.sandbox.receive(ret, sku="SOCK", condition="Defective", amazon_reason="CR-DEFECTIVE")
        await out.order("A-1")
        assert out.sandbox.judged == {
            ("getFulfillmentOrder", 200),
            ("getFulfillmentOrder", 400),
            ("listAllFulfillmentOrders", 200),
            ("listReturnReasonCodes", 200),
            ("createFulfillmentReturn", 200),
            ("getPackageTrackingDetails", 200),
        }


async def test_refusals_at_the_door_fit_the_model():
    """Missing and bad tokens, a quota used up and Amazon's own trouble have the shapes and headers of the model."""
    check_models()
    async with outside(enforce_limits=True) as out:
        out.sandbox.create_order("A-1", {"SOCK": 1})
        good = out.token
        for token, status in (("Atza|made-up", 403), ("", 403)):
            out.token = token
            assert (await out.order("A-1")).status == status
        assert (await out.send("GET", f"{out.sandbox.amazon_url}{FBA}/fulfillmentOrders/A-1")).status == 401
        out.token = good
        out.clock.hold()
        assert [(await out.order("A-1")).status for _ in range(31)][-1] == 429
        for status in (429, 500, 503):
            out.sandbox.set_faults([Fault(vendor="amazon", kind="error", status=status)])
            assert (await out.order("A-1")).status == status
        assert {status for _, status in out.sandbox.judged} == {200, 401, 403, 429, 500, 503}


async def test_shipping_answers_fit_the_model():
    """Rates, purchase, documents, tracking, void and errors of Shipping v2 have Amazon's shapes."""
    check_models()
    async with outside() as out:
        rates = await out.shipping("POST", "/shipments/rates", rates_request())
        abroad = await out.shipping("POST", "/shipments/rates", rates_request(country="CA"))
        assert abroad.body["payload"]["ineligibleRates"]
        bought = await out.shipping("POST", "/shipments", purchase_request(rates))
        shipment = bought.body["payload"]["shipmentId"]
        await out.shipping("GET", f"/shipments/{shipment}/documents", params="packageClientReferenceId=lbl-1")
        tracking_id = bought.body["payload"]["packageDocumentDetails"][0]["trackingId"]
        out.sandbox.scan(tracking_id, "InTransit")
        await out.shipping("GET", "/tracking", params=f"trackingId={tracking_id}&carrierId=AMZN_US")
        for shipment_id in (shipment, "nobody"):
            await out.shipping("PUT", f"/shipments/{shipment_id}/cancel")
        assert out.sandbox.judged == {
            ("getRates", 200),
            ("purchaseShipment", 200),
            ("getShipmentDocuments", 200),
            ("getTracking", 200),
            ("cancelShipment", 400),
            ("cancelShipment", 404),
        }


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
                "items": [
                    {
                        "quantity": 1,
                        "weight": {"value": 500, "unit": "GRAM"},
                        "itemValue": {"value": 40, "unit": "USD"},
                    }
                ],
            }
        ],
    } | changes


def purchase_request(rates: Answer | dict, *, rate: int = 0, **document) -> dict:
    """Buy one of the rates, as a PDF unless said otherwise."""
    payload = rates.body["payload"] if isinstance(rates, Answer) else rates
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
