"""Case 1, bought labels: offered, saved, bought once, printed, or given up on in words."""

import json
import re
from dataclasses import replace

import pytest

from daemon.domain.portal import ParcelSize, RequestStatus
from daemon.domain.returns import LabelSourceName, RequestState, State
from daemon.errors import ContractBroken, RateLimited, Refused, Unavailable
from tests.services.parcels import BOUGHT, TWO, ask_again, buying, errors, notes, postage
from tests.services.stage import DAY, HOUR
from tests.support.builders import SHOPPER, a_line, a_portal_request
from tests.support.configured import clocks
from tests.support.fake_postage import OFFER_LIVES, SERVICE
from tests.support.fakes import Killed

LOST = Unavailable("time-out")


def _long_lost(stage, source) -> None:
    """The next purchase is made, and its answer is lost for longer than an offer lives."""

    async def lose() -> None:
        stage.clock.advance(OFFER_LIVES + 1)
        raise LOST

    source.meanwhile("buy", lose, after=True)


async def asked(stage, *lines, **fields):
    """A return that was submitted against an order that holds its lines."""
    lines = lines or (a_line(),)
    stage.ship(**{line.sku: 1 for line in lines})
    await stage.submit(*lines, **fields)


class TestOffer:
    async def test_the_parcel_is_described_as_it_is(self, open_with):
        """Case 1: from the shopper to the fulfillment center, insured for its price, sizes filled in by default."""
        stage, source = await buying(open_with)
        context, size = stage.contexts["acme"], ParcelSize(length_in=12, width_in=9, height_in=4, weight_g=500)
        context.labels = replace(context.labels, default_size=size)
        request = a_portal_request("q77", skus=(), parcel=ParcelSize(length_in=10, weight_g=400))
        await asked(stage, request=request)
        await stage.reach(State.AWAITING_INSPECTION)

        (order,) = source.orders
        assert (order.ship_from, order.ship_to.name, order.rma_id) == (SHOPPER, "Amazon Returns", "RMA-A1")
        assert order.size == ParcelSize(length_in=10, width_in=9, height_in=4, weight_g=400)
        assert (order.value_cents, order.skus, order.reference) == (1000, ("SOCK",), "77-A1")

    async def test_the_weight_is_shared_by_units(self, open_with):
        """Case 1: each of two parcels weighs its share of the return, and is insured for what is in it."""
        stage, source = await buying(open_with)
        stage.network.center_of = {"SOCK": "LEX1", "CAP": "RNO1"}
        lines = (a_line("1", "SOCK"), a_line("2", "SOCK"), a_line("3", "CAP", price_cents=2500))
        stage.ship(SOCK=2, CAP=1)
        await stage.submit(*lines, request=a_portal_request("q77", skus=(), parcel=ParcelSize(weight_g=900)))
        await stage.reach(State.AWAITING_INSPECTION)

        assert [(o.size.weight_g, o.value_cents, o.skus) for o in source.orders] == [
            (600, 2000, ("SOCK", "SOCK")),
            (300, 2500, ("CAP",)),
        ]

    async def test_the_purchase_is_saved_sealed_before_it_is_sent(self, open_with):
        """Case 1: what is about to be bought is in the database, encrypted, when the purchase is made."""
        stage, source = await buying(open_with)
        seen = []

        async def look():
            seen.append(postage(await stage.ret()))

        source.meanwhile("buy", look)
        await asked(stage)
        await stage.reach(State.AWAITING_INSPECTION)
        (saved,), (body, _) = seen, source.made("buy")[0].arguments
        assert saved.shipment_id == ""
        assert (saved.carrier_id, saved.carrier, saved.charge_cents) == ("AMZN_US", "Swift", 650)
        assert stage.box.unseal(saved.sealed_offer, "postage offer") == body
        assert json.loads(body)["requestToken"].encode() not in saved.sealed_offer

    async def test_the_label_goes_to_loop_with_its_carrier_number_and_price(self, open_with):
        """Case 1: Loop gets our link, the carrier's name, the tracking number, the charge; one note says so."""
        stage, source = await buying(open_with)
        await asked(stage)
        ret = await stage.reach(State.AWAITING_INSPECTION)
        await stage.work()

        (label,) = stage.portal.labels.values()
        assert (label.carrier, label.tracking_number, label.rate_cents) == ("Swift", "1Z-SH1", 650)
        assert label.url.startswith("https://returns.test/labels/")
        assert label.url.endswith(".pdf")
        assert notes(stage, "Label delivered") == ["Label delivered: Swift, tracking 1Z-SH1."]
        assert (ret.requests[0].asked, postage(ret).sealed_offer) == (RequestState.DELIVERED, b"")
        assert source.count("document") == 0  # it came with the purchase

    @pytest.mark.parametrize(
        ("status", "ends"), [(RequestStatus.FULFILLED, State.CLOSED), (RequestStatus.CANCELLED, State.CANCELLED)]
    )
    async def test_a_request_that_is_over_costs_nothing(self, open_with, status, ends):
        """Case 1: when somebody else delivered a label meanwhile, or the request was withdrawn, none is bought."""
        stage, source = await buying(open_with)
        stage.network.authorization_delay = 60.0
        await asked(stage)
        await stage.step_to(State.AWAITING_LABEL)
        stage.portal.requests["q77"] = replace(stage.portal.requests["q77"], status=status)
        await stage.reach(ends)
        assert source.count("offer") == source.count("buy") == 0


