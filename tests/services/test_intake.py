"""What a webhook or a row of a poll does to the stored returns."""

from dataclasses import replace

import pytest

from daemon.domain.portal import (
    PortalState,
    ProcessingTrouble,
    RequestCancelled,
    RequestIssued,
    RestockAsked,
    ReturnChanged,
)
from daemon.domain.returns import RequestState, State
from daemon.errors import StoreUnavailable, Unavailable
from daemon.ports.store import DeadLetter
from tests.services.stage import DAY, HOUR, ORDER
from tests.support.builders import a_line, a_portal_request

pytestmark = pytest.mark.parametrize("stage_store", ["sqlite", "postgresql"], indirect=True)

ISSUED = RequestIssued(return_id="77", request_id="q77")


class TestLabelRequests:
    async def test_a_new_request_opens_one_return_that_is_due_at_once(self, stage):
        """Hearing of an unknown label request stores one return in RECEIVED, due now, and wakes the services."""
        assert await stage.tell(ISSUED) is True

        ret = await stage.ret()
        assert (ret.state, ret.due_at, ret.created_at) == (State.RECEIVED, stage.clock.now(), stage.clock.now())
        assert [(r.request_id, r.asked) for r in ret.requests] == [("q77", RequestState.UNREAD)]
        assert stage.woken == 1
        assert stage.metrics.moves == [(None, State.RECEIVED)]

    async def test_a_repeated_delivery_only_brings_the_return_forward(self, stage):
        """The same delivery again is told apart, adds nothing, and makes a waiting return due now."""
        await stage.submit()
        await stage.tell(ISSUED, digest="same")
        await stage.work()
        waiting = await stage.ret()
        stage.clock.advance(1.0)
        assert waiting.due_at > stage.clock.now()

        assert await stage.tell(ISSUED, digest="same") is False

        ret = await stage.ret()
        assert ret.due_at == stage.clock.now()
        assert replace(ret, due_at=0.0, version=0) == replace(waiting, due_at=0.0, version=0)

    async def test_a_repeated_delivery_leaves_a_return_alone_whose_label_is_out(self, stage):
        """Loop's late repetitions do not make Amazon be read outside the schedule."""
        sent = await stage.sent()

        await stage.tell(ISSUED)

        assert await stage.ret() == sent

    async def test_another_request_of_a_known_return_is_added(self, stage):
        """A second label request belongs to the same return and sends it back to RECEIVED, to be read."""
        await stage.sent()

        await stage.tell(RequestIssued(return_id="77", request_id="q2"))

        ret = await stage.ret()
        assert ret.state is State.RECEIVED
        assert [(r.request_id, r.asked) for r in ret.requests] == [
            ("q77", RequestState.DELIVERED),
            ("q2", RequestState.UNREAD),
        ]
        assert ret.due_at == stage.clock.now()

    async def test_two_requests_of_one_return_get_a_label_each(self, stage):
        """Two label requests that share a return cover different lines, and each gets one label."""
        stage.ship(SOCK=1, CAP=1)
        await stage.submit(a_line("1", "SOCK"), a_line("2", "CAP"), request=a_portal_request("q1", skus=("SOCK",)))
        stage.portal.ask(a_portal_request("q2", skus=("CAP",)))
        await stage.tell(RequestIssued(return_id="77", request_id="q2"))

        await stage.reach(State.AWAITING_INSPECTION)

        ret = await stage.ret()
        assert {u.line_id: u.request_id for u in ret.units} == {"1": "q1", "2": "q2"}
        assert all(request.asked is RequestState.DELIVERED for request in ret.requests)
        assert len(stage.portal.labels) == 2
        assert len(stage.network.items(ORDER)) == 2


