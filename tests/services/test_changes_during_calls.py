"""What is decided or heard while a call is under way, or after its answer was lost, is neither undone nor done again."""

from dataclasses import replace

import pytest

from daemon.domain.portal import PortalState, ProcessingTrouble, ReturnChanged
from daemon.domain.returns import RequestState, State, Transit, Void
from daemon.errors import OperatorError, Unavailable
from tests.services.parcels import (
    BOUGHT,
    PAGE,
    actions,
    ask_again,
    buying,
    cancel_request,
    errors,
    judged,
    notes,
    postage,
    tell_state,
)
from tests.services.stage import DAY, HOUR, ORDER
from tests.support.builders import a_line, a_portal_request

FAILED = ProcessingTrouble(return_id="77")


class TestLabelsThatAreGivenBack:
    @pytest.mark.parametrize("after", [False, True], ids=["before Amazon sold it", "before its answer came"])
    @pytest.mark.parametrize("whole", [False, True], ids=["the label request", "the whole return"])
    async def test_a_cancel_during_the_purchase(self, open_with, whole, after):
        """A label that is bought while its return is cancelled is given back all the same."""
        stage, source = await buying(open_with)
        stage.ship(SOCK=1)

        async def cancel() -> None:
            await cancel_request(stage)
            if whole:
                await tell_state(stage, PortalState.CANCELLED)

        source.meanwhile("buy", cancel, after=after)
        await stage.submit()
        await stage.pass_time(3 * DAY)

        assert (await stage.ret()).state is State.CANCELLED
        assert source.live() == []

    async def test_a_cancel_while_the_carrier_is_asked(self, open_with):
        """The carrier's answer says where the parcel is, not that its label is wanted again."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.meanwhile("track", lambda: cancel_request(stage))

        await stage.pass_time(3 * DAY)

        assert postage(await stage.ret()).void is Void.DONE
        assert source.live() == []

    async def test_a_label_that_the_portal_shows_under_another_address(self, open_with):
        """A request fulfilled by a call whose answer was lost holds our label, also if the portal serves a copy."""
        stage, source = await buying(open_with)
        stage.ship(SOCK=1)
        stage.portal.fail("deliver_label", Unavailable("time-out"), after=True)
        await stage.submit()
        await stage.step_to(State.LABEL_READY)
        await stage.step()
        stage.portal.returns["77"].label_urls[:] = ["https://cdn.loop.test/copy.pdf"]

        await stage.reach(State.AWAITING_INSPECTION)

        assert len(source.live()) == 1
        assert [r.asked for r in (await stage.ret()).requests] == [RequestState.DELIVERED]
        assert stage.portal.count("deliver_label") == 1


class TestOneOutcome:
    async def test_a_label_request_while_the_portal_processes(self, stage):
        """One more label request does not make the outcome be asked for a second time."""
        stage.portal.process_after = 6 * HOUR
        await stage.sent()
        await stage.inspect()
        await stage.reach(State.PROCESSING)
        await ask_again(stage, "q2")

        await stage.pass_time(HOUR)
        assert (await stage.ret()).state is State.PROCESSING
        await stage.reach(State.CLOSED)

        assert actions(stage) == {"process": 1}

    async def test_a_label_request_after_a_person_lifted_the_flag(self, stage):
        """What a person took out of review is not put back by one more label request."""
        await stage.sent()
        await stage.inspect("Defective")
        await stage.reach(State.IN_REVIEW)
        await stage.work()
        stage.portal.set_state("77", PortalState.OPEN, flagged=False)
        await stage.tell(ReturnChanged(return_id="77", state=PortalState.OPEN))
        await stage.work()

        await ask_again(stage, "q2")
        await stage.pass_time(2 * DAY)

        assert (await stage.ret()).state is State.IN_REVIEW
        assert actions(stage) == {"flag": 1}

    async def test_a_failure_that_is_heard_before_the_answer(self, open_with):
        """That a removal failed may be announced while the call is under way: the return is flagged."""
        stage = await open_with(policy=judged(PAGE, auto_process=True))
        await stage.sent(a_line("1", "SOCK"), a_line("2", "CAP"), has_exchange=True)
        await stage.inspect("Sellable")
        await stage.inspect("Defective", line="2")

        async def fail() -> None:
            stage.portal.set_state("77", PortalState.OPEN, was_processed=False)
            await stage.tell(FAILED)

        stage.portal.meanwhile("remove", fail, after=True)
        await stage.reach(State.IN_REVIEW)

        assert actions(stage) == {"remove": 1, "flag": 1}
        assert notes(stage, "could not be processed")

    async def test_the_same_failure_of_a_second_try(self, stage):
        """Two failures in the same words are the same bytes: the state tells that the second is news."""
        stage.portal.process_after = 10 * DAY
        await stage.sent()
        await stage.inspect()
        await stage.reach(State.PROCESSING)
        await stage.tell(FAILED, digest="same")
        await stage.reach(State.IN_REVIEW)
        stage.portal.set_state("77", PortalState.OPEN, flagged=False)
        await stage.operator.retry("77", "a person")
        await stage.reach(State.PROCESSING)

        assert await stage.tell(FAILED, digest="same") is False
        await stage.reach(State.IN_REVIEW)

        assert actions(stage) == {"process": 2, "flag": 2}


class TestEndedElsewhere:
    async def test_a_return_that_was_cancelled_while_its_order_was_unknown(self, stage):
        """Where the webhook is lost, the poll tells: Amazon is not asked to take back what nobody sends."""
        await stage.submit()
        await stage.pass_time(600)
        stage.portal.withdraw("q77")
        stage.portal.set_state("77", PortalState.CANCELLED)
        await stage.polls.returns()
        await stage.work()
        stage.ship(SOCK=1)

        await stage.pass_time(DAY)

        assert (await stage.ret()).state is State.CANCELLED
        assert stage.network.count("create_return") == 0

    async def test_a_return_that_has_expired_before_its_label(self, stage):
        """An old backlog of label requests makes no returns at Amazon for what nobody sends any more."""
        stage.ship(SOCK=1)
        await stage.submit(state=PortalState.EXPIRED)

        await stage.pass_time(DAY)

        assert (await stage.ret()).state is State.CLOSED
        assert stage.network.count("create_return") == 0


class TestRequestsOfTheirOwn:
    async def test_a_second_request_has_its_own_time(self, open_with):
        """A request that comes late in the first one's wait is not refused minutes later."""
        stage = await open_with(policy=replace(PAGE, hold_unmatched=False))
        first = a_portal_request("q77", return_id="77", skus=("SOCK",))
        await stage.submit(a_line("1", "SOCK"), a_line("2", "CAP"), request=first)
        await stage.pass_time(50 * 60)
        await ask_again(stage, "q2", a_line("2", "CAP"))

        await stage.pass_time(30 * 60)
        assert errors(stage, "q2") == ()
        await stage.pass_time(HOUR)
        assert len(errors(stage, "q2")) == 1

    async def test_a_refused_return_can_be_tried_again(self, open_with):
        """Once the order is known after all, a person sends the closed return back to work, and it gets its label."""
        stage = await open_with(policy=replace(PAGE, hold_unmatched=False))
        await stage.submit()
        await stage.reach(State.CLOSED)
        stage.ship(SOCK=1)

        await stage.operator.retry("77", "a person")
        await stage.reach(State.AWAITING_INSPECTION)

        assert len(stage.portal.labels) == 1

    async def test_a_return_that_ended_well_cannot_be_tried_again(self, stage):
        """There is nothing to retry, and the person is told so."""
        await stage.sent()
        await stage.inspect()
        await stage.reach(State.CLOSED)

        with pytest.raises(OperatorError, match="nothing to retry"):
            await stage.operator.retry("77", "a person")