class TestNotOffered:
    async def test_it_is_held_for_a_person(self, open_with):
        """Case 1: `hold` is STUCK with a note that names the ids on offer, a metric, and no label request error."""
        stage, source = await buying(open_with)
        source.services = ("GROUND", "SLOW")
        await asked(stage)
        ret = await stage.reach(State.STUCK)
        await stage.pass_time(2 * DAY)

        assert errors(stage) == ()
        (note,) = notes(stage, "No label could be made")
        assert "Amazon does not offer the return service; it offers GROUND, SLOW." in note
        assert SERVICE not in ret.problem
        assert stage.metrics.troubles["service_not_offered"] == 1
        assert source.bought() == []
        assert (await stage.ret()).state is State.STUCK

    async def test_with_nothing_on_offer_the_note_says_nothing(self, open_with):
        """Case 1: an empty list of rates is told in words."""
        stage, source = await buying(open_with)
        source.services = ()
        await asked(stage)
        ret = await stage.reach(State.STUCK)
        assert ret.problem == "Amazon does not offer the return service; it offers nothing"

    async def test_a_retry_buys_once_it_is_offered(self, open_with):
        """Case 1: when the service has come back, an operator's retry ends in a label."""
        stage, source = await buying(open_with)
        source.services = ()
        await asked(stage)
        await stage.reach(State.STUCK)
        source.services = (SERVICE,)
        await stage.operator.retry("77", "ops")
        await stage.reach(State.AWAITING_INSPECTION)
        assert source.bought() == ["77-A1"]

    async def test_the_page_may_take_its_place(self, open_with):
        """Case 1: with `rma_page` the label is Amazon's page, and its RMA the tracking number."""
        stage, source = await buying(
            open_with, policy=replace(BOUGHT, page_instead=frozenset({LabelSourceName.AMAZON_SHIPPING}))
        )
        source.services = ("GROUND",)
        await asked(stage)
        ret = await stage.reach(State.AWAITING_INSPECTION)

        (label,) = stage.portal.labels.values()
        assert (label.url, label.tracking_number) == ("https://rma.test/A1", "RMA-A1")
        assert ret.requests[0].source is LabelSourceName.RMA_PAGE
        assert stage.metrics.troubles["service_not_offered"] == 1
        assert source.bought() == []

    async def test_a_label_bought_before_the_page_took_over_is_given_back(self, open_with):
        """Case 1: when only the second parcel finds no service, the first one's label is not used and is voided."""
        stage, source = await buying(
            open_with, policy=replace(BOUGHT, page_instead=frozenset({LabelSourceName.AMAZON_SHIPPING}))
        )
        stage.network.center_of = {"SOCK": "LEX1", "CAP": "RNO1"}

        async def withdraw():
            source.services = ("GROUND",)

        source.meanwhile("buy", withdraw, after=True)
        await asked(stage, *TWO)
        await stage.reach(State.AWAITING_INSPECTION)
        await stage.work()
        (label,) = stage.portal.labels.values()
        assert label.tracking_number == "RMA-A1"
        assert source.bought() == ["77-A1"]
        assert source.live() == []