class TestCancelling:
    async def test_a_request_cancelled_before_its_label_ends_the_return(self, stage):
        """A label request withdrawn before Amazon was asked: CANCELLED, and no vendor hears of it again."""
        stage.ship(SOCK=1)
        await stage.submit()
        stage.portal.withdraw("q77")

        await stage.tell(RequestCancelled(return_id="77", request_id="q77"))
        await stage.pass_time(DAY)

        assert (await stage.ret()).state is State.CANCELLED
        assert stage.network.calls == []
        assert stage.portal.calls == []

    async def test_a_request_cancelled_after_the_authorization_is_noted(self, stage):
        """Amazon has no cancel: a return cancelled while it waits for its label gets a note and no label."""
        stage.ship(SOCK=1)
        stage.network.authorization_delay = HOUR
        await stage.submit()
        await stage.reach(State.AWAITING_LABEL)

        stage.portal.withdraw("q77")
        await stage.tell(RequestCancelled(return_id="77", request_id="q77"))
        await stage.pass_time(DAY)

        assert (await stage.ret()).state is State.CANCELLED
        assert stage.portal.labels == {}
        assert any("Cancelled in Loop" in note for note in stage.portal.returns["77"].notes)

    async def test_a_request_cancelled_after_its_label_is_still_watched(self, stage):
        """The shopper may send the parcel all the same: the inspection is awaited, and the cancel is noted once."""
        await stage.sent()

        for digest in ("first", "first", "second"):
            await stage.tell(RequestCancelled(return_id="77", request_id="q77"), digest=digest)
        await stage.work()

        assert (await stage.ret()).state is State.AWAITING_INSPECTION
        (request,) = (await stage.ret()).requests
        assert (request.asked, request.withdrawn) == (RequestState.DELIVERED, True)
        assert sum("Cancelled in Loop" in note for note in stage.portal.returns["77"].notes) == 1

    async def test_an_unknown_return_that_is_cancelled_is_not_opened(self, stage):
        """A cancel of a request that we never heard of is acknowledged and stores no return."""
        assert await stage.tell(RequestCancelled(return_id="77", request_id="q77")) is True

        assert await stage.store.read(lambda uow: uow.get("acme", "77")) is None

    async def test_a_cancel_that_overtakes_its_request_wins(self, stage):
        """Deliveries may come in the wrong order: the truth is read before anything is done."""
        stage.ship(SOCK=1)
        await stage.tell(RequestCancelled(return_id="77", request_id="q77"))
        await stage.submit()
        stage.portal.withdraw("q77")

        await stage.work()

        assert (await stage.ret()).state is State.CANCELLED
        assert stage.network.calls == []

    @pytest.mark.slow
    async def test_a_cancelled_return_that_is_asked_for_again_adopts_what_amazon_has(self, stage):
        """Cancelled and asked again: the return item that Amazon still expects is used, and none is added."""
        stage.ship(SOCK=1)
        stage.network.authorization_delay = HOUR
        await stage.submit()
        await stage.reach(State.AWAITING_LABEL)
        stage.portal.withdraw("q77")
        await stage.tell(RequestCancelled(return_id="77", request_id="q77"))
        await stage.work()

        stage.portal.ask(a_portal_request("q2"))
        await stage.tell(RequestIssued(return_id="77", request_id="q2"))
        await stage.reach(State.AWAITING_INSPECTION)

        assert len(stage.network.items(ORDER)) == 1
        assert stage.network.count("create_return") == 1
        assert [r.asked for r in (await stage.ret()).requests] == [RequestState.CANCELLED, RequestState.DELIVERED]


class TestOneUnitOfWork:
    async def test_a_failing_store_keeps_neither_the_delivery_nor_its_effect(self, stage):
        """When the commit fails, the same delivery is new to us the next time, and then it opens the return."""
        stage.store.fail(StoreUnavailable("disk full"))
        with pytest.raises(StoreUnavailable):
            await stage.tell(ISSUED, digest="same")
        assert await stage.store.read(lambda uow: uow.get("acme", "77")) is None
        assert stage.woken == 0

        assert await stage.tell(ISSUED, digest="same") is True
        assert (await stage.ret()).state is State.RECEIVED

    async def test_a_topic_that_asks_for_nothing_is_recorded_once(self, stage):
        """A delivery without a message for us changes no return, but its repetition is known."""
        assert await stage.tell(None, digest="same") is True
        assert await stage.tell(None, digest="same") is False

    async def test_a_dead_letter_is_kept_once(self, stage):
        """A delivery that nobody can read is kept, and its repetition is not kept twice."""
        letter = DeadLetter(shop="acme", digest="d", reason="no id", sealed=b"x", received_at=1.0)
        assert await stage.intake.keep_dead_letter(letter) is True
        assert await stage.intake.keep_dead_letter(letter) is False


