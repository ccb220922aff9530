"""What is not known yet stays not known, whatever else happens meanwhile; and one trouble is not made into another."""

from dataclasses import replace
from itertools import pairwise

import pytest

from daemon.domain.portal import PortalState, RequestCancelled, RequestIssued, RequestStatus, ReturnChanged
from daemon.domain.returns import RequestState, State, Transit, UnitState, Void
from daemon.errors import ContractBroken, RateLimited, Refused, Unavailable
from tests.services.parcels import PAGE, TWO, buying, cancel_return, notes, postage
from tests.services.stage import DAY, HOUR, ORDER
from tests.support.builders import a_line, a_portal_request, a_shipment, an_order

UNREADABLE = ContractBroken("the answer cannot be read")


async def _given_up_after_its_delivery(open_with):
    """A label whose delivery had its effect; its answer was lost, and then the portal could not be read for long."""
    stage, source = await buying(open_with)
    stage.ship(SOCK=1)
    await stage.submit()
    await stage.step_to(State.LABEL_READY)
    stage.portal.fail("deliver_label", Unavailable("timed out"), after=True)
    await stage.step()
    stage.portal.fail("label_request", UNREADABLE, times=8)
    await stage.reach(State.STUCK)
    return stage, source


class TestAHandOverThatIsOvertaken:
    async def _cancelled_on_its_way(self, open_with):
        stage, source = await buying(open_with)
        await stage.sent()
        source.scan(Transit.IN_TRANSIT)
        await cancel_return(stage)
        await stage.work()
        await stage.submit(a_line("201"), return_id="78")
        await stage.step("78")
        return stage, source

    async def test_a_further_request_keeps_the_unit_and_its_label(self, open_with):
        """One more label request arrives while the order is read: the unit changes hands once, with its label."""
        stage, source = await self._cancelled_on_its_way(open_with)

        async def ask() -> None:
            stage.portal.returns["78"].lines.append(a_line("9", "HAT"))
            stage.portal.ask(a_portal_request("q79", return_id="78", skus=("HAT",)))
            await stage.tell(RequestIssued(return_id="78", request_id="q79"), return_id="78")

        stage.network.meanwhile("order", ask)
        await stage.pass_time(3 * HOUR)

        taken = await stage.unit("201", "78")
        assert (taken.standing, taken.authorization_id) == (
            UnitState.AUTHORIZED,
            postage(await stage.ret("78")).authorization_id,
        )
        assert len(source.bought()) == len(source.live()) == 1

    async def test_a_cancelled_request_takes_nothing(self, open_with):
        """The request is withdrawn while the order is read: the unit and its label stay where they are."""
        stage, source = await self._cancelled_on_its_way(open_with)

        async def withdraw() -> None:
            stage.portal.withdraw("q78")
            await stage.tell(RequestCancelled(return_id="78", request_id="q78"), return_id="78")

        stage.network.meanwhile("order", withdraw)
        await stage.step("78")

        lender = await stage.ret()
        assert [unit.standing for unit in lender.units] == [UnitState.AUTHORIZED]
        assert postage(lender).bought
        assert (await stage.ret("78")).postage == ()
        assert len(source.live()) == 1

    async def test_a_look_at_the_lender_takes_nothing_back(self, stage):
        """The unit changes hands while Amazon is read for the return that gave it up."""
        await stage.sent()
        await cancel_return(stage)
        await stage.work()
        await stage.submit(a_line("201"), return_id="78")
        await stage.step("78")

        async def take_over() -> None:
            await stage.step("78")  # its label request is read again: the last reading is hours old
            stage.network.inspect((await stage.step("78")).units[0], "Sellable")

        lender = await stage.ret()
        stage.clock.advance(lender.amazon_due_at - stage.clock.now())
        stage.network.meanwhile("order", take_over)
        await stage.step()

        assert [unit.standing for unit in (await stage.ret()).units] == [UnitState.REMOVED]
        assert stage.metrics.troubles["bug"] == 0


