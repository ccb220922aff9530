"""The machine's clock is wrong, and put right: what was heard meanwhile is served, and nobody's hour is believed twice."""

import pytest

from daemon.domain.portal import PortalState
from daemon.domain.returns import State
from daemon.engine.clock_check import ClockCheck
from daemon.errors import Refused
from tests.services.parcels import PAGE, notes
from tests.services.stage import DAY, HOUR
from tests.support.virtual_time import FakeClock

YEAR = 365 * DAY


class TestClockCheck:
    def test_without_a_vendors_word_a_jump_is_doubted(self):
        """The steady clock did not notice: until somebody confirms the new hour it decides nothing."""
        clock = FakeClock()
        check = ClockCheck(clock)
        assert check.trusted
        clock.jump(301.0)
        assert check.problem().startswith("this machine's clock is 5 minutes ahead of itself when mcfd started")
        clock.jump(-602.0)
        assert not check.trusted
        clock.jump(301.0)
        assert check.trusted

    @pytest.mark.parametrize(
        ("ours", "words"), [(301.0, "5 minutes ahead of loop"), (-7200.0, "120 minutes behind loop")]
    )
    def test_the_worst_vendor_counts(self, ours, words):
        """One vendor whose answers contradict our clock is enough."""
        clock = FakeClock()
        check = ClockCheck(clock)
        check.heard("amazon", clock.now() - 200.0)
        assert check.trusted
        check.heard("loop", clock.now() - ours)
        assert words in check.problem()
        assert check.ahead()["loop"] == ours

    def test_a_step_shows_at_once(self):
        """What a vendor said is remembered by the steady clock, so no new answer is needed to see a jump, or its end."""
        clock = FakeClock()
        check = ClockCheck(clock)
        check.heard("loop", clock.now())
        clock.jump(-DAY)
        assert not check.trusted
        assert check.vendor_now("loop") == clock.now() + DAY
        clock.jump(DAY)
        assert check.trusted

    def test_a_machine_that_slept_is_doubted_until_a_vendor_answers(self):
        """The steady clock stands still in sleep: the next answer confirms the hour."""
        clock = FakeClock()
        check = ClockCheck(clock)
        check.heard("loop", clock.now())
        clock.jump(DAY)  # a day has passed that the steady clock knows nothing of
        assert not check.trusted
        check.heard("loop", clock.now())
        assert check.trusted

    def test_a_step_is_news_once(self):
        """So are a vendor's first answer and a step of the vendor's; seconds lost on the way are none."""
        clock = FakeClock()
        check = ClockCheck(clock)

        def news(at: float) -> bool:
            check.news.clear()
            check.heard("loop", at)
            return check.news.is_set()

        assert news(clock.now())
        assert not news(clock.now() - 30.0)
        clock.jump(400.0)
        assert news(clock.now() - 400.0)
        assert not news(clock.now() - 400.0)
        clock.jump(-400.0)
        assert news(clock.now())
        assert news(clock.now() + 400.0)
        clock.advance(DAY)
        assert not news(clock.now() + 400.0)

    def test_a_vendor_that_says_nothing_is_of_our_time(self):
        """Without a Date header of the vendor, its clock is taken to be ours."""
        clock = FakeClock()
        assert ClockCheck(clock).vendor_now("loop") == clock.now()