async def test_one_return_s_looks_do_not_keep_another_s_parcel_from_being_followed(open_with):
    """Two returns on one order are read together, but each one's carrier is asked at its own times."""
    stage, source = await buying(open_with)
    stage.ship(ORDER, SOCK=1, CAP=1)
    for return_id, line in (("77", a_line("1", "SOCK")), ("78", a_line("2", "CAP"))):
        await stage.submit(line, return_id=return_id)
        await stage.reach(State.AWAITING_INSPECTION, return_id=return_id)
    first, second = [(await stage.ret(ref)).postage[0].authorization_id for ref in ("77", "78")]
    source.scan(Transit.DELIVERED, first)
    await stage.pass_time(13 * HOUR)
    source.scan(Transit.IN_TRANSIT, second)

    await stage.pass_time(DAY)

    assert [(await stage.ret(ref)).requests[0].transit for ref in ("77", "78")] == [
        Transit.DELIVERED,
        Transit.IN_TRANSIT,
    ]


async def test_a_bundle_is_insured_for_its_price(open_with):
    """The parts of a bundle share its price to the cent."""
    stage, source = await buying(open_with, policy=replace(BOUGHT, sku_map={"SET": {"SOCK": 2, "CAP": 1}}))
    stage.ship(SOCK=2, CAP=1)

    await stage.submit(replace(a_line("1", "SET"), price_cents=1000))
    await stage.reach(State.AWAITING_INSPECTION)

    assert [order.value_cents for order in source.orders] == [1000]
    assert sorted(u.price_cents for u in (await stage.ret()).units) == [333, 333, 334]
