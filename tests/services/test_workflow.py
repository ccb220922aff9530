"""Every way a step can fail, and who must act next."""

import asyncio
from itertools import pairwise

import pytest

from daemon.domain.portal import PortalState, RequestCancelled, RequestIssued, ReturnChanged
from daemon.domain.returns import State
from daemon.errors import (
    ContractBroken,
    CredentialsRefused,
    RateLimited,
    Refused,
    StoreUnavailable,
    Unavailable,
)
from daemon.ports.vendors import Lane
from tests.services.stage import DAY, HOUR, ORDER
from tests.support.builders import a_line, a_portal_request

pytestmark = pytest.mark.parametrize("stage_store", ["sqlite", "postgresql"], indirect=True)


class TestTime:
    @pytest.mark.slow
    @pytest.mark.parametrize("error", [Unavailable("down"), RateLimited("429"), CredentialsRefused("401")])
    async def test_a_vendor_that_answers_nobody_costs_no_attempt(self, stage, error):
        """However long it lasts, the return waits and goes on."""
        stage.ship(SOCK=1)
        await stage.submit()
        stage.portal.outage = error
        await stage.pass_time(6 * HOUR)
        ret = await stage.ret()
        assert (ret.state, ret.attempts) == (State.RECEIVED, 0)

        stage.portal.outage = None
        await stage.reach(State.AWAITING_INSPECTION, within=600.0)

    async def test_while_a_shopper_waits_an_outage_is_probed_every_half_minute(self, stage):
        """A lost connection is tried again within a second, and whoever comes back is found within half a minute."""
        await stage.submit()
        start = stage.clock.now()
        stage.portal.outage = Unavailable("down")
        await stage.pass_time(300.0)

        tries = sorted({call.at - start for call in stage.portal.calls})
        pauses = [b - a for a, b in pairwise(tries)]
        assert pauses[:6] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0]
        assert set(pauses[6:]) == {30.0}

    @pytest.mark.slow
    async def test_while_nobody_waits_an_outage_is_probed_ever_more_rarely(self, stage):
        """The pauses double up to five minutes."""
        await stage.sent()
        await stage.pass_time(HOUR)
        stage.network.outage = Unavailable("down")
        start, before = stage.clock.now(), len(stage.network.calls)
        await stage.pass_time(14 * HOUR)

        tries = sorted({call.at - start for call in stage.network.calls[before:]})
        pauses = [b - a for a, b in pairwise(tries)]
        assert pauses[:9] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]
        assert set(pauses[9:]) == {300.0}

    async def test_a_vendor_that_says_when_is_taken_at_its_word(self, stage):
        """`retry_after` is the pause."""
        await stage.submit()
        start = stage.clock.now()
        stage.portal.fail("label_request", RateLimited("429", retry_after=17.0))
        await stage.work()

        assert (await stage.ret()).due_at == start + 17.0

    async def test_refused_credentials_park_the_return(self, stage):
        """One look per five minutes while the vendor does not accept who we are."""
        await stage.submit()
        stage.portal.outage = CredentialsRefused("401")
        await stage.pass_time(HOUR)

        assert stage.portal.count("label_request") == 13

    async def test_an_answer_ends_the_count_of_failures(self, stage):
        """After the first answer the pauses begin anew."""
        stage.ship(SOCK=1)
        await stage.submit()
        stage.portal.fail("label_request", Unavailable("down"), times=4)
        await stage.reach(State.AWAITING_INSPECTION, within=60.0)

        assert (await stage.ret()).transient_failures == 0