class TestHeardUnderAWrongClock:
    @pytest.mark.parametrize(("ahead", "restarted"), [(3 * DAY, False), (YEAR, False), (YEAR, True)])
    async def test_a_label_request_is_served_when_the_clock_is_right(self, stage, ahead, restarted):
        """Heard while the clock is ahead, the order not known yet: it is tried when the clock is right again."""
        stage.clock_check.heard("loop", stage.clock.now())
        stage.clock.jump(ahead)
        await stage.submit()
        await stage.work()
        await stage.clock_keeper.round()
        stage.ship(SOCK=1)
        stage.clock.jump(-ahead)
        if restarted:
            await stage.restart()
            stage.clock_check.heard("loop", stage.clock.now())
        await stage.clock_keeper.round()
        assert stage.woken
        await stage.work()

        assert (await stage.ret()).state is State.AWAITING_INSPECTION

    async def test_its_deadline_is_of_now(self, stage):
        """A request that nobody knows is given up an hour after the clock was right, not a year."""
        stage.clock_check.heard("loop", stage.clock.now())
        stage.clock.jump(YEAR)
        await stage.submit()
        await stage.work()
        stage.clock.jump(-YEAR)
        await stage.clock_keeper.round()
        await stage.pass_time(2 * HOUR)

        assert (await stage.ret()).held

    async def test_a_return_under_way_is_looked_at_and_its_clocks_run(self, open_with):
        """The label went out under the wrong clock: Amazon is read the same day, and silence counts from now."""
        stage = await open_with(policy=PAGE)
        stage.clock_check.heard("loop", stage.clock.now())
        right = stage.clock.now()
        stage.clock.jump(YEAR)
        await stage.sent()
        stage.clock.jump(-YEAR)
        for expected in stage.network._expected["5001"].values():
            expected.created_at = right  # Amazon's own clock was never wrong
        await stage.clock_keeper.round()
        assert (await stage.ret()).labelled_at == pytest.approx(right, abs=HOUR)
        before = stage.network.count("order")
        await stage.pass_time(DAY)
        assert stage.network.count("order") > before
        await stage.reach(State.EXPIRED, within=46 * DAY)

    async def test_nothing_is_put_right_by_a_clock_that_is_wrong_itself(self, stage, logs):
        """A machine wakes up in 1970: everything seems to lie in the future, and nothing is touched."""
        ret = await stage.sent()
        stage.clock_check.heard("loop", stage.clock.now())
        stage.clock.jump(-stage.clock.now() + 1000.0)
        await stage.clock_keeper.round()
        await stage.clock_keeper.round()

        assert await stage.ret() == ret
        assert [entry["event"] for entry in logs if entry["event"].startswith("clock.")] == ["clock.wrong"]
        assert stage.metrics.troubles["clock"] == 1

    async def test_nothing_is_put_right_before_a_vendor_has_spoken(self, stage):
        """A process that has just started in 1970 does not know it yet."""
        ret = await stage.sent()
        stage.clock.jump(-stage.clock.now() + 1000.0)
        await stage.restart()
        await stage.clock_keeper.round()

        assert await stage.ret() == ret

    async def test_a_right_clock_changes_nothing(self, stage):
        """Round by round nothing is written."""
        ret = await stage.sent()
        stage.clock_check.heard("loop", stage.clock.now())
        await stage.clock_keeper.round()

        assert await stage.ret() == ret


class TestPoll:
    async def test_it_asks_in_loops_own_time(self, stage):
        """Both ends of the window are by the Date of Loop's answers, however wrong our clock is."""
        await stage.polls.returns()
        right = stage.clock.now()
        stage.clock_check.heard("loop", right)
        stage.clock.jump(10 * DAY)
        stage.portal.calls.clear()
        await stage.polls.returns()

        assert {call.arguments[1:] for call in stage.portal.made("updated_returns")} == {(right - 120.0, right)}

    async def test_a_mark_in_the_future_counts_as_yesterday(self, stage):
        """The mark was made under a wrong clock: the next poll asks for a day, from before till after."""
        await stage.sent()
        await stage.polls.returns()
        stage.clock.jump(10 * DAY)
        await stage.polls.returns()
        stage.clock.jump(-10 * DAY)
        await stage.pass_time(10.0)
        stage.portal.set_state("77", PortalState.CANCELLED)
        await stage.pass_time(600.0)
        real = stage.portal.updated_returns

        async def strict(state, since, until):
            if since > until:
                raise Refused("HTTP_422", "The to must be a date after from.")
            return await real(state, since, until)

        stage.portal.updated_returns = strict
        await stage.polls.returns()
        await stage.work()

        assert len(notes(stage, "Cancelled")) == 1
