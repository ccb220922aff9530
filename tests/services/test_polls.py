"""The safety net under the webhooks: what they did not bring is found by asking."""

from itertools import pairwise

import pytest

from daemon.domain.portal import PortalState
from daemon.domain.returns import State
from daemon.errors import ListCut, StoreUnavailable, Unavailable
from tests.services.stage import DAY, HOUR
from tests.support.builders import a_line
from tests.support.fakes import LoopReturn


@pytest.fixture
async def two_shops(open_with):
    """Two shops on one Amazon account; the second is healthy whatever the first does."""
    return await open_with(shops=("acme", "zeta"))


class TestLabelRequests:
    async def test_a_lost_webhook_is_made_up_for(self, stage):
        """Nobody told us of the request: the list of issued requests does, and the label follows."""
        stage.ship(SOCK=1)
        stage.portal.submit(LoopReturn(return_id="77", lines=[a_line()]))
        await stage.polls.label_requests()
        await stage.reach(State.AWAITING_INSPECTION)

        assert len(stage.portal.labels) == 1
        assert stage.woken == 1

    async def test_hundreds_of_rows_are_all_heard(self, stage):
        """A shop's whole list is taken, more than one unit of work holds."""
        for n in range(250):
            stage.portal.submit(LoopReturn(return_id=str(n), lines=[a_line(str(n))]))
        await stage.polls.label_requests()

        assert await stage.store.read(lambda uow: uow.counts()) == {("acme", "received"): 250}

    async def test_a_row_of_yesterday_is_no_news(self, stage):
        """Polling on and on changes nothing and wakes nobody."""
        await stage.submit()
        await stage.work()
        before, woken = await stage.ret(), stage.woken
        for _ in range(3):
            await stage.polls.label_requests()

        assert await stage.ret() == before
        assert stage.woken == woken

    async def test_a_row_that_was_not_stored_is_heard_at_the_next_poll(self, stage):
        """When the store fails while a row is taken in, the next poll takes it in, and the shopper gets the label."""
        stage.ship(SOCK=1)
        stage.portal.submit(LoopReturn(return_id="77", lines=[a_line()]))
        stage.store.fail(StoreUnavailable("disk full"))
        with pytest.raises(StoreUnavailable):
            await stage.polls.label_requests()
        await stage.polls.label_requests()
        await stage.reach(State.AWAITING_INSPECTION)

        assert len(stage.portal.labels) == 1

    async def test_a_list_of_refused_requests_is_heard_of_now_and_then(self, stage):
        """Loop lists what was refused for ever: between two hearings a row costs the store nothing."""
        for n in range(150):
            stage.portal.submit(LoopReturn(return_id=str(n), lines=[a_line(str(n))]))
        await stage.polls.label_requests()
        transactions = stage.store.commits
        for _ in range(5):
            stage.clock.advance(180.0)
            await stage.polls.label_requests()
        assert stage.store.commits == transactions
        stage.clock.advance(HOUR)
        await stage.polls.label_requests()
        assert stage.store.commits == transactions + 2

    async def test_one_shop_failing_does_not_stop_the_other(self, two_shops):
        """The error is reported after every shop has had its turn."""
        stage = two_shops
        stage.portals["acme"].outage = Unavailable("down")
        stage.portals["zeta"].submit(LoopReturn(return_id="9", lines=[a_line("9")]))
        with pytest.raises(Unavailable):
            await stage.polls.label_requests()

        assert (await stage.ret("9", shop="zeta")).state is State.RECEIVED

    async def test_the_same_return_id_in_two_shops_is_two_returns(self, two_shops):
        """Loop's ids are a shop's own."""
        stage = two_shops
        for portal in stage.portals.values():
            portal.submit(LoopReturn(return_id="77", lines=[a_line()]))
        await stage.polls.label_requests()

        assert {(await stage.ret(shop=shop)).shop for shop in ("acme", "zeta")} == {"acme", "zeta"}