class TestRefused:
    @pytest.mark.parametrize(
        ("code", "words"),
        [
            ("REQUIRES_ADDITIONAL_INPUTS", "the service wants inputs that nobody can give"),
            ("NO_PRINTABLE_LABEL", "the service offers no label as PDF or PNG"),
            ("REQUIRED_SERVICE", "the service demands one of the group SIG_VERIFICATION, and none can be bought"),
            ("PARCEL_SIZE", "the parcel has no size; amazon.shipping.default_parcel gives one"),
        ],
    )
    async def test_a_service_that_cannot_be_used_needs_a_person(self, open_with, code, words):
        """Case 1: inputs nobody has, or a label nobody can print: held for the merchant, noted, and no purchase.

        They can mend it, so the shopper is not told no.
        """
        stage, source = await buying(open_with)
        source.fail("offer", Refused(code, words))
        await asked(stage)
        await stage.reach(State.STUCK)
        await stage.pass_time(DAY)
        assert not errors(stage)
        assert [words in note for note in notes(stage, "No label")] == [True]
        assert source.bought() == []

    async def test_a_refused_purchase_needs_a_person(self, open_with):
        """Case 1: what Amazon says of a purchase it does not make reaches the merchant, who can mend it."""
        stage, source = await buying(open_with)
        source.fail("buy", Refused("InsufficientFunds", "The account cannot pay."))
        await asked(stage)
        ret = await stage.reach(State.STUCK)
        assert "The account cannot pay." in ret.problem
        assert not errors(stage)
        assert stage.metrics.troubles["purchase_refused"] == 1

    async def test_a_missing_address_waits_for_the_merchant(self, open_with):
        """Case 1: it can be completed in Loop, so the shopper is not refused; with `retry` the label is bought."""
        stage, source = await buying(open_with)
        await asked(stage, request=a_portal_request("q77", skus=(), origin=None))
        ret = await stage.reach(State.STUCK)
        await stage.work()
        assert source.count("offer") == 0
        assert "complete the shopper's in Loop, then mcfd retry" in ret.problem
        assert (errors(stage), len(notes(stage, "No label"))) == ((), 1)

        stage.portal.requests["q77"] = replace(stage.portal.requests["q77"], origin=SHOPPER)
        await stage.operator.retry("77", "a person")
        await stage.reach(State.AWAITING_INSPECTION)
        assert source.count("buy") == 1


class TestDocuments:
    async def test_a_label_that_is_not_printable_yet_is_polled_for(self, open_with):
        """Case 1: the documents come later; they are asked for until they are there, and the shopper gets them."""
        stage, source = await buying(open_with)
        source.documents_after = 60.0
        await asked(stage)
        await stage.reach(State.AWAITING_INSPECTION)
        assert source.count("buy") == 1
        assert 20 <= source.count("document") <= 40
        assert source.made("document")[0].arguments == ("SH1", "77-A1", "PDF")

    async def test_the_polls_are_rarer_after_the_first_hour(self, open_with):
        """Case 1: a document that is late by hours costs a call every five minutes, not every half minute."""
        stage, source = await buying(open_with, timings=clocks(label_poll_first=30.0))
        source.documents_after = 3 * HOUR
        await asked(stage)
        await stage.reach(State.AWAITING_INSPECTION)
        late = [c for c in source.made("document") if c.at - source.made("buy")[0].at > HOUR + 60]
        assert len(late) == pytest.approx(24, abs=2)

    async def test_a_document_that_never_comes_needs_a_person(self, open_with):
        """Case 1: after `label_deadline` the return is stuck, Loop is told, and what was bought is given back."""
        stage, source = await buying(open_with, timings=clocks(label_deadline=2 * HOUR, label_poll_first=30.0))
        source.documents_after = 90 * DAY
        await asked(stage)
        await stage.reach(State.STUCK)
        await stage.work()
        assert "document" in errors(stage)[0]
        assert (len(source.bought()), source.live()) == (1, [])

        source.documents_after = 0.0
        await stage.operator.retry("77", "ops")
        await stage.reach(State.AWAITING_INSPECTION)
        assert source.live() == ["SH2"]


