"""Somebody else's client of Amazon's API, as it is published, works with the sandbox."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
from sp_api.api import FulfillmentOutbound, ShippingV2
from sp_api.auth import AccessTokenClient
from sp_api.auth.exceptions import AuthorizationError
from sp_api.base import SellingApiBadRequestException, SellingApiForbiddenException, SellingApiRequestThrottledException

from adapters.sandbox import Fault, Sandbox
from tests.edges.test_sandbox_swagger import outside, purchase_request, rates_request


@dataclass(frozen=True)
class Here:
    """A marketplace whose API is the sandbox; the client takes any object with these members."""

    endpoint: str
    marketplace_id: str
    region: str = "us-east-1"
    name: str = "US"


@dataclass
class Seller:
    """Holds the client's parts; each call runs in a thread, for the client blocks."""

    sandbox: Sandbox
    orders: FulfillmentOutbound
    shipping: ShippingV2

    async def ask(self, call: Callable, *given, **named):
        return await asyncio.to_thread(call, *given, **named)


def log_in_at(sandbox: Sandbox, stack: ExitStack) -> type[AccessTokenClient]:
    """Make the class that fetches tokens: the client lets its caller choose it, but never closes it."""

    class LogIn(AccessTokenClient):
        scheme = "http://"
        host = sandbox.lwa_url.removeprefix("http://").partition("/")[0]

        def __init__(self, **given) -> None:
            super().__init__(**given)
            stack.callback(self._transport.close)

    return LogIn


@asynccontextmanager
async def selling(**options) -> AsyncIterator[Seller]:
    """Run a sandbox for a seller; each has a refresh token of its own, for the client caches by it."""
    async with outside(**options) as out:
        sandbox = out.sandbox
        mine = {
            "refresh_token": sandbox.options.refresh_token,
            "lwa_app_id": sandbox.options.client_id,
            "lwa_client_secret": sandbox.options.client_secret,
        }
        here = Here(sandbox.amazon_url, sandbox.options.marketplace_id)
        with ExitStack() as stack:
            log_in = log_in_at(sandbox, stack)
            orders, shipping = (
                stack.enter_context(part(here, credentials=mine, auth_token_client_class=log_in, timeout=10))
                for part in (FulfillmentOutbound, ShippingV2)
            )
            yield Seller(sandbox, orders, shipping)


async def test_a_return_is_created_and_followed():
    """Orders, reason codes, a partly refused return and its inspection come through as the client's own objects."""
    async with selling(refresh_token="Atzr|one") as seller:
        seller.sandbox.create_order("#1001", {"SOCK": 1}, displayable_order_id="Shop #1001")
        listed = await seller.ask(seller.orders.list_all_fulfillment_orders, queryStartDate="2020-01-01T00:00:00Z")
        assert [order["displayableOrderId"] for order in listed.payload["fulfillmentOrders"]] == ["Shop #1001"]
        order_id = "#1001"
        order = (await seller.ask(seller.orders.get_fulfillment_order, order_id)).payload
        codes = await seller.ask(
            seller.orders.list_return_reason_codes, sellerSku="SOCK", sellerFulfillmentOrderId=order_id
        )
        unit = {
            "sellerReturnItemId": "u1",
            "sellerFulfillmentOrderItemId": order["fulfillmentOrderItems"][0]["sellerFulfillmentOrderItemId"],
            "amazonShipmentId": order["fulfillmentShipments"][0]["amazonShipmentId"],
            "returnReasonCode": codes.payload["reasonCodeDetails"][0]["returnReasonCode"],
        }
        more = unit | {"sellerReturnItemId": "u2"}
        created = await seller.ask(seller.orders.create_fulfillment_return, order_id, items=[unit, more])
        assert [item["sellerReturnItemId"] for item in created.payload["returnItems"]] == ["u1"]
        (refused,) = created.payload["invalidReturnItems"]
        assert refused["invalidItemReason"]["invalidItemReasonCode"] == "NoReturnableQuantity"
        assert created.rate_limit == "2.0"
        assert created.headers["x-amzn-RequestId"]
        ret = seller.sandbox.submit_return("#1001", [{"sku": "SOCK"}])
        seller.sandbox.receive(ret, sku="SOCK", condition="CustomerDamaged")
        (item,) = (await seller.ask(seller.orders.get_fulfillment_order, order_id)).payload["returnItems"]
        assert (item["status"], item["returnReceivedCondition"]) == ("Processed", "CustomerDamaged")


async def test_a_label_is_bought_tracked_and_voided():
    """Rates, purchase, documents, tracking and void of Shipping v2 come through."""
    async with selling(refresh_token="Atzr|two") as seller:
        ask, shipping = seller.ask, seller.shipping
        rates = (await ask(shipping.get_rates, **rates_request())).payload
        bought = (await ask(shipping.purchase_shipment, **purchase_request(rates))).payload
        (parcel,) = bought["packageDocumentDetails"]
        assert base64.b64decode(parcel["packageDocuments"][0]["contents"]).startswith(b"%PDF")
        shipment = bought["shipmentId"]
        found = await ask(shipping.get_shipment_documents, shipment, packageClientReferenceId="lbl-1", format="PDF")
        assert found.payload["packageDocumentDetail"] == parcel
        asked = {"trackingId": parcel["trackingId"], "carrierId": rates["rates"][0]["carrierId"]}
        assert (await ask(shipping.get_tracking, **asked)).payload["summary"] == {"status": "PreTransit"}
        await ask(shipping.cancel_shipment, shipment)
        assert seller.sandbox.snapshot()["amazon"]["shipments"][shipment]["cancelled"]


async def test_refusals_are_the_clients_own_exceptions():
    """An unknown order, a token taken back, a used-up quota and refused credentials are told apart."""
    async with selling(refresh_token="Atzr|three") as seller:
        read = seller.orders.get_fulfillment_order
        with pytest.raises(SellingApiBadRequestException, match="not found"):
            await seller.ask(read, "nobody")
        seller.sandbox.set_faults([Fault(vendor="amazon", kind="error", status=429, count=1)])
        with pytest.raises(SellingApiRequestThrottledException, match="quota"):
            await seller.ask(read, "nobody")
        seller.sandbox.revoke_access()
        with pytest.raises(SellingApiForbiddenException, match="denied"):
            await seller.ask(read, "nobody")
    async with selling(refresh_token="Atzr|four") as seller:
        seller.sandbox.revoke_access()
        with pytest.raises(AuthorizationError, match="invalid grant"):
            await seller.ask(seller.orders.get_fulfillment_order, "nobody")
