"""The EasyPost client over HTTP: against the sandbox, which was written independently, and against files that are none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from aiohttp import web

from adapters.easypost.client import EasyPostLabels
from adapters.easypost.connection import EasyPostConnection
from adapters.easypost.wire.files import AllowedHosts, allowed_hosts
from adapters.easypost.wire.shipments import Asking
from adapters.host.clock import SystemClock
from adapters.sandbox import Fault, Sandbox, SandboxOptions
from adapters.vendor_calls.public_addresses import is_public
from adapters.vendor_calls.transport import Transport, open_session
from daemon.domain.portal import ParcelSize
from daemon.domain.postage import (
    BoughtPostage,
    NotBought,
    NotOffered,
    OfferExpired,
    PostageOffer,
    PostageOrder,
    VoidAnswer,
)
from daemon.domain.postage_rates import RateRules
from daemon.domain.returns import Transit
from daemon.errors import ContractBroken, CredentialsRefused, RateLimited, Refused, Unavailable
from tests.support.builders import CENTER, SHOPPER

CLOCK = SystemClock()
LIMIT = 100_000
ORDER = PostageOrder(
    reference="77-A1",
    key="k" * 64,
    ship_from=SHOPPER,
    ship_to=CENTER,
    rma_id="DxRMA1",
    size=ParcelSize(length_in=12, width_in=9, height_in=4, weight_g=500),
    value_cents=1999,
    skus=("SOCK", "SOCK", "CAP"),
)


@dataclass
class Setup:
    """A sandbox, and the label source that talks to it."""

    sandbox: Sandbox
    source: EasyPostLabels

    async def offered(self, order: PostageOrder = ORDER) -> PostageOffer:
        offer = await self.source.offer(order)
        assert isinstance(offer, PostageOffer)
        return offer

    async def bought(self) -> BoughtPostage:
        bought = await self.source.buy((await self.offered()).body, "key")
        assert isinstance(bought, BoughtPostage)
        return bought

    def calls(self, operation: str) -> int:
        return sum(call["operation"] == operation for call in self.sandbox.calls())


@asynccontextmanager
async def labels(
    url: str, key: str, *, rules: RateRules, hosts: AllowedHosts | None = None
) -> AsyncIterator[EasyPostLabels]:
    """The client as the daemon opens it, with a short patience."""
    async with open_session("test", fresh=True) as session, open_session("test", public_only=True) as public:

        def transport(over, timeout: float = 2.0, **bounds) -> Transport:
            return Transport(over, vendor="easypost", timeout=timeout, on_call=lambda _call: None, **bounds)

        yield EasyPostLabels(
            EasyPostConnection(transport(session), transport(session), CLOCK, api_url=url, api_key=lambda: key),
            rules=rules,
            asking=Asking(),
            hosts=hosts or allowed_hosts(("files.example.com",), url),
            api_key=lambda: key,
            fetch=transport(public, max_body=LIMIT),
            fetch_locally=transport(session, 1.0, max_body=LIMIT),
        )


@asynccontextmanager
async def context(rules: RateRules | None = None, *, key: str = "", hosts=None, **options) -> AsyncIterator[Setup]:
    async with Sandbox(SandboxOptions(**options), CLOCK) as sandbox:
        key = key or sandbox.options.easypost_api_key
        async with labels(sandbox.easypost_url, key, rules=rules or RateRules(), hosts=hosts) as source:
            yield Setup(sandbox, source)


# ---- offers


async def test_the_cheapest_allowed_rate_is_offered():
    """With its carrier, its price and the shipment's id; making the shipment costs nothing."""
    async with context() as d:
        offer = await d.offered()
        assert (offer.carrier, offer.charge_cents, offer.service) == ("USPS", 607, "ca_sandbox1/USPS/GroundAdvantage")
        assert offer.mode == "production"
        assert list(d.sandbox.easypost.shipments) == [offer.handle]
        assert d.sandbox.easypost_labels() == []


async def test_a_parcel_that_has_a_shipment_is_rated_again():
    """No second shipment is made for it, and the new rate can be bought."""
    async with context() as d:
        first = await d.offered()
        again = await d.offered(replace(ORDER, handle=first.handle))
        assert (again.handle, again.body != first.body) == (first.handle, True)
        assert isinstance(await d.source.buy(first.body, "key"), OfferExpired)
        assert isinstance(await d.source.buy(again.body, "key"), BoughtPostage)


async def test_a_parcel_that_was_bought_is_offered_as_it_was_bought():
    """A purchase whose answer was lost may show late: no limit and no other rate can undo it."""
    async with context() as d:
        first = await d.offered()
        bought = await d.source.buy(first.body, "key")
        d.sandbox.offer_rates([{"carrier": "UPS", "service": "Ground", "cents": 9_999}])
        again = await d.offered(replace(ORDER, handle=first.handle))
        assert again == replace(first, sold=True)
        assert await d.source.buy(again.body, "key") == bought
        assert d.calls("rerate_shipment") == 0


