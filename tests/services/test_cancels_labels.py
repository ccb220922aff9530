"""Case 8, cancels: at every state, with the bought label settled, kept or given back."""

import pytest

from daemon.domain.portal import PortalState
from daemon.domain.returns import State, Transit, Void
from daemon.errors import Refused, Unavailable
from tests.services.parcels import (
    TWO,
    actions,
    ask_again,
    at_rest,
    buying,
    cancel_request,
    cancel_return,
    errors,
    notes,
    postage,
    two_parcels,
)
from tests.services.stage import DAY, HOUR
from tests.support.builders import a_line, a_portal_request
from tests.support.fake_postage import OFFER_LIVES
from tests.support.fakes import Killed

LOST = Unavailable("time-out", retry_after=60.0)
LONG_LOST = Unavailable("time-out", retry_after=OFFER_LIVES + 1)


class TestStates:
    @pytest.mark.parametrize("state", [State.RECEIVED, State.AWAITING_LABEL, State.LABEL_READY])
    @pytest.mark.parametrize("whole", [False, True], ids=["request", "return"])
    async def test_before_the_label_is_out(self, open_with, state, whole):
        """Case 8: cancelled while it is matched, labelled or delivered: no label in Loop, none paid for, no error."""
        stage, source = await buying(open_with)
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step_to(state)
        await (cancel_return if whole else cancel_request)(stage)
        assert await at_rest(stage) is State.CANCELLED
        assert (stage.portal.labels, errors(stage), source.live(), actions(stage)) == ({}, (), [], {})

    @pytest.mark.parametrize("whole", [False, True], ids=["request", "return"])
    async def test_after_the_label_is_out(self, open_with, whole):
        """Case 8: the unused label is voided and both facts are noted; Amazon is still looked at."""
        stage, source = await buying(open_with)
        await stage.sent()
        await (cancel_return if whole else cancel_request)(stage)
        assert await at_rest(stage) is State.AWAITING_INSPECTION
        assert source.live() == []
        assert len(notes(stage, "Cancelled in Loop")) == 1
        assert notes(stage, "Label voided") == ["Label voided: Swift, tracking 1Z-SH1. It was never scanned."]
        before = stage.network.count("order")
        await stage.pass_time(3 * DAY)
        assert stage.network.count("order") > before

    async def test_while_it_is_refused(self, open_with):
        """Case 8: a request cancelled before its refusal was told gets no error."""
        stage, _ = await buying(open_with)
        stage.ship(SOCK=1)
        stage.network.refuse = {"SOCK": ("NotReturnable", "no")}
        await stage.submit()
        await stage.step_to(State.REFUSED)
        await cancel_request(stage)
        await stage.work()
        assert errors(stage) == ()
        assert (await stage.ret()).state is State.CANCELLED

    async def test_while_it_is_stuck(self, open_with):
        """Case 8: a return that waited for a person, cancelled before its label was out, is cancelled."""
        stage, source = await buying(open_with)
        source.services = ()
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.reach(State.STUCK)
        await cancel_return(stage)
        assert await at_rest(stage) is State.CANCELLED
        assert errors(stage) == ()

    @pytest.mark.parametrize(
        ("condition", "state", "ends"),
        [("Sellable", State.PROCESSING, State.CLOSED), ("Defective", State.IN_REVIEW, State.CLOSED)],
    )
    async def test_while_it_is_settled(self, open_with, condition, state, ends):
        """Case 8: cancelled in Loop while processing or in review: it is over, and nothing more is asked for."""
        stage, _ = await buying(open_with)
        stage.portal.process_after = HOUR
        await stage.sent()
        await stage.inspect(condition)
        await stage.reach(state)
        asked = actions(stage)
        await cancel_return(stage)
        await stage.pass_time(DAY)
        assert ((await stage.ret()).state, actions(stage)) == (ends, asked)

    @pytest.mark.slow
    async def test_while_it_is_expired(self, open_with):
        """Case 8: an expired return cancelled in Loop is over, its label voided; what comes all the same is noted."""
        stage, source = await buying(open_with)
        await stage.sent()
        await stage.reach(State.EXPIRED, within=46 * DAY)
        await cancel_return(stage)
        assert await at_rest(stage) is State.CANCELLED
        assert source.live() == []
        await stage.inspect()
        await stage.pass_time(8 * DAY)
        assert len(notes(stage, "inspected SOCK")) == 1
        assert actions(stage) == {}

    async def test_twice(self, open_with):
        """Case 8: both webhooks, twice each, are one cancel: one note of each kind, one void."""
        stage, source = await buying(open_with)
        await stage.sent()
        for _ in range(2):
            await cancel_request(stage)
            await cancel_return(stage)
        await stage.pass_time(DAY)
        assert len(notes(stage, "Label voided")) == 1
        assert source.count("void") == 1


