"""Case 1 over true wires: ReturnServicePostage and LoopPortal against the sandbox, which was written independently."""

from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from adapters.amazon_mcf.auth import AccessTokens
from adapters.amazon_mcf.limits import AmazonLimits
from adapters.amazon_mcf.postage import ReturnServicePostage
from adapters.host.clock import SystemClock
from adapters.loop_returns.client import LoopPortal
from adapters.loop_returns.limits import LoopLimits
from adapters.sandbox import Fault, ReturnLine, Sandbox, SandboxOptions
from adapters.vendor_calls.transport import Transport, open_session
from daemon.domain.orders import PostalAddress
from daemon.domain.portal import Grade, ParcelSize
from daemon.domain.postage import BoughtPostage, NotOffered, OfferExpired, PostageOffer, PostageOrder, Tracking
from daemon.domain.returns import MISSING, Transit
from daemon.errors import Refused, Unavailable
from daemon.ports.vendors import Lane
from tests.support.builders import CENTER, NOW, SHOPPER
from tests.support.configured import judgement

CLOCK = SystemClock()
USER_AGENT = "mcfd/0 (Language=Python/3)"
OPERATIONS = ("getRates", "purchaseShipment", "getShipmentDocuments", "cancelShipment", "getTracking")
ORDER = PostageOrder(
    reference="77-A1",
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
    source: ReturnServicePostage

    async def offered(self, order: PostageOrder = ORDER) -> PostageOffer:
        offer = await self.source.offer(order)
        assert isinstance(offer, PostageOffer)
        return offer

    async def bought(self, key: str = "key-1") -> BoughtPostage:
        bought = await self.source.buy((await self.offered()).body, key)
        assert isinstance(bought, BoughtPostage)
        return bought

    @property
    def shipments(self) -> dict:
        return self.sandbox.snapshot()["amazon"]["shipments"]


@asynccontextmanager
async def context(*, service_id="", label_format="PDF", timeout=5.0, **options):
    """Open a sandbox and a label source whose Return Service ID is the account's, unless told otherwise."""
    async with Sandbox(SandboxOptions(**options), CLOCK) as sandbox, open_session(USER_AGENT) as session:
        tokens = AccessTokens(
            Transport(session, vendor="lwa", timeout=timeout, on_call=lambda _: None),
            CLOCK,
            endpoint=sandbox.lwa_url,
            client_id=sandbox.options.client_id,
            client_secrets=[sandbox.options.client_secret],
            refresh_token=lambda: sandbox.options.refresh_token,
            on_state=lambda _: None,
        )
        source = ReturnServicePostage(
            Transport(session, vendor="amazon", timeout=timeout, on_call=lambda _: None),
            tokens,
            AmazonLimits(CLOCK, dict.fromkeys(OPERATIONS, (500, 500))),
            endpoint=sandbox.amazon_url,
            business_id=sandbox.options.shipping_business_id,
            service_id=service_id or sandbox.options.return_service_id,
            label_format=label_format,
            currency="USD",
        )
        try:
            yield Setup(sandbox, source)
        finally:
            await tokens.close()


class TestOffer:
    async def test_the_return_service_is_chosen_among_the_rates(self):
        """Case 1: the rate whose service is the Return Service ID, though a cheaper or dearer one is on offer."""
        async with context() as d:
            offer = await d.offered()
            assert (offer.carrier_id, offer.carrier, offer.charge_cents, offer.label_format) == (
                "AMZN_US",
                "Amazon Shipping",
                650,
                "PDF",
            )

    async def test_amazon_hears_what_is_in_the_parcel(self):
        """Case 1: units are counted by SKU, each of its share of the weight; the parcel is insured, and its RMA named."""
        async with context() as d:
            await d.bought()
            (shipment,) = d.shipments.values()
            (package,) = shipment["request"]["packages"]
            assert [(i["itemIdentifier"], i["quantity"]) for i in package["items"]] == [("SOCK", 2), ("CAP", 1)]
            assert sum(i["quantity"] * i["weight"]["value"] for i in package["items"]) == pytest.approx(500)
            assert package["insuredValue"] == {"value": 19.99, "unit": "USD"}
            assert package["packageClientReferenceId"] == "77-A1"
            assert shipment["request"]["shipTo"]["companyName"] == "RMA DxRMA1"
            assert shipment["request"]["shipFrom"]["name"] == "Sam Shopper"

    async def test_what_is_offered_instead_is_told(self):
        """Case 1: without the service, the ids that are on offer, and never the merchant's own."""
        async with context(service_id="RS-OF-ANOTHER-MERCHANT") as d:
            assert await d.source.offer(ORDER) == NotOffered(
                offered=(d.sandbox.options.return_service_id, "SWA-US-GROUND")
            )

    @pytest.mark.parametrize("offers", [[], [{"ineligible": "NO_COVERAGE"}]])
    async def test_a_service_that_is_not_sold_now_is_not_offered(self, offers):
        """Case 1: no rates, or the service among the ineligible ones, is the same answer."""
        async with context() as d:
            d.sandbox.offer_services([{"service_id": d.sandbox.options.return_service_id} | o for o in offers])
            assert await d.source.offer(ORDER) == NotOffered(offered=())

    @pytest.mark.parametrize(
        ("service", "code"),
        [
            ({"requires_additional_inputs": True}, "REQUIRES_ADDITIONAL_INPUTS"),
            ({"formats": ("ZPL",)}, "NO_PRINTABLE_LABEL"),
        ],
    )
    async def test_a_service_that_cannot_be_used_is_refused(self, service, code):
        """Case 1: inputs that nobody can give, or a label for printers that shoppers do not own: nothing is bought."""
        async with context() as d:
            d.sandbox.offer_services([{"service_id": d.sandbox.options.return_service_id} | service])
            with pytest.raises(Refused) as refused:
                await d.source.offer(ORDER)
            assert refused.value.code == code
            assert d.shipments == {}

    @pytest.mark.parametrize(
        ("wanted", "sold", "format_", "magic"),
        [
            ("PDF", ("PNG", "ZPL"), "PNG", b"\x89PNG"),
            ("PNG", ("PDF", "PNG"), "PNG", b"\x89PNG"),
            ("ZPL", ("ZPL", "PDF"), "ZPL", b"^XA"),
        ],
    )
    async def test_the_label_comes_in_a_format_that_is_sold(self, wanted, sold, format_, magic):
        """Case 1: the operator's format, else PDF, else PNG; what is bought is what was offered."""
        async with context(label_format=wanted) as d:
            d.sandbox.offer_services([{"service_id": d.sandbox.options.return_service_id, "formats": sold}])
            offer = await d.offered()
            bought = await d.source.buy(offer.body, "k")
            assert offer.label_format == format_
            assert bought.document.startswith(magic)

    async def test_a_parcel_without_a_size_is_not_asked_about(self):
        """Case 1: a missing dimension names the setting that fills it in, before Amazon is called."""
        async with context() as d:
            with pytest.raises(Refused, match="default_parcel"):
                await d.source.offer(PostageOrder(**{**_fields(ORDER), "size": ParcelSize(length_in=1)}))
            assert [c for c in d.sandbox.calls() if c["operation"] == "getRates"] == []

    async def test_addresses_beyond_the_limits_are_cut(self):
        """Case 1: names and lines of any length and alphabet are cut by code point to what Amazon takes."""
        long = PostalAddress(
            name="Ünï" * 40, line1="9 " + "長" * 90, line2="x" * 99, city="Dayton", region="OH",
            postal_code="45402", country_code="US", phone="1" * 40,
        )  # fmt: skip
        async with context() as d:
            await d.offered(PostageOrder(**{**_fields(ORDER), "ship_from": long}))


class TestPurchase:
    async def test_the_same_request_is_the_same_purchase(self):
        """Case 1: the same body under the same key, three times: one shipment, one label, one number."""
        async with context() as d:
            body = (await d.offered()).body
            first, *others = [await d.source.buy(body, "key-1") for _ in range(3)]
            assert others == [first, first]
            assert len(d.shipments) == 1
            assert first.document.startswith(b"%PDF")

    async def test_a_dropped_answer_is_settled_by_repeating(self):
        """Case 1: the connection drops after the effect: unclear, sent once; repeated, it finds what was bought."""
        async with context() as d:
            body = (await d.offered()).body
            d.sandbox.set_faults(
                [Fault(vendor="shipping", kind="drop", operation="purchaseShipment", after_effect=True, count=1)]
            )
            with pytest.raises(Unavailable) as unavailable:
                await d.source.buy(body, "key-1")
            assert unavailable.value.unclear
            (shipment_id,) = d.shipments
            bought = await d.source.buy(body, "key-1")
            assert (bought.shipment_id, list(d.shipments)) == (shipment_id, [shipment_id])
            assert len([c for c in d.sandbox.calls() if c["operation"] == "purchaseShipment"]) == 2

    async def test_a_time_out_after_the_effect_is_settled_by_repeating(self):
        """Case 1: an answer that never comes is unclear, and settled the same way."""
        async with context(timeout=0.3) as d:
            body = (await d.offered()).body
            d.sandbox.set_faults(
                [Fault(vendor="shipping", kind="hang", operation="purchaseShipment", after_effect=True, count=1)]
            )
            with pytest.raises(Unavailable):
                await d.source.buy(body, "key-1")
            await d.source.buy(body, "key-1")
            assert len(d.shipments) == 1

    async def test_a_stale_offer_is_told_apart(self):
        """Case 1: TOKEN_EXPIRED is an answer, not an error; a new offer under the same key finds what was bought."""
        async with context() as d:
            body = (await d.offered()).body
            bought = await d.source.buy(body, "key-1")
            for quote in d.sandbox.shipping._quotes.values():
                quote.stale_at = CLOCK.now()
            assert await d.source.buy(body, "key-1") == OfferExpired()
            assert (await d.bought("key-1")).shipment_id == bought.shipment_id
            assert len(d.shipments) == 1

    async def test_a_new_offer_under_the_same_key_finds_the_purchase(self):
        """Case 1: where the key alone decides, a fresh offer of the same service is no second purchase."""
        async with context() as d:
            first = await d.bought("key-1")
            assert (await d.bought("key-1")).shipment_id == first.shipment_id
            assert len(d.shipments) == 1

    async def test_another_number_is_another_purchase(self):
        """Case 1: after a void the next key buys a label of its own."""
        async with context() as d:
            first = await d.bought("key-1")
            await d.source.void(first.shipment_id)
            second = await d.bought("key-2")
            assert second.tracking_id != first.tracking_id
            assert [s["cancelled"] for s in d.shipments.values()] == [True, False]

    async def test_the_token_stays_out_of_sight(self):
        """Case 1: an offer shows neither its request token nor the shopper when it is printed."""
        async with context() as d:
            offer = await d.offered()
            assert "TOKEN" not in repr(offer)
            assert "Sam Shopper" not in repr(ORDER)


class TestLabel:
    async def test_a_late_document_is_none_until_it_is_there(self):
        """Case 1: a purchase without documents, then getShipmentDocuments by our own name for the parcel."""
        async with context(documents_after=0.2) as d:
            bought = await d.bought()
            assert bought.document is None
            assert bought.tracking_id
            document = None
            while document is None:
                document = (await d.source.document(bought.shipment_id, "77-A1", "PDF")).document
            assert document.startswith(b"%PDF")

    async def test_a_late_tracking_id_comes_with_the_documents(self):
        """Case 1: Amazon may name no tracking id at the purchase; reading the documents again brings it."""
        async with context(tracking_after=0.2) as d:
            bought = await d.bought()
            assert (bought.tracking_id, bought.document is None) == ("", False)
            while not bought.tracking_id:
                bought = await d.source.document(bought.shipment_id, "77-A1", "PDF")
            assert bought.tracking_id.startswith("TBA9")
            assert bought.document is not None

    async def test_voiding_twice_is_voiding(self):
        """Case 8: a label that was given back already is no error."""
        async with context() as d:
            bought = await d.bought()
            await d.source.void(bought.shipment_id)
            await d.source.void(bought.shipment_id)
            assert d.shipments[bought.shipment_id]["cancelled"]

    async def test_a_scanned_label_is_not_taken_back(self):
        """Case 8: Amazon's refusal arrives as one, with its words."""
        async with context() as d:
            bought = await d.bought()
            d.sandbox.scan(bought.tracking_id, "InTransit")
            with pytest.raises(Refused, match="InvalidInput"):
                await d.source.void(bought.shipment_id)


class TestTracking:
    @pytest.mark.parametrize(
        ("status", "transit", "scanned"),
        [
            ("PreTransit", Transit.PRE_TRANSIT, False),
            ("InTransit", Transit.IN_TRANSIT, True),
            ("OutForDelivery", Transit.OUT_FOR_DELIVERY, True),
            ("DeliveryAttempted", Transit.OUT_FOR_DELIVERY, True),
            ("Delivered", Transit.DELIVERED, True),
            ("Rejected", None, True),
            ("Undeliverable", None, True),
            ("PickupCancelled", None, False),
        ],
    )
    async def test_amazons_words_become_loops(self, status, transit, scanned):
        """Case 4: each status with what Loop is told of it, and whether anybody had the parcel in hand."""
        async with context() as d:
            bought = await d.bought()
            d.sandbox.scan(bought.tracking_id, status)
            reading = await d.source.track(bought.tracking_id, "AMZN_US")
            assert (reading.transit, reading.scanned_at is not None) == (transit, scanned)
            assert (reading.delivered_at is not None) is (status == "Delivered")
            assert (reading.lost, reading.known) == (False, True)

    async def test_a_lost_parcel_is_told(self):
        """Case 5: Lost is no scan and no progress; the scan before it is still there."""
        async with context() as d:
            bought = await d.bought()
            d.sandbox.scan(bought.tracking_id, "InTransit")
            before = await d.source.track(bought.tracking_id, "AMZN_US")
            d.sandbox.scan(bought.tracking_id, "Lost")
            after = await d.source.track(bought.tracking_id, "AMZN_US")
            assert (after.lost, after.transit, after.scanned_at) == (True, None, before.scanned_at)

    async def test_a_word_that_nobody_knows_is_marked(self):
        """Case 4: a status of tomorrow is no progress, and is known to be unknown."""
        async with context() as d:
            bought = await d.bought()
            (shipment,) = d.sandbox.shipping.shipments.values()
            shipment.parcels[0].status = "Teleported"
            reading = await d.source.track(bought.tracking_id, "AMZN_US")
            assert (reading.transit, reading.known, reading.lost) == (None, False, False)

    async def test_a_number_the_carrier_has_not_heard_of_says_nothing(self):
        """Case 4: NotFound is an empty reading."""
        async with context() as d:
            assert await d.source.track("1Z-NOBODY", "AMZN_US") == Tracking()


# ---- grades, in both versions of Loop's API


@asynccontextmanager
async def shop(api_version):
    """Open a sandbox shop with one return of two lines, through that version of the API."""
    async with Sandbox(SandboxOptions(enforce_limits=False), CLOCK) as sandbox, open_session(USER_AGENT) as session:
        portal = LoopPortal(
            Transport(session, vendor="loop", timeout=5.0, on_call=lambda _: None),
            LoopLimits(CLOCK),
            clock=CLOCK,
            api_url=sandbox.loop_url,
            api_version=api_version,
            api_key=lambda: sandbox.options.loop_api_key,
            processor="mcfd@example.com",
            currency="USD",
        )
        return_id = sandbox.submit_return("#1001", [ReturnLine(sku="SOCK"), ReturnLine(sku="CAP")])
        yield sandbox, portal, str(return_id)


@pytest.mark.parametrize("api_version", ["2026-07", "2026-10"])
@pytest.mark.parametrize("condition", sorted(judgement().grades))
async def test_a_grade_reads_back_as_it_was_written(api_version, condition):
    """Case 6: in both versions a grade and its disposition read back as written, so that a restart repeats neither."""
    entry = judgement().grades[condition]
    async with shop(api_version) as (sandbox, portal, return_id):
        first, second = (await portal.details(return_id, Lane.BACKGROUND)).lines
        assert (first.grade, first.disposition) == ("", "")
        grade = Grade(
            line_id=first.line_id,
            grade=entry.grade,
            title=entry.title,
            disposition=entry.disposition,
            description=f"Amazon: {condition if condition != MISSING else 'not received'}",
            inspected_at=NOW,
        )
        await portal.grade([grade])
        await portal.assess([grade])
        told, untouched = (await portal.details(return_id, Lane.BACKGROUND)).lines
        assert (told.grade, told.disposition) == (entry.grade, entry.disposition)
        assert untouched == second
        pairs = sandbox.snapshot()["loop"]["new_categories"]
        expected = [] if api_version == "2026-07" or entry.title.startswith("Grade ") else [entry.title]
        assert [title for _, title in pairs] == expected


def _fields(order: PostageOrder) -> dict:
    return {name: getattr(order, name) for name in PostageOrder.__dataclass_fields__}