class TestPolls:
    async def test_a_polled_request_opens_the_same_return_as_a_webhook(self, stage):
        """A row of the list of issued requests has the effect of the delivery that was lost."""
        await stage.tell(ISSUED)
        by_webhook = await stage.ret()

        await stage.intake.hear("other", [ISSUED])

        polled = await stage.ret(shop="other")
        assert replace(polled, shop="acme") == by_webhook

    async def test_a_row_that_is_polled_again_has_no_effect_at_all(self, stage):
        """An issued request stays in the list for as long as it waits; seeing it again wakes nobody."""
        await stage.submit()
        await stage.work()
        waiting, woken = await stage.ret(), stage.woken
        stage.clock.advance(1.0)

        await stage.intake.hear("acme", [ISSUED])

        assert await stage.ret() == waiting
        assert stage.woken == woken

    async def test_a_webhook_after_the_poll_opens_no_second_return(self, stage):
        """Whoever comes second finds the return and its request."""
        await stage.intake.hear("acme", [ISSUED])
        await stage.tell(ISSUED)

        assert len((await stage.ret()).requests) == 1


async def _in_state(stage, state):
    """Bring return 77 into that state by what the vendors do."""
    if state is State.RECEIVED:
        await stage.submit()
        return
    if state is State.AWAITING_LABEL:
        stage.network.authorization_delay = DAY
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.reach(state)
        return
    await stage.sent(plan="lose")
    if state is State.PROCESSING:
        await stage.inspect("Sellable")
    if state is State.IN_REVIEW:
        await stage.inspect("Defective")
    await stage.reach(state)


class TestHints:
    @pytest.mark.parametrize(
        ("state", "says", "told"),
        [
            (State.RECEIVED, PortalState.OPEN, False),
            (State.AWAITING_LABEL, PortalState.OPEN, False),
            (State.AWAITING_LABEL, PortalState.CLOSED, True),
            (State.AWAITING_LABEL, PortalState.CANCELLED, True),
            (State.AWAITING_INSPECTION, PortalState.OPEN, False),
            (State.AWAITING_INSPECTION, PortalState.REVIEW, False),
            (State.AWAITING_INSPECTION, PortalState.EXPIRED, False),
            (State.AWAITING_INSPECTION, PortalState.CLOSED, True),
            (State.AWAITING_INSPECTION, PortalState.CANCELLED, True),
            (State.PROCESSING, PortalState.OPEN, False),
            (State.PROCESSING, PortalState.REVIEW, True),
            (State.IN_REVIEW, PortalState.REVIEW, False),
            (State.IN_REVIEW, PortalState.OPEN, True),
            (State.IN_REVIEW, PortalState.CLOSED, True),
        ],
    )
    async def test_a_hint_is_followed_only_where_it_tells_something(self, stage, state, says, told):
        """A changed return is read at once when its new state is news to ours; all other changes cost no call."""
        await _in_state(stage, state)
        before = stage.portal.count("details")
        unheard = await stage.ret()

        await stage.tell(ReturnChanged(return_id="77", state=says))

        assert (await stage.ret()).needs_read is told
        if not told:
            assert await stage.ret() == unheard
            return
        await stage.step()
        assert stage.portal.count("details") == before + 1
        assert (await stage.ret()).needs_read is False

    async def test_a_hint_about_an_unknown_return_stores_nothing(self, stage):
        """Most of a shop's returns are none of ours."""
        await stage.tell(ReturnChanged(return_id="77", state=PortalState.CLOSED))

        assert await stage.store.read(lambda uow: uow.get("acme", "77")) is None

    async def test_a_hint_is_no_truth(self, stage):
        """A hint that says closed about a return that is open changes nothing but the time of reading."""
        await stage.sent()

        await stage.tell(ReturnChanged(return_id="77", state=PortalState.CLOSED))
        await stage.work()

        assert (await stage.ret()).state is State.AWAITING_INSPECTION

    async def test_the_end_of_what_was_asked_for_needs_no_reading(self, stage):
        """Loop signs that it has closed the return it was asked to process: that is all that a reading would say."""
        await _in_state(stage, State.PROCESSING)
        before = stage.portal.count("details")

        await stage.tell(ReturnChanged(return_id="77", state=PortalState.CLOSED))
        await stage.work()

        ret = await stage.ret()
        assert (ret.state, ret.needs_read, ret.deadline_at is not None) == (State.CLOSED, False, True)
        assert stage.portal.count("details") == before

    async def test_an_end_that_was_told_before_is_only_a_hint(self, stage):
        """The same bytes again, perhaps replayed by a stranger, prove nothing: the return is read."""
        await stage.sent(plan="lose")
        await stage.tell(ReturnChanged(return_id="77", state=PortalState.CLOSED), digest="closed")
        await stage.inspect("Sellable")
        await stage.reach(State.PROCESSING)

        await stage.tell(ReturnChanged(return_id="77", state=PortalState.CLOSED), digest="closed")

        assert ((await stage.ret()).state, (await stage.ret()).needs_read) == (State.PROCESSING, True)

    async def test_an_end_in_a_list_is_only_a_hint(self, stage):
        """A row says no more than what was asked for: a filter that Loop ignores would close every return."""
        await _in_state(stage, State.PROCESSING)

        await stage.intake.hear("acme", [ReturnChanged(return_id="77", state=PortalState.CLOSED)])

        assert ((await stage.ret()).state, (await stage.ret()).needs_read) == (State.PROCESSING, True)

    async def test_the_end_of_a_return_in_doubt_is_only_a_hint(self, stage):
        """A return of a restored store is compared with the vendors before anything is believed of it."""
        await _in_state(stage, State.PROCESSING)
        doubted = replace(await stage.ret(), unproven=True)
        await stage.store.transact(lambda uow: uow.save(doubted, None, doubted.state))

        await stage.tell(ReturnChanged(return_id="77", state=PortalState.CLOSED))

        assert ((await stage.ret()).state, (await stage.ret()).needs_read) == (State.PROCESSING, True)

    async def test_a_hint_survives_a_failing_portal(self, stage):
        """While the portal does not answer, the hint stays; it is followed when the portal is back."""
        await stage.sent()
        stage.portal.set_state("77", PortalState.CLOSED, was_processed=True)
        stage.portal.fail("details", Unavailable("down"), times=3)

        await stage.tell(ReturnChanged(return_id="77", state=PortalState.CLOSED))
        await stage.pass_time(60.0)

        assert stage.portal.count("details") == 1 + 3 + 1  # one for the label request
        assert any("Processed before Amazon inspected it" in note for note in stage.portal.returns["77"].notes)