class TestReturns:
    async def test_every_state_is_asked_for_by_name(self, stage):
        """Loop lists review and cancelled only to those who ask for them."""
        await stage.polls.returns()

        asked = [call.arguments[0] for call in stage.portal.made("updated_returns")]
        assert {PortalState.CLOSED, PortalState.CANCELLED, PortalState.REVIEW, PortalState.OPEN} <= set(asked)
        assert len(asked) == len(set(asked))

    async def test_a_list_that_was_cut_is_asked_for_again(self, stage):
        """What came of it is heard of, and the window does not move on past what did not."""
        await stage.sent()
        await stage.polls.returns()
        before = await stage.store.read(lambda uow: uow.mark("returns-poll/acme/closed"))
        stage.portal.fail("updated_returns", ListCut("the list begins again", ["77"]))
        await stage.pass_time(HOUR)
        with pytest.raises(ListCut):
            await stage.polls.returns()
        assert (await stage.ret()).needs_read
        assert await stage.store.read(lambda uow: uow.mark("returns-poll/acme/closed")) == before
        await stage.polls.returns()
        assert await stage.store.read(lambda uow: uow.mark("returns-poll/acme/closed")) != before

    async def test_windows_overlap_and_are_remembered(self, stage):
        """Each window begins before the last one ended, and a restart goes on where the last process was."""
        windows = []
        for _ in range(3):
            stage.portal.calls.clear()
            await stage.polls.returns()
            windows.append(stage.portal.made("updated_returns")[0].arguments[1:])
            await stage.restart()
            stage.clock.advance(300.0)

        (_, first_end), (second_start, second_end), (third_start, _) = windows
        assert first_end - 600.0 < second_start < first_end
        assert second_end - 600.0 < third_start < second_end

    async def test_a_long_silence_is_made_up_for(self, stage):
        """A daemon that was down for a week asks for the whole week."""
        await stage.polls.returns()
        ended = stage.clock.now()
        stage.clock.advance(7 * DAY)
        stage.portal.calls.clear()
        await stage.polls.returns()

        assert all(call.arguments[1] < ended for call in stage.portal.made("updated_returns"))

    async def test_months_of_silence_are_made_up_for_window_by_window(self, stage):
        """Loop answers for no more than some months at once: each window is remembered before the next is asked for."""
        await stage.polls.returns()
        ended = stage.clock.now()
        stage.clock.advance(100 * DAY)
        stage.portal.calls.clear()
        await stage.polls.returns()

        windows = [
            c.arguments[1:] for c in stage.portal.made("updated_returns") if c.arguments[0] is PortalState.CLOSED
        ]
        assert windows[0][0] < ended
        assert windows[-1][1] == stage.clock.now()
        assert all(end - start <= 30 * DAY for start, end in windows)
        assert all(start < end for (_, end), (start, _) in pairwise(windows))

    async def test_a_window_whose_poll_failed_is_asked_again(self, stage):
        """What was not answered is not remembered as seen."""
        await stage.polls.returns()
        stage.clock.advance(300.0)
        ended = stage.clock.now() - 300.0
        stage.portal.outage = Unavailable("down")
        with pytest.raises(Unavailable):
            await stage.polls.returns()
        stage.portal.outage = None
        stage.clock.advance(HOUR)
        stage.portal.calls.clear()
        await stage.polls.returns()

        assert all(call.arguments[1] < ended for call in stage.portal.made("updated_returns"))

    async def test_one_shop_failing_does_not_stop_the_other(self, two_shops):
        """The second shop's windows move on while the first is down."""
        stage = two_shops
        stage.portals["acme"].outage = Unavailable("down")
        with pytest.raises(Unavailable):
            await stage.polls.returns()

        assert stage.portals["zeta"].count("updated_returns") > 1

    async def test_rows_are_hints_that_cost_a_read_only_where_they_tell(self, stage):
        """A closed return that we await is read once, though it stays in the overlap of the next windows."""
        await stage.sent()
        stage.portal.set_state("77", PortalState.CLOSED, was_processed=True)
        reads = stage.portal.count("details")
        await stage.polls.returns()
        await stage.work()

        assert stage.portal.count("details") == reads + 1
        assert any("Processed before" in note for note in stage.portal.returns["77"].notes)

    async def test_unknown_rows_store_nothing(self, stage):
        """Most of a shop's returns never were ours."""
        for n in range(150):
            stage.portal.returns[str(n)] = LoopReturn(
                return_id=str(n), lines=[], state=PortalState.CLOSED, changed_at=stage.clock.now()
            )
        await stage.polls.returns()

        assert await stage.store.read(lambda uow: uow.counts()) == {}


class TestLostWebhooks:
    async def test_a_life_without_a_single_webhook_ends_the_same(self, stage):
        """All deliveries are lost: the polls and watches alone bring the return to its end."""
        stage.ship(SOCK=1)
        stage.portal.submit(LoopReturn(return_id="77", lines=[a_line()]))
        await stage.polls.label_requests()
        await stage.reach(State.AWAITING_INSPECTION)
        await stage.inspect()
        await stage.reach(State.PROCESSING)
        stage.clock.advance(60.0)
        await stage.polls.returns()
        await stage.reach(State.CLOSED, within=300.0)

        assert len(stage.portal.returns["77"].records) == 1