class TestVoid:
    @pytest.mark.parametrize("transit", [Transit.IN_TRANSIT, Transit.OUT_FOR_DELIVERY, Transit.DELIVERED])
    async def test_a_scanned_label_is_kept(self, open_with, transit):
        """Case 8: the carrier is asked first; a label it has seen is not voided, and a note says why."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.scan(transit)
        await cancel_return(stage)
        await stage.work()
        assert source.count("void") == 0
        assert notes(stage, "not voided") == ["Label not voided: Swift, tracking 1Z-SH1: the parcel is on its way."]
        assert postage(await stage.ret()).void is Void.KEPT

    async def test_a_label_that_was_only_announced_is_voided(self, open_with):
        """Case 8: pre_transit is no scan."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.scan(Transit.PRE_TRANSIT)
        await cancel_return(stage)
        await stage.work()
        assert source.live() == []

    async def test_amazon_will_not_take_it_back(self, open_with):
        """Case 8: a refused void is noted in Amazon's words; the return goes on."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.fail("void", Refused("InvalidRequest", "Too late."))
        await cancel_return(stage)
        await stage.pass_time(DAY)
        assert notes(stage, "not voided") == ["Label not voided: Swift, tracking 1Z-SH1: InvalidRequest: Too late.."]
        assert (await stage.ret()).state is State.AWAITING_INSPECTION

    async def test_the_carrier_refuses_to_tell(self, open_with):
        """Case 8: without a word on whether the parcel travels the label is kept, and the merchant is told."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.fail("track", Refused("Unauthorized", "Not yours."))
        await cancel_return(stage)
        await stage.work()
        assert len(notes(stage, "not voided")) == 1
        assert source.count("void") == 0
        assert (await stage.ret()).state is State.AWAITING_INSPECTION

    async def test_an_outage_is_waited_out(self, open_with):
        """Case 8: while Amazon is away the void stays owed."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.outage = LOST
        await cancel_return(stage)
        await stage.pass_time(2 * HOUR)
        assert len(source.live()) == 1
        source.outage = None
        await stage.pass_time(HOUR)
        assert source.live() == []

    @pytest.mark.parametrize("after", [False, True])
    async def test_killed_while_voiding(self, open_with, after):
        """Case 8: a void that was asked for before is no error; it is noted once."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.fail("void", Killed(), after=after)
        with pytest.raises(Killed):
            await cancel_return(stage)
        await stage.restart()
        await stage.work()
        assert source.live() == []
        assert len(notes(stage, "Label voided")) == 1

    async def test_every_parcel_is_settled_by_itself(self, open_with):
        """Case 8: of two parcels the one under way is kept and the unused one given back."""
        stage, source = await buying(open_with)
        await two_parcels(stage)
        source.scan(Transit.IN_TRANSIT, "A1")
        await cancel_return(stage)
        await stage.work()
        assert [s.order.reference for s in source.shipments.values() if not s.void] == ["77-A1"]
        assert (len(notes(stage, "not voided")), len(notes(stage, "Label voided"))) == (1, 1)

    async def test_a_label_that_another_request_needs_is_kept(self, open_with):
        """Case 8: of two requests that share a parcel one is withdrawn: the other's shopper keeps a good label."""
        stage, source = await buying(open_with)
        stage.ship(SOCK=1, CAP=1)
        await stage.submit(*TWO, request=a_portal_request("q77", skus=("SOCK",)))
        stage.portal.ask(a_portal_request("q2", return_id="77", skus=("CAP",)))
        await stage.polls.label_requests()
        await stage.reach(State.AWAITING_INSPECTION)
        await cancel_request(stage, "q77")
        await stage.work()
        assert source.live() == ["SH1"]
        await cancel_return(stage)
        await stage.work()
        assert source.live() == []