async def test_without_a_rate_the_carriers_are_quoted_without_the_shopper():
    """What carriers say is kept, but not whom they say it of; passing trouble is told from lasting trouble."""
    async with context() as d:
        failing = {"carrier": "UPS", "service": "Ground", "cents": 0, "failure": f"{SHOPPER.name} is not served"}
        d.sandbox.offer_rates([failing])
        nothing = await d.source.offer(ORDER)
        assert isinstance(nothing, NotOffered)
        assert "is not served" in nothing.why
        assert not any(word in nothing.why for word in SHOPPER.name.split())
        assert (nothing.passing, nothing.held) == (False, False)
        d.sandbox.offer_rates([failing | {"failure": "Too Many Requests"}])
        assert (await d.source.offer(ORDER)).passing


async def test_a_test_key_buys_nothing_for_shoppers():
    """Its labels are not paid for: they are held, unless the API is on this machine."""
    options = SandboxOptions()
    async with context(key=options.easypost_test_key) as d:
        assert (await d.offered()).mode == d.source.mode == "test"
    elsewhere = AllowedHosts(names=frozenset({"files.example.com"}))
    async with context(key=options.easypost_test_key, hosts=elsewhere) as d:
        held = await d.source.offer(ORDER)
        assert isinstance(held, NotOffered)
        assert (held.held, "test key" in held.why) == (True, True)


# ---- purchases


async def test_a_purchase_brings_price_number_and_tracker():
    """The document is fetched in a call of its own, so that nothing that fails there hides the purchase."""
    async with context() as d:
        bought = await d.bought()
        (sold,) = d.sandbox.easypost_labels()
        assert (bought.tracking_id, bought.carrier_id) == (sold.sale.tracker.code, sold.sale.tracker.tracker_id)
        assert (bought.charge_cents, bought.document) == (607, None)
        fetched = await d.source.document(bought.shipment_id, "77-A1", "PDF")
        assert fetched.document.startswith(b"%PDF")
        assert fetched.sender_code.startswith(SHOPPER.postal_code[:5])


async def test_postage_that_exists_is_adopted():
    """A second purchase of the same shipment is the first one's label."""
    async with context() as d:
        offer = await d.offered()
        first = await d.source.buy(offer.body, "key")
        assert await d.source.buy(offer.body, "key") == first
        assert len(d.sandbox.easypost_labels()) == 1


@pytest.mark.parametrize("code", ["SHIPMENT.PURCHASE.IN_PROGRESS", "SHIPMENT.POSTAGE.NO_RESPONSE"])
async def test_a_carrier_that_is_silent_leaves_it_unclear(code):
    """Nobody knows whether money was spent."""
    async with context() as d:
        offer = await d.offered()
        d.sandbox.refuse_purchase(code, "wait", 409)
        with pytest.raises(Unavailable) as caught:
            await d.source.buy(offer.body, "key")
        assert caught.value.unclear
        assert await d.source.look(offer.body) == NotBought()
        bought = await d.source.buy(offer.body, "key")
        assert await d.source.look(offer.body) == bought


@pytest.mark.parametrize("status", [400, 409, 422])
async def test_a_refusal_stands_when_the_shipment_shows_nothing(status):
    """Whatever status a refusal has, its code and the carrier's words arrive, and the shipment was read."""
    async with context() as d:
        offer = await d.offered()
        d.sandbox.refuse_purchase("SHIPMENT.POSTAGE.FAILURE", "Bad street.", status)
        with pytest.raises(Refused) as caught:
            await d.source.buy(offer.body, "key")
        assert (caught.value.code, caught.value.said) == ("SHIPMENT.POSTAGE.FAILURE", "Bad street.")
        assert d.calls("read_shipment") == 1


async def test_a_refusal_of_what_was_sold_is_none():
    """An error that comes with a label sold is overruled by the reading."""
    async with context() as d:
        offer = await d.offered()
        d.sandbox.set_faults(
            [Fault(vendor="easypost", operation="buy_shipment", kind="error", status=422, after_effect=True)]
        )
        assert isinstance(await d.source.buy(offer.body, "key"), BoughtPostage)


async def test_a_limit_that_is_hit_while_buying_is_read_first():
    """A 429 may have come after the effect: the shipment tells."""
    async with context() as d:
        offer = await d.offered()
        limited = Fault(vendor="easypost", operation="buy_shipment", kind="error", status=429, count=1)
        d.sandbox.set_faults([limited])
        with pytest.raises(RateLimited):
            await d.source.buy(offer.body, "key")
        assert d.calls("read_shipment") == 1
    async with context() as d:
        offer = await d.offered()
        d.sandbox.set_faults([replace(limited, after_effect=True)])
        assert isinstance(await d.source.buy(offer.body, "key"), BoughtPostage)


