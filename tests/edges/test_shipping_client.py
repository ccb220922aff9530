"""The label shop's client against a real server."""

import json
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.amazon_mcf.postage import ReturnServicePostage
from daemon.domain.orders import PostalAddress
from daemon.domain.portal import ParcelSize
from daemon.domain.postage import OfferExpired, PostageOrder
from daemon.domain.returns import Transit
from daemon.errors import CredentialsRefused, RateLimited, Refused, Unavailable
from daemon.ports.vendors import Lane
from tests.support.amazon_server import DROP, bench

SAMPLES = Path(__file__).parents[1] / "samples" / "amazon_mcf"
BUSINESS = "AmazonShipping_US"
SERVICE = "std-us-swa-mfn"
PARCEL = PostageOrder(
    ship_from=PostalAddress(name="Rowan Pike", line1="18 Larch Row", city="Boise", country_code="US"),
    ship_to=PostalAddress(name="Returns Department", line1="1 Dock Road", city="Reno", country_code="US"),
    rma_id="DxRMA1",
    size=ParcelSize(length_in=12.0, width_in=9.0, height_in=4.0, weight_g=500.0),
    value_cents=1999,
    skus=("SHIRT-M",),
    reference="RMAEXAMPLE000001-1",
)


def sample(name):
    """Read a recorded answer."""
    return (SAMPLES / name).read_bytes()


@asynccontextmanager
async def shop(*answers):
    """Open a shop against a server that gives these answers."""

    def make(transport, tokens, limits, url):
        return ReturnServicePostage(
            transport,
            tokens,
            limits,
            endpoint=url,
            business_id=BUSINESS,
            service_id=SERVICE,
            label_format="PDF",
            currency="USD",
        )

    async with bench(make, *answers) as opened:
        yield opened


async def test_label_is_quoted_bought_fetched_tracked_and_voided():
    """The five calls go to their places, each naming the shipping business."""
    names = ("rates.json", "purchase.json", "documents.json", "tracking.json", "cancelled.json")
    async with shop(*[(200, sample(name)) for name in names]) as s:
        offer = await s.client.offer(PARCEL)
        bought = await s.client.buy(offer.body, "key-1")
        printed = await s.client.document(bought.shipment_id, PARCEL.reference, offer.label_format)
        tracking = await s.client.track(bought.tracking_id, offer.carrier_id)
        await s.client.void(bought.shipment_id)
        query = "packageClientReferenceId=RMAEXAMPLE000001-1&format=PDF"
        assert printed == bought
        assert tracking.transit is Transit.DELIVERED
        assert [(asked.method, asked.target) for asked in s.server.asked] == [
            ("POST", "/shipping/v2/shipments/rates"),
            ("POST", "/shipping/v2/shipments"),
            ("GET", f"/shipping/v2/shipments/87852211788104/documents?{query}"),
            ("GET", "/shipping/v2/tracking?trackingId=TBA0000000001&carrierId=AMZN_US"),
            ("PUT", "/shipping/v2/shipments/87852211788104/cancel"),
        ]
        assert [asked.headers["x-amzn-shipping-business-id"] for asked in s.server.asked] == [BUSINESS] * 5
        assert [asked.headers.get("x-amzn-IdempotencyKey") for asked in s.server.asked] == [None, "key-1", *[None] * 3]
        assert s.limits.turns == [
            ("getRates", Lane.SHOPPER),
            ("purchaseShipment", Lane.SHOPPER),
            ("getShipmentDocuments", Lane.SHOPPER),
            ("getTracking", Lane.BACKGROUND),
            ("cancelShipment", Lane.BACKGROUND),
        ]


async def test_gets_have_no_body():
    """A GET of Shipping carries neither a body nor Content-Length."""
    async with shop((200, sample("tracking.json"))) as s:
        await s.client.track("T", "C")
        assert not {"Content-Length", "Content-Type"} & set(s.server.asked[0].headers)