class TestCallsOfUnknownEnd:
    async def test_a_process_call_is_remembered_through_a_further_request(self, stage):
        """A label request that comes and goes does not make the portal process the return a second time."""
        await stage.sent()
        stage.portal.process_after = 120.0
        await stage.inspect("Sellable")
        await stage.step_to(State.SETTLING)
        await stage.step()
        stage.portal.fail("process", Unavailable("timed out"), after=True)
        await stage.step()
        stage.portal.ask(a_portal_request("q2", return_id="77", skus=("SOCK",)))
        stage.portal.withdraw("q2")
        await stage.tell(RequestIssued(return_id="77", request_id="q2"))

        await stage.reach(State.CLOSED)
        assert len(stage.portal.returns["77"].records) == 1

    async def test_a_label_that_may_be_out_is_not_given_back(self, open_with):
        """Its delivery had its effect, and the portal cannot be read for so long that mcfd gives up."""
        stage, source = await _given_up_after_its_delivery(open_with)
        await stage.pass_time(DAY)

        ret = await stage.ret()
        assert [request.asked for request in ret.requests] == [RequestState.DELIVERED]
        assert len(source.live()) == len(stage.portal.labels) == 1
        await stage.operator.retry("77", "ann")
        assert (await stage.ret()).state is State.AWAITING_INSPECTION

    async def test_a_label_that_may_be_out_outlives_a_further_request(self, open_with):
        """The portal shows it under an address of its own, and asks for another label meanwhile."""
        stage, source = await buying(open_with)
        stage.ship(SOCK=1, CAP=1)
        await stage.submit(*TWO, request=a_portal_request("q1", return_id="77", skus=("SOCK",)))
        await stage.step_to(State.LABEL_READY)
        stage.portal.fail("deliver_label", Unavailable("timed out"), after=True)
        await stage.step()
        stage.portal.returns["77"].label_urls[:] = ["https://cdn.test/x.pdf"]
        stage.portal.ask(a_portal_request("q2", return_id="77", skus=("CAP",)))
        await stage.tell(RequestIssued(return_id="77", request_id="q2"))
        await stage.pass_time(HOUR)

        assert {request.asked for request in (await stage.ret()).requests} == {RequestState.DELIVERED}
        assert len(source.live()) == len(source.bought())

    async def test_a_retried_delivery_of_unknown_end_keeps_its_label(self, open_with):
        """A person sends it back to work: the label that the shopper may hold is looked for, not made anew."""
        stage, source = await _given_up_after_its_delivery(open_with)
        await stage.operator.retry("77", "ann")
        await stage.pass_time(HOUR)

        assert [request.asked for request in (await stage.ret()).requests] == [RequestState.DELIVERED]
        assert stage.portal.requests["q77"].status is RequestStatus.FULFILLED
        assert len(source.bought()) == len(source.live()) == len(stage.portal.labels) == 1

    async def test_a_delivery_that_may_still_arrive_is_waited_for(self, stage):
        """After a lost answer the portal is read twice, some seconds apart, before the label is posted once more."""
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step_to(State.LABEL_READY)
        stage.portal.fail("deliver_label", Unavailable("timed out"))
        await stage.step()
        ret = await stage.step()
        assert ret.due_at >= stage.clock.now() + 5
        assert stage.portal.count("deliver_label") == 1

        stage.clock.advance(5)
        assert (await stage.step()).label_out
        assert len(stage.portal.labels) == 1

    async def test_every_delivery_of_unknown_end_is_waited_for(self, stage):
        """Not the first alone: between two posts of a label there are always some seconds, and two readings."""
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step_to(State.LABEL_READY)
        posts, deliver = [], stage.portal.deliver_label

        async def noted(*arguments):
            posts.append(stage.clock.now())
            return await deliver(*arguments)

        stage.portal.deliver_label = noted
        stage.portal.fail("deliver_label", Unavailable("timed out"), times=3)
        await stage.pass_time(HOUR)

        assert len(posts) == 4
        assert all(later - earlier >= 5 for earlier, later in pairwise(posts))

    async def test_a_refused_delivery_is_no_unclear_one(self, stage):
        """The portal says no to a label: after a retry the label is made anew."""
        stage.ship(SOCK=1, CAP=1)
        await stage.submit(*TWO, request=a_portal_request("q1", return_id="77", skus=("SOCK",)))
        await stage.reach(State.AWAITING_INSPECTION)
        stage.portal.ask(a_portal_request("q2", return_id="77", skus=("CAP",)))
        await stage.tell(RequestIssued(return_id="77", request_id="q2"))
        await stage.step_to(State.LABEL_READY)
        stage.portal.fail("deliver_label", Refused("HTTP_422", "carrier is too long"))
        await stage.reach(State.STUCK)
        await stage.operator.retry("77", "ann")

        assert (await stage.ret()).request("q2").label is None

    async def test_a_unit_that_is_asked_for_anew_stays_in_doubt(self, stage):
        """The create call ended unclear, and another label request takes the first one's place."""
        stage.ship(SOCK=1)
        stage.network.read_lag = 30
        stage.network.fail("create_return", Unavailable("timed out"), after=True)
        await stage.submit()
        await stage.work()
        stage.portal.withdraw("q77")
        stage.portal.ask(a_portal_request("q2", return_id="77", skus=("SOCK",)))
        await stage.tell(RequestIssued(return_id="77", request_id="q2"))
        await stage.tell(RequestCancelled(return_id="77", request_id="q77"))
        stage.network.fail("create_return", Refused("InvalidInput", "already requested"))
        await stage.pass_time(2 * HOUR)

        assert (await stage.unit()).standing is UnitState.AUTHORIZED
        assert stage.portal.requests["q2"].errors == ()

    async def test_doubts_about_a_withdrawn_request_are_not_the_next_one_s(self, stage):
        """Of the same order: the unit of the next request is asked for, not taken for one that Amazon does not list."""
        stage.ship(SOCK=1, CAP=1)
        await stage.submit(*TWO, request=a_portal_request("q1", return_id="77", skus=("SOCK",)))
        stage.network.silent_answers, stage.network.read_lag = 1, 300
        while (ret := await stage.step()).verifications < 1:
            stage.clock.advance(max(0.0, ret.due_at - stage.clock.now()))
        stage.portal.ask(a_portal_request("q2", return_id="77", skus=("CAP",)))
        await stage.tell(RequestIssued(return_id="77", request_id="q2"))
        stage.portal.withdraw("q1")
        await stage.tell(RequestCancelled(return_id="77", request_id="q1"))
        await stage.pass_time(HOUR)

        assert (await stage.unit("2")).standing is UnitState.AUTHORIZED

    async def test_a_unit_whose_return_was_cancelled_unheard_is_asked_about(self, stage):
        """The webhook of the cancellation is lost, and another return asks for the unit: the portal is read first."""
        await stage.sent()
        stage.portal.set_state("77", PortalState.CANCELLED)
        await stage.submit(a_line("201"), return_id="78")
        await stage.pass_time(300)

        assert (await stage.unit("201", "78")).standing is UnitState.AUTHORIZED
        assert stage.portal.requests["q78"].errors == ()

    async def test_a_unit_that_another_return_keeps_is_refused_within_the_minute(self, stage):
        """The other return stands as it did: nothing is left to return."""
        await stage.sent()
        await stage.submit(a_line("201"), return_id="78")
        await stage.pass_time(60)

        assert (await stage.unit("201", "78")).standing is UnitState.NOT_RETURNABLE
        assert len(stage.portal.requests["q78"].errors) == 1

    @pytest.mark.parametrize("limited", [True, False], ids=["without effect", "accepted"])
    async def test_a_unit_that_is_withdrawn_while_amazon_is_asked_can_be_asked_for_again(self, stage, limited):
        """Its return is cancelled meanwhile. What became of the call is known, so another return may have the unit."""
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step()
        await stage.step()
        create = stage.network.create_return

        async def overtaken(order_id, units):
            stage.network.create_return = create
            await cancel_return(stage)
            if limited:
                raise RateLimited("too many")
            return await create(order_id, units)

        stage.network.create_return = overtaken
        assert (await stage.step()).state is State.CANCELLED
        await stage.pass_time(60)
        await stage.submit(a_line("201"), return_id="78")
        await stage.pass_time(HOUR)

        assert (await stage.unit("201", "78")).standing is UnitState.AUTHORIZED
        assert len(stage.network.items(ORDER)) == 1

    async def test_no_label_is_bought_to_be_given_back(self, open_with):
        """The return is cancelled while the purchase is turned away: nothing was bought, and nothing is."""
        stage, source = await buying(open_with)
        stage.ship(SOCK=1)
        buy = source.buy

        async def overtaken(_body, _key):
            source.buy = buy
            stage.portal.withdraw("q77")
            await stage.tell(RequestCancelled(return_id="77", request_id="q77"))
            raise RateLimited("too many")

        source.buy = overtaken
        await stage.submit()
        await stage.pass_time(HOUR)

        assert (await stage.ret()).state is State.CANCELLED
        assert source.bought() == []

    async def test_doubts_about_one_order_are_not_another_s(self, stage):
        """A create call that was never made is not taken for one that was made before."""
        stage.ship("5001", SOCK=1, CAP=1)
        stage.network.add(replace(an_order("5002", a_shipment("S2", CAP=1)), displayable_order_id="5001"))
        stage.ship("5001", SOCK=1)
        await stage.submit(*TWO, request=a_portal_request("q1", return_id="77", skus=("SOCK",)))
        stage.portal.ask(a_portal_request("q2", return_id="77", skus=("CAP",)))
        await stage.tell(RequestIssued(return_id="77", request_id="q2"))
        for _ in range(3):
            await stage.step()
        await stage.index.round()
        stage.network.silent_answers, stage.network.read_lag = 1, 300
        while (ret := await stage.step()).verifications < 2:
            stage.clock.advance(max(0.0, ret.due_at - stage.clock.now()))
        stage.portal.withdraw("q1")
        await stage.tell(RequestCancelled(return_id="77", request_id="q1"))
        await stage.pass_time(HOUR)

        assert (await stage.unit("2")).standing is UnitState.AUTHORIZED
        assert stage.portal.requests["q2"].errors == ()

    async def test_a_refusal_after_an_unclear_create_call_is_read_back(self, stage):
        """Amazon refuses the repeated call as a whole: what the first one did is looked for before that counts."""
        stage.ship(SOCK=1)
        stage.network.read_lag = 30
        stage.network.fail("create_return", Unavailable("timed out"), after=True)
        await stage.submit()
        await stage.work()
        stage.network.fail("create_return", Refused("InvalidInput", "already requested"))
        await stage.pass_time(HOUR)

        assert (await stage.unit()).standing is UnitState.AUTHORIZED
        assert len(stage.network.items(ORDER)) == 1