class TestUnclear:
    @pytest.mark.parametrize("after", [False, True])
    async def test_an_unclear_purchase_is_settled_then_voided(self, open_with, after):
        """Case 8: cancelled while a purchase is unclear: the same body is sent again, and what it bought is voided."""
        stage, source = await buying(open_with)
        source.fail("buy", LOST, after=after)
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.work()
        await cancel_request(stage)
        await stage.pass_time(HOUR)
        assert (await stage.ret()).state is State.CANCELLED
        assert len({call.arguments for call in source.made("buy")}) == 1
        assert (len(source.bought()), source.live(), stage.portal.labels) == (1, [], {})

    async def test_killed_in_the_purchase_and_cancelled_while_down(self, open_with):
        """Case 8: what was bought by a daemon that died, of a return cancelled since, is found and given back."""
        stage, source = await buying(open_with)
        source.fail("buy", Killed(), after=True)
        stage.ship(SOCK=1)
        await stage.submit()
        with pytest.raises(Killed):
            await stage.work()
        await stage.restart()
        await cancel_request(stage)
        await stage.work()
        assert (len(source.bought()), source.live()) == (1, [])

    async def test_a_purchase_whose_offer_lapsed_is_still_unclear(self, open_with):
        """Case 8: cancelled after the saved offer went stale: a new offer under the same key finds what was bought."""
        stage, source = await buying(open_with)
        source.fail("buy", LONG_LOST, after=True)
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.work()
        stage.clock.advance(OFFER_LIVES + 2)
        ret = await stage.step()  # sends the stale offer
        assert postage(ret).sealed_offer == b""
        await cancel_request(stage)
        await stage.work()
        assert (await stage.ret()).state is State.CANCELLED
        assert (len(source.bought()), source.live()) == (1, [])

    async def test_a_lapsed_purchase_that_cannot_be_settled(self, open_with):
        """Case 8: when the service is gone by then, a note tells the merchant of the label that may exist."""
        stage, source = await buying(open_with)
        source.fail("buy", LONG_LOST, after=True)
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.work()
        stage.clock.advance(OFFER_LIVES + 2)
        await cancel_request(stage)
        source.services = ()
        await stage.pass_time(HOUR)
        assert notes(stage, "not voided") == [
            "Label not voided: Swift, tracking unknown: its purchase could not be settled."
        ]
        assert (await stage.ret()).state is State.CANCELLED
        calls = len(source.calls)
        await stage.pass_time(30 * DAY)
        assert len(source.calls) == calls

    async def test_an_offer_that_was_never_sent_is_forgotten(self, open_with):
        """Case 8: cancelled between the saved offer and its purchase: nothing is bought for the sake of voiding it."""
        stage, source = await buying(open_with)
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step_to(State.AWAITING_LABEL)
        ret = await stage.step()
        assert postage(ret).sealed_offer != b""
        await cancel_request(stage)
        await stage.pass_time(DAY)
        assert source.count("buy") == 0

    async def test_a_stale_offer_that_was_never_sent_is_forgotten(self, open_with):
        """Case 8: an offer that lapsed at its first sending bought nothing, so a cancel settles nothing."""
        stage, source = await buying(open_with)
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step_to(State.AWAITING_LABEL)
        await stage.step()
        stage.clock.advance(OFFER_LIVES + 1)
        await stage.step()
        await cancel_request(stage)
        await stage.pass_time(DAY)
        assert source.count("buy") == 1
        assert source.bought() == []

    async def test_a_refused_purchase_is_clear(self, open_with):
        """Case 8: a purchase that Amazon refused is not tried again when its return is cancelled."""
        stage, source = await buying(open_with)
        source.fail("buy", Refused("InsufficientFunds", "no"))
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.reach(State.STUCK)
        await cancel_return(stage)
        await stage.pass_time(DAY)
        assert source.count("buy") == 1

    async def test_an_unclear_purchase_that_is_then_refused_stays_unclear(self, open_with):
        """Case 8: stuck on the refusal of a repetition: Loop is told, and the purchase is settled and given back."""
        stage, source = await buying(open_with)
        source.fail("buy", LOST, after=True)
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.work()
        source.fail("buy", Refused("InternalOddity", "no"))
        await stage.reach(State.STUCK)
        await stage.pass_time(HOUR)
        assert (len(source.bought()), source.live(), len(errors(stage))) == (1, [], 1)


class TestAskedAgain:
    async def test_the_voided_label_is_bought_anew(self, open_with):
        """Case 8: asked again on the same return: same units, same authorization, purchase number two, new key."""
        stage, source = await buying(open_with)
        await stage.sent()
        await cancel_return(stage)
        await stage.work()
        stage.portal.set_state("77", PortalState.OPEN)
        await ask_again(stage, "q2")
        ret = await stage.reach(State.AWAITING_INSPECTION)
        assert len(stage.network.all_items()) == 1
        assert stage.network.count("create_return") == 1
        assert (postage(ret).number, len(set(source.asked_keys()))) == (2, 2)
        assert source.live() == ["SH2"]
        await stage.inspect()
        await stage.reach(State.CLOSED)
        assert actions(stage) == {"process": 1}

    async def test_a_label_that_was_not_voided_yet_serves_again(self, open_with):
        """Case 8: asked again while the void was still owed: the label is taken back, nothing is bought."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.outage = LOST
        await cancel_request(stage)
        await stage.work()
        source.outage = None
        await ask_again(stage, "q2")
        ret = await stage.reach(State.AWAITING_INSPECTION)
        await stage.work()
        assert (postage(ret).void, source.live(), source.count("buy")) == (Void.NO, ["SH1"], 1)

    async def test_only_the_parcel_that_is_asked_for_again(self, open_with):
        """Case 8: of two parcels only one is asked for again: the other's unused label is still given back."""
        stage, source = await buying(open_with)
        await two_parcels(stage)
        source.outage = LOST
        await cancel_request(stage)
        await stage.work()
        source.outage = None
        await ask_again(stage, "q2", a_line("2", "CAP"))
        await stage.reach(State.AWAITING_INSPECTION)
        await stage.work()
        assert [s.order.reference for s in source.shipments.values() if not s.void] == ["77-A2"]

    async def test_a_scanned_label_is_delivered_again(self, open_with):
        """Case 8: the parcel is on its way with the first label; the new request gets the same one."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.scan(Transit.IN_TRANSIT)
        await cancel_request(stage)
        await stage.work()
        await ask_again(stage, "q2")
        await stage.reach(State.AWAITING_INSPECTION)
        assert source.bought() == ["77-A1"]
        assert [label.tracking_number for label in stage.portal.labels.values()] == ["1Z-SH1"] * 2