async def test_unclear_purchase_is_not_repeated_here():
    """The server sees one purchase; the caller repeats the same bytes with the same key when it is ready to."""
    async with shop(DROP, (200, sample("purchase.json"))) as s:
        with pytest.raises(Unavailable) as unavailable:
            await s.client.buy(b'{"rateId": "r"}', "key-1")
        assert unavailable.value.unclear
        assert len(s.server.asked) == 1
        await s.client.buy(b'{"rateId": "r"}', "key-1")
        first, second = s.server.asked
        assert (first.body, first.headers["x-amzn-IdempotencyKey"]) == (
            second.body,
            second.headers["x-amzn-IdempotencyKey"],
        )


async def test_fresh_token_keeps_the_idempotency_key():
    """The repeat after a 403 is the same purchase."""
    async with shop((403, b'{"message": "Forbidden"}'), (200, sample("purchase.json"))) as s:
        await s.client.buy(b"{}", "key-1")
        assert [asked.headers["x-amzn-IdempotencyKey"] for asked in s.server.asked] == ["key-1", "key-1"]
        assert [asked.headers["x-amz-access-token"] for asked in s.server.asked] == ["token-1", "token-2"]


FORBIDDEN = (403, b'{"message": "Forbidden"}')
INPUTS = (200, b'{"linkableCarriersList": []}')


@pytest.mark.parametrize("probed", [FORBIDDEN, (404, b"{}"), (400, b"{}")])
async def test_missing_role_parks_amazon_shipping(probed):
    """Where a call that holds nothing odd does not succeed either, Shipping is parked: nobody calls for five minutes."""
    async with shop(FORBIDDEN, FORBIDDEN, probed) as s:
        for _ in range(2):
            with pytest.raises(CredentialsRefused, match="getRates"):
                await s.client.offer(PARCEL)
        assert "getRates" in s.client.refused
        probe = s.server.asked[2]
        assert (probe.method, probe.target) == ("GET", "/shipping/v2/carrierAccountFormInputs")
        assert probe.headers["x-amzn-shipping-business-id"] == BUSINESS
        assert len(s.server.asked) == 3


async def test_one_odd_call_is_refused_and_the_next_good_one_goes_through():
    """A 403 that is about one parcel alone ends that call, and keeps no other label from being bought."""
    async with shop(FORBIDDEN, FORBIDDEN, INPUTS, (200, sample("purchase.json"))) as s:
        with pytest.raises(Refused) as refused:
            await s.client.track("T", "C")
        assert refused.value.code == "Unauthorized"
        assert s.client.refused == ""
        assert (await s.client.buy(b"{}", "key-1")).shipment_id


async def test_a_limited_probe_pauses_the_probe_alone():
    """A 429 to the probe is about its own operation; the call was refused for certain, and is not held back."""
    async with shop(FORBIDDEN, FORBIDDEN, (429, b"")) as s:
        with pytest.raises(CredentialsRefused):
            await s.client.track("T", "C")
        assert s.limits.pauses == ["getCarrierAccountFormInputs"]
        assert s.limits.levels()["getTracking"] > 1


async def test_expired_quote_is_told_by_its_code():
    """A purchase that came too late can be told from one that is refused for good."""
    async with shop((400, sample("token_expired.json"))) as s:
        assert await s.client.buy(b"{}", "key-1") == OfferExpired()


async def test_refused_rates_do_not_repeat_the_shopper():
    """An error's text never shows whose parcel it was: what Amazon says is kept apart."""
    body = json.dumps({"errors": [{"code": "InvalidRequest", "message": "No coverage at 18 LARCH ROW, Boise"}]})
    async with shop((400, body.encode())) as s:
        with pytest.raises(Refused) as refused:
            await s.client.offer(PARCEL)
        assert (str(refused.value), refused.value.said) == ("InvalidRequest", "No coverage at 18 LARCH ROW, Boise")


async def test_voiding_twice_is_voiding():
    """A label that is void already is no error."""
    gone = b'{"errors": [{"code": "InvalidRequest", "message": "Shipment is already cancelled"}]}'
    async with shop((400, gone)) as s:
        await s.client.void("S1")
        assert len(s.server.asked) == 1


async def test_429_pauses_shipping_operations_one_by_one():
    """A limited getTracking leaves getRates alone."""
    async with shop((429, b"")) as s:
        with pytest.raises(RateLimited):
            await s.client.track("T", "C")
        assert s.limits.pauses == ["getTracking"]
        assert s.limits.levels()["getRates"] > 1