class TestTroubleThatStaysSmall:
    async def test_a_refused_note_keeps_no_other(self, stage):
        """The portal refuses the words of an inspection: those that say why it is flagged are written."""
        await stage.sent()
        await stage.inspect("CustomerDamaged")
        write = stage.portal.write_note

        async def picky(return_id: str, text: str) -> None:
            if "inspected" in text:
                raise Refused("HTTP_422", "not these words")
            await write(return_id, text)

        stage.portal.write_note = picky
        await stage.pass_time(DAY)

        assert any("Discrepancy" in note for note in notes(stage))
        assert stage.metrics.troubles["write_notes_refused"] == 1

    async def test_a_finding_is_told_although_the_verdict_must_wait(self, stage):
        """The portal does not say how the return stands: what Amazon found is on its timeline within minutes."""
        await stage.sent()
        await stage.inspect("CustomerDamaged")
        await stage.step_to(State.INSPECTED)
        stage.portal.set_state("77", PortalState.UNKNOWN)
        await stage.pass_time(HOUR)

        assert any("inspected" in note for note in notes(stage))
        assert (await stage.ret()).state is State.INSPECTED

    async def test_a_label_that_cannot_be_given_back_holds_up_nothing(self, open_with):
        """Amazon's answer to the void is never readable: the units are looked at and noted all the same."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.fail("void", UNREADABLE, times=1000)
        await cancel_return(stage)
        await stage.pass_time(2 * DAY)
        await stage.inspect("CustomerDamaged")
        await stage.pass_time(8 * DAY)

        assert postage(await stage.ret()).void is Void.KEPT
        assert any("inspected" in note for note in notes(stage))

    async def test_time_in_which_mcfd_was_down_is_forgiven_even_if_the_first_step_fails(self, open_with):
        """An hour is left for the match, although the first reading after the start cannot be read."""
        stage = await open_with(policy=replace(PAGE, hold_unmatched=False))
        await stage.submit()
        await stage.step()
        await stage.step()
        stage.clock.advance(2 * HOUR)
        await stage.restart()
        stage.network.fail("order", UNREADABLE)
        await stage.pass_time(0.5 * HOUR)

        assert (await stage.ret()).state is State.RECEIVED

    async def test_a_request_that_is_refused_right_after_a_pause_is_asked_for_again(self, stage):
        """The portal does not know a label request yet, and mcfd was down for longer than it may take."""
        stage.ship(SOCK=1)
        await stage.tell(RequestIssued(return_id="77", request_id="q77"))
        await stage.step()
        stage.clock.advance(2 * HOUR)
        await stage.restart()

        assert (await stage.step()).state is State.RECEIVED

    async def test_a_neighbour_s_look_takes_no_failures_back(self, stage):
        """Another return of the same order is read: what cannot be read of this one needs a person all the same."""
        stage.ship(SOCK=1, CAP=1)
        await stage.submit(a_line("1", "SOCK"), return_id="77")
        await stage.submit(a_line("2", "CAP"), return_id="78")
        await stage.reach(State.AWAITING_INSPECTION, return_id="77")
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        details = stage.portal.details

        async def unreadable(return_id, lane):
            if return_id == "78":
                raise UNREADABLE
            return await details(return_id, lane)

        stage.portal.details = unreadable
        await stage.tell(ReturnChanged(return_id="78", state=PortalState.CLOSED), return_id="78")

        await stage.reach(State.STUCK, within=2 * DAY, return_id="78")

    async def test_no_label_is_delivered_for_a_return_that_was_closed(self, stage):
        """Loop closes the return when its label is ready: the hint is read first."""
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step_to(State.LABEL_READY)
        stage.portal.set_state("77", PortalState.CLOSED, was_processed=True)
        await stage.tell(ReturnChanged(return_id="77", state=PortalState.CLOSED))
        await stage.work()

        assert (await stage.ret()).state is State.CLOSED
        assert not stage.portal.labels

    async def test_a_cancelled_return_is_not_told_that_it_expired(self, stage):
        """Its label is out and nothing ever comes: that it was cancelled is on the timeline, and enough."""
        await stage.sent()
        await cancel_return(stage)
        await stage.reach(State.CANCELLED, within=60 * DAY)
        await stage.work()

        assert not any("expired" in note for note in notes(stage))

    async def test_a_removed_shop_costs_one_look_an_hour(self, stage):
        """After a month in which mcfd was down, too."""
        await stage.sent()
        del stage.contexts["acme"]
        stage.clock.advance(30 * DAY)

        assert (await stage.step()).due_at > stage.clock.now()