class TestUnclear:
    async def test_a_time_out_after_the_effect_is_settled_by_the_same_body(self, open_with):
        """Case 1: the same bytes and the same key are sent again; one purchase, one label."""
        stage, source = await buying(open_with)
        source.fail("buy", LOST, after=True, times=2)
        await asked(stage)
        await stage.reach(State.AWAITING_INSPECTION)
        assert len({call.arguments for call in source.made("buy")}) == 1
        assert source.count("buy") == 3
        assert source.bought() == ["77-A1"]
        assert stage.portal.count("deliver_label") == 1

    @pytest.mark.parametrize("after", [False, True])
    async def test_killed_between_the_save_and_the_answer(self, open_with, after):
        """Case 1: a daemon that dies while it buys finds the saved request, repeats it, and owns one label."""
        stage, source = await buying(open_with)
        source.fail("buy", Killed(), after=after)
        await asked(stage)
        with pytest.raises(Killed):
            await stage.work()
        await stage.restart()
        await stage.reach(State.AWAITING_INSPECTION)
        assert len({call.arguments for call in source.made("buy")}) == 1
        assert source.bought() == ["77-A1"]
        assert stage.portal.count("deliver_label") == 1

    @pytest.mark.parametrize("point", ["offer", "buy", "deliver_label"])
    @pytest.mark.parametrize("after", [False, True])
    async def test_killed_at_every_call_on_the_way_to_the_label(self, open_with, point, after):
        """Case 1: wherever it dies, the return ends with one purchase per authorization and one label in Loop."""
        stage, source = await buying(open_with)
        (stage.portal if point == "deliver_label" else source).fail(point, Killed(), after=after)
        await asked(stage)
        with pytest.raises(Killed):
            await stage.work()
        await stage.restart()
        await stage.reach(State.AWAITING_INSPECTION)
        assert source.bought() == ["77-A1"]
        assert len(source.live()) == len(stage.portal.labels) == 1

    async def test_a_stale_offer_is_quoted_anew_under_the_same_key(self, open_with):
        """Case 1: TOKEN_EXPIRED means a new rate of the same service, bought under the same key: one purchase."""
        stage, source = await buying(open_with)
        _long_lost(stage, source)
        await asked(stage)
        await stage.reach(State.AWAITING_INSPECTION)
        assert source.count("offer") == 2
        assert len(set(source.asked_keys())) == 1
        assert len({call.arguments[0] for call in source.made("buy")}) == 2
        assert source.bought() == ["77-A1"]

    async def test_the_key_is_the_authorizations_and_nobodys_name(self, open_with):
        """Case 1: two parcels have two keys, which stay the same over a restart and say nothing of the return."""
        stage, source = await buying(open_with)
        stage.network.center_of = {"SOCK": "LEX1", "CAP": "RNO1"}
        source.fail("buy", LOST)
        await asked(stage, *TWO)
        await stage.step()
        await stage.restart()
        await stage.reach(State.AWAITING_INSPECTION)
        first, again, second = keys = source.asked_keys()
        assert first == again != second
        assert all(re.fullmatch(r"[0-9a-f]{64}", key) for key in keys)

    async def test_a_key_that_amazon_takes_for_another_purchase_needs_a_person(self, open_with):
        """Case 1: should Amazon refuse the same key with a new rate, a person is told, and nothing is bought twice."""
        stage, source = await buying(open_with)
        source.strict_keys = True
        _long_lost(stage, source)
        await asked(stage)
        ret = await stage.reach(State.STUCK)
        assert "IDEMPOTENCY_CONFLICT" in ret.problem
        assert source.bought() == ["77-A1"]

    @pytest.mark.slow
    async def test_offers_that_are_always_stale_are_asked_for_slowly(self, open_with):
        """Case 1: should Amazon call every offer stale, it is asked at a walk, and after the deadline a person is."""
        stage, source = await buying(open_with, timings=clocks(label_deadline=2 * HOUR))
        source.offers_live = 0.0
        await asked(stage)
        await stage.pass_time(HOUR)
        assert 20 < source.count("buy") < 600
        ret = await stage.reach(State.STUCK)
        assert ret.problem == "no label could be bought in time"
        assert source.bought() == []

    async def test_an_unreadable_purchase_is_repeated_under_its_key(self, open_with):
        """Case 1: an answer nobody can read costs an attempt, and the repetition finds the label that was bought."""
        stage, source = await buying(open_with)
        source.fail("buy", ContractBroken("purchaseShipment: shipmentId is missing"), after=True, times=3)
        await asked(stage)
        await stage.reach(State.AWAITING_INSPECTION)
        assert source.bought() == ["77-A1"]

    async def test_a_limit_is_no_unclear_purchase(self, open_with):
        """Case 1: a 429 had no effect: the purchase is simply made later."""
        stage, source = await buying(open_with)
        source.fail("buy", RateLimited("slow down", retry_after=5.0))
        await asked(stage)
        await stage.reach(State.AWAITING_INSPECTION)
        assert source.bought() == ["77-A1"]

    async def test_a_second_request_of_the_same_units_buys_no_second_label(self, open_with):
        """Case 1: Loop asks again for what has a label: the label is delivered again, not bought again."""
        stage, source = await buying(open_with)
        await asked(stage)
        await stage.reach(State.AWAITING_INSPECTION)
        await ask_again(stage, "q2")
        await stage.reach(State.AWAITING_INSPECTION)
        assert source.bought() == ["77-A1"]
        assert [label.tracking_number for label in stage.portal.labels.values()] == ["1Z-SH1"] * 2