class TestProcessingFailed:
    async def test_it_is_taken_where_processing_was_asked_for(self, stage):
        """The failure of a queued process sends the return back to be flagged, with Loop's words in a note."""
        await _in_state(stage, State.PROCESSING)

        await stage.tell(ProcessingTrouble(return_id="77"))
        await stage.work()

        assert (await stage.ret()).state is State.IN_REVIEW
        assert sum("could not be processed" in note for note in stage.portal.returns["77"].notes) == 1
        assert stage.portal.returns["77"].flags == 1

    async def test_it_means_nothing_to_a_return_that_nobody_processes(self, stage):
        """A failure that is not about our own process call is acknowledged and changes nothing."""
        sent = await stage.sent()

        await stage.tell(ProcessingTrouble(return_id="77"))

        assert await stage.ret() == sent

    async def test_it_counts_when_the_answer_to_process_was_lost(self, stage):
        """A process call of unknown end whose failure is announced is not made again: the return is flagged."""
        await stage.sent(plan="lose")
        await stage.inspect()
        stage.portal.fail("process", Unavailable("time-out"), after=True)
        await stage.reach(State.SETTLING)

        await stage.tell(ProcessingTrouble(return_id="77"))
        await stage.pass_time(HOUR)

        assert (await stage.ret()).state is State.IN_REVIEW
        assert len(stage.portal.returns["77"].records) == 1
        assert stage.portal.returns["77"].flags == 1


class TestRestock:
    async def test_a_unit_that_amazon_restocks_too_is_warned_of(self, stage):
        """Loop's own restocking of what goes to Amazon is noted, counted, and part of the history."""
        await stage.sent()
        await stage.tell(RestockAsked(return_id="77"))
        await stage.work()
        assert stage.metrics.troubles["restock_requested"] == 1
        assert sum("counted twice" in note for note in stage.portal.returns["77"].notes) == 1
        assert "RestockRequested" in await stage.history()

    async def test_what_is_not_at_amazon_is_nobodys_business(self, stage):
        """Other providers' returns, and those that nothing was asked of Amazon for, are left alone."""
        await stage.tell(RestockAsked(return_id="99"))
        await stage.submit()
        await stage.tell(RestockAsked(return_id="77"))
        assert stage.metrics.troubles["restock_requested"] == 0