async def test_an_empty_wallet_parks_purchases_alone():
    """Nothing is bought for an hour, and everything else goes on."""
    async with context() as d:
        offer = await d.offered()
        d.sandbox.set_funds(False)
        for _ in range(2):
            with pytest.raises(CredentialsRefused) as caught:
                await d.source.buy(offer.body, "key")
        assert caught.value.retry_after > 3500
        assert d.calls("buy_shipment") == 1
        assert (d.source.without_funds, d.source.refused) == ("the EasyPost account has no funds", "")
        await d.offered()
        assert d.source.without_funds
        d.sandbox.set_funds(True)
        d.source.unpark()
        await d.source.buy(offer.body, "key")
        assert d.source.without_funds == ""


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_is_refused_parks_everything(status):
    """One call in five minutes tries again; a person may have it tried at once."""
    async with context() as d:
        d.sandbox.set_faults([Fault(vendor="easypost", kind="error", status=status, count=1)])
        for _ in range(2):
            with pytest.raises(CredentialsRefused):
                await d.source.offer(ORDER)
        assert d.calls("create_shipment") == 1
        assert d.source.refused
        d.source.unpark()
        await d.offered()


# ---- voids and tracking


@pytest.mark.parametrize(
    ("plan", "answer"),
    [
        ("submitted", VoidAnswer.PENDING),
        ("refunded", VoidAnswer.DONE),
        ("rejected", VoidAnswer.REJECTED),
        ("not_applicable", VoidAnswer.NEEDLESS),
    ],
)
async def test_a_refund_has_four_ends(plan, answer):
    """What was asked for and not rejected is not asked for again."""
    async with context() as d:
        bought = await d.bought()
        assert await d.source.voided(bought.shipment_id) is None
        d.sandbox.plan_refund(plan)
        assert await d.source.void(bought.shipment_id) is answer
        assert await d.source.voided(bought.shipment_id) is answer
        await d.source.void(bought.shipment_id)
        assert d.calls("refund_shipment") == (2 if plan == "rejected" else 1)


async def test_a_used_label_is_not_given_back():
    """The refusal arrives as one."""
    async with context() as d:
        bought = await d.bought()
        d.sandbox.scan(bought.tracking_id, "InTransit")
        with pytest.raises(Refused, match=r"REFUND\.UNAVAILABLE"):
            await d.source.void(bought.shipment_id)


async def test_a_parcel_is_followed_by_its_tracker():
    """Tracking numbers are used again; the tracker's id is not."""
    async with context() as d:
        bought = await d.bought()
        d.sandbox.scan(bought.tracking_id, "OutForDelivery")
        assert (await d.source.track("another's", bought.carrier_id)).transit is Transit.OUT_FOR_DELIVERY
        with pytest.raises(Refused):
            await d.source.track(bought.tracking_id, "")


# ---- what a label may be


@asynccontextmanager
async def serving(answer) -> AsyncIterator[tuple[str, list[str]]]:
    """A machine that answers every path in one way: its URL, and the paths that were asked for."""
    seen: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        return await answer(request)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    finally:
        await runner.cleanup()


async def redirect(_: web.Request) -> web.Response:
    raise web.HTTPFound("/elsewhere")


async def too_much(_: web.Request) -> web.Response:
    return web.Response(body=b"%PDF-" + bytes(LIMIT))


async def page(_: web.Request) -> web.Response:
    return web.Response(text="<html>%PDF-</html>", content_type="application/pdf")


async def silence(_: web.Request) -> web.Response:
    await CLOCK.wait(asyncio.Event(), 30.0)
    return web.Response()


@pytest.mark.parametrize(
    ("answer", "error"),
    [(redirect, ContractBroken), (too_much, ContractBroken), (page, ContractBroken), (silence, Unavailable)],
    ids=["elsewhere", "too large", "no label", "too slow"],
)
async def test_what_is_no_label_is_not_taken(answer, error):
    """A redirect, more than the bound, another type than it claims, silence: each ends the fetch."""
    async with serving(answer) as (url, seen), context(hosts=AllowedHosts(names=frozenset(), local_origin=url)) as d:
        bought = await d.bought()
        d.sandbox.easypost.base_url = url
        with pytest.raises(error):
            await d.source.document(bought.shipment_id, "77-A1", "PDF")
        assert len(seen) == 1


async def test_a_label_elsewhere_is_not_fetched():
    """An answer that names another host leads nowhere."""

    async def never(_: web.Request) -> web.Response:
        raise AssertionError

    async with serving(never) as (url, seen), context() as d:
        bought = await d.bought()
        d.sandbox.easypost.base_url = url
        with pytest.raises(ContractBroken):
            await d.source.document(bought.shipment_id, "77-A1", "PDF")
        assert seen == []


async def test_an_allowed_name_must_lead_to_a_public_address():
    """A listed name that resolves to this machine or to a private network is not connected to."""

    async def never(_: web.Request) -> web.Response:
        raise AssertionError

    async with serving(never) as (url, seen), open_session("test", public_only=True) as session:
        transport = Transport(session, vendor="easypost", timeout=5.0, on_call=lambda _call: None)
        with pytest.raises(Unavailable) as caught:
            await transport.send("GET", url.replace("127.0.0.1", "localhost"), operation="fetch_label")
        assert not caught.value.unclear
        assert seen == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("52.218.0.1", True),
        ("2600:1fa0::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("192.168.1.1", False),
        ("172.16.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("nonsense", False),
    ],
)
def test_public_addresses_are_told_from_others(address, public):
    """Loopback, private, link-local and shared addresses are none, however they are wrapped."""
    assert is_public(address) is public