class TestProgrammers:
    @pytest.mark.parametrize("error", [ContractBroken("orders[0].id is missing"), RuntimeError("a bug")])
    async def test_an_unreadable_answer_or_a_bug_costs_one_attempt(self, stage, error):
        """It is tried again later; the next answer that can be read takes the count back."""
        stage.ship(SOCK=1)
        await stage.submit()
        stage.network.fail("order", error, times=3)
        await stage.step()
        await stage.step()
        assert (await stage.ret()).attempts == 1

        await stage.reach(State.AWAITING_INSPECTION, within=600.0)
        assert (await stage.ret()).attempts == 0

    async def test_eight_of_them_need_a_person(self, stage):
        """STUCK with the reason; one note and one label request error, for no label is out."""
        stage.ship(SOCK=1)
        await stage.submit()
        stage.network.fail("order", ContractBroken("orders[0].id is missing"), times=99)
        ret = await stage.reach(State.STUCK, within=HOUR)
        await stage.pass_time(DAY)

        assert "orders[0].id is missing" in ret.problem
        assert stage.network.count("order") == 8
        assert len(stage.portal.requests["q77"].errors) == 1
        assert len([n for n in stage.portal.returns["77"].notes if "orders[0].id" in n]) == 1

    @pytest.mark.parametrize("hint", [False, True])
    async def test_only_failures_in_a_row_count(self, stage, hint):
        """A look, or a reading, that now and then cannot be read has its attempts anew after each that can."""
        await stage.sent()
        for _ in range(12):
            stage.portal.fail("details", ContractBroken("unreadable"))
            stage.network.fail("order", ContractBroken("unreadable"))
            if hint:
                await stage.tell(ReturnChanged(return_id="77", state=PortalState.CLOSED))
            await stage.pass_time(DAY)

        ret = await stage.ret()
        assert (ret.state, ret.attempts) == (State.AWAITING_INSPECTION, 0)

    async def test_the_operator_chooses_how_many(self, open_with):
        """`attempts` is a knob."""
        stage = await open_with(attempts=2)
        stage.ship(SOCK=1)
        await stage.submit()
        stage.network.fail("order", ContractBroken("x"), times=99)
        await stage.reach(State.STUCK, within=HOUR)

        assert stage.network.count("order") == 2

    async def test_a_bug_is_counted_and_its_words_are_kept_from_the_merchant(self, stage):
        """An alarm, and a problem that names the kind of error but not its text, which may hold anything."""
        stage.ship(SOCK=1)
        await stage.submit()
        stage.network.fail("order", RuntimeError("private words"), times=99)
        ret = await stage.reach(State.STUCK, within=HOUR)
        await stage.work()

        assert stage.metrics.troubles["bug"] == 8
        told = (ret.problem, *stage.portal.requests["q77"].errors, *stage.portal.returns["77"].notes)
        assert not any("private words" in text for text in told)

    async def test_a_stuck_return_whose_label_is_out_gets_a_note_only(self, open_with):
        """The shopper has a label: no error is posted for it, and its parcel is still watched."""
        stage = await open_with(attempts=1)
        await stage.sent()
        stage.network.fail("order", ContractBroken("x"))
        await stage.reach(State.STUCK)
        await stage.work()
        assert stage.portal.requests["q77"].errors == ()
        assert len([n for n in stage.portal.returns["77"].notes if "could not be followed" in n]) == 1

        await stage.inspect()
        await stage.pass_time(8 * DAY)
        assert any("Amazon inspected" in note for note in stage.portal.returns["77"].notes)

    async def test_neighbours_go_on(self, stage):
        """One return's trouble is not another's."""
        stage.ship(SOCK=2)
        stage.ship("6001", CAP=1)
        await stage.submit(a_line("1", "CAP"), return_id="1", provider_order_id="6001")
        await stage.submit(a_line("2"), return_id="2")
        real = stage.network.order

        async def order(order_id: str, lane: Lane):
            if order_id == "6001":
                raise ContractBroken("unreadable")
            return await real(order_id, lane)

        stage.network.order = order
        await stage.reach(State.AWAITING_INSPECTION, return_id="2", within=60.0)
        assert (await stage.ret("1")).state is State.RECEIVED

    async def test_a_finished_return_is_left_in_peace(self, open_with):
        """A late look that always fails is no reason to wake anybody at a return that is over."""
        stage = await open_with(attempts=3)
        await stage.sent()
        await stage.inspect()
        await stage.reach(State.CLOSED)
        reads = stage.network.count("order")
        real, stage.network.order = stage.network.order, None
        await stage.pass_time(20 * DAY)
        stage.network.order = real

        assert (await stage.ret()).state is State.CLOSED
        assert 3 <= stage.metrics.troubles["bug"] <= 9
        assert stage.network.count("order") == reads


class TestPeople:
    async def test_a_refusal_for_good_needs_a_person_at_once(self, stage):
        """No attempt is spent on what asking again will not change."""
        await stage.sent()
        await stage.inspect("Defective")
        stage.portal.fail("flag", Refused("UNPROCESSABLE", "not this one"))
        ret = await stage.reach(State.STUCK)

        assert "not this one" in ret.problem
        assert stage.portal.count("flag") == 1

    async def test_a_retried_return_goes_on_where_it_was(self, stage):
        """After a person put things right the verdict is made."""
        await stage.sent()
        await stage.inspect("Sellable")
        stage.portal.fail("details", Refused("NOT_FOUND", "No return found"), times=12)
        await stage.reach(State.STUCK, within=2 * DAY)

        await stage.operator.retry("77", "ann")
        await stage.reach(State.CLOSED)
        assert len(stage.portal.returns["77"].records) == 1

    async def test_a_retried_label_is_asked_for_anew(self, stage):
        """A request that was answered with an error is read and answered again; Amazon's items are adopted."""
        stage.ship(SOCK=1)
        await stage.submit()
        stage.portal.fail("deliver_label", Refused("UNPROCESSABLE", "later"))
        await stage.reach(State.STUCK)
        await stage.work()

        await stage.operator.retry("77", "ann")
        await stage.reach(State.AWAITING_INSPECTION)
        assert len(stage.network.items(ORDER)) == 1
        assert len(stage.portal.labels) == 1

    async def test_a_person_may_close_it(self, stage):
        """`mcfd resolve` ends a stuck return without a call to anybody but the last look."""
        stage.ship(SOCK=1)
        await stage.submit()
        stage.portal.fail("deliver_label", Refused("UNPROCESSABLE", "later"))
        await stage.reach(State.STUCK)
        await stage.work()

        await stage.operator.resolve("77", "ann")
        assert (await stage.ret()).state is State.CLOSED

    async def test_loop_may_close_it(self, stage):
        """A stuck return that a person closes in Loop is closed here, too."""
        stage.ship(SOCK=1)
        await stage.submit()
        stage.portal.fail("deliver_label", Refused("UNPROCESSABLE", "later"))
        await stage.reach(State.STUCK)
        stage.portal.set_state("77", PortalState.CLOSED)
        await stage.tell(ReturnChanged(return_id="77", state=PortalState.CLOSED))
        await stage.work()

        assert (await stage.ret()).state is State.CLOSED


class TestStore:
    async def test_a_failing_store_is_the_callers_to_wait_for(self, stage):
        """A step that cannot be saved raises StoreUnavailable and leaves the return as it was."""
        await stage.submit()
        before = await stage.ret()
        stage.store.fail(StoreUnavailable("disk full"))
        with pytest.raises(StoreUnavailable):
            await stage.step()

        assert await stage.ret() == before

    async def test_an_intention_that_cannot_be_saved_makes_no_call(self, stage):
        """Amazon is asked for nothing that we could not remember having asked for."""
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step()
        await stage.step()
        stage.store.fail(StoreUnavailable("disk full"))
        with pytest.raises(StoreUnavailable):
            await stage.step()

        assert stage.network.count("create_return") == 0


class TestRaces:
    async def test_whoever_saves_second_reads_again(self, stage):
        """Two steps of one return at the same time: one label, one return item, no error."""
        stage.ship(SOCK=1)
        await stage.submit()
        for _ in range(8):
            await asyncio.gather(stage.step(), stage.step())
        await stage.work()

        assert (await stage.ret()).state is State.AWAITING_INSPECTION
        assert len(stage.network.items(ORDER)) == 1
        assert len(stage.portal.labels) == 1
        assert stage.metrics.troubles["bug"] == 0

    async def test_a_refusal_of_what_is_owed_no_more_stops_nothing(self, stage):
        """A label refused because its request was withdrawn and issued anew meanwhile: the new request gets it."""
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step_to(State.LABEL_READY)

        async def reissue():
            stage.portal.withdraw("q77")
            stage.portal.ask(a_portal_request("q2"))
            await stage.tell(RequestCancelled(return_id="77", request_id="q77"))
            await stage.tell(RequestIssued(return_id="77", request_id="q2"))

        stage.portal.meanwhile("deliver_label", reissue)
        await stage.reach(State.AWAITING_INSPECTION)

        assert len(stage.portal.labels) == 1
        assert len(stage.network.items(ORDER)) == 1

    async def test_a_refusal_after_a_cancel_delays_nothing(self, stage):
        """A label refused because its request was withdrawn meanwhile: the note about the cancel is written at once."""
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step_to(State.LABEL_READY)

        async def withdraw():
            stage.portal.withdraw("q77")
            await stage.tell(RequestCancelled(return_id="77", request_id="q77"))

        stage.portal.meanwhile("deliver_label", withdraw)
        await stage.work()

        assert (await stage.ret()).state is State.CANCELLED
        assert any("Cancelled in Loop" in note for note in stage.portal.returns["77"].notes)

    async def test_a_hint_during_a_step_is_not_lost(self, stage):
        """A webhook that comes while Amazon is read is followed afterwards."""
        await stage.sent()
        closed = ReturnChanged(return_id="77", state=PortalState.CLOSED)
        stage.portal.set_state("77", PortalState.CLOSED, was_processed=True)
        stage.network.meanwhile("order", lambda: stage.tell(closed))
        await stage.pass_time(DAY)

        assert any("Processed before" in note for note in stage.portal.returns["77"].notes)


class TestRemovedShop:
    @pytest.mark.slow
    async def test_its_returns_are_parked_without_a_call(self, stage):
        """A shop that left the configuration costs no call; the other shops go on."""
        await stage.sent()
        del stage.contexts["acme"]
        stage.network.calls.clear()
        stage.portal.calls.clear()
        await stage.pass_time(5 * DAY)

        assert stage.network.calls == stage.portal.calls == []
        assert (await stage.ret()).state is State.AWAITING_INSPECTION

    @pytest.mark.slow
    async def test_it_comes_back_with_its_returns(self, stage):
        """Put back into the configuration, its returns go on, and the time they were parked does not count."""
        stage.ship(SOCK=1)
        stage.network.authorization_delay = 60.0
        await stage.submit()
        await stage.reach(State.AWAITING_LABEL)
        context = stage.contexts.pop("acme")
        await stage.pass_time(1.5 * DAY)
        stage.contexts["acme"] = context

        await stage.reach(State.AWAITING_INSPECTION, within=2 * HOUR)
