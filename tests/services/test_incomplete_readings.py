"""A reading that lacks something, or a clock that is wrong, decides nothing: a flag cannot be taken back."""

import pytest

from daemon.domain.portal import PortalState
from daemon.domain.returns import State
from tests.services.parcels import PAGE, TWO, actions, ask_again, notes, tell_state
from tests.services.stage import DAY, HOUR, ORDER


class TestAmazon:
    @pytest.mark.slow
    @pytest.mark.parametrize("how", ["unknown", "without our units"])
    async def test_a_reading_without_the_unit_does_not_judge_it(self, stage, how):
        """The second unit was processed just before its clock ran out, and one reading does not show it."""
        await stage.sent(*TWO)
        await stage.inspect(line="1")
        await stage.pass_time(6.9 * DAY)
        await stage.inspect(line="2")
        order = stage.network.orders[ORDER]
        if how == "unknown":
            del stage.network.orders[ORDER]
        else:
            stage.network.read_lag = 100 * DAY
        await stage.pass_time(0.2 * DAY)
        assert (await stage.ret()).state is State.AWAITING_INSPECTION
        stage.network.orders[ORDER] = order
        stage.network.read_lag = 0.0
        await stage.pass_time(DAY)

        assert actions(stage) == {"process": 1}
        assert notes(stage, "Missing") == []

    @pytest.mark.slow
    async def test_a_unit_that_is_never_listed_again_needs_a_person(self, stage):
        """Amazon forgets the order for good: after the last clock and the late watch somebody is asked."""
        await stage.sent()
        del stage.network.orders[ORDER]
        ret = await stage.reach(State.STUCK, within=140 * DAY)

        assert ret.problem == "Amazon does not list what it accepted any more"
        assert notes(stage, "Missing") == []


class TestOurClock:
    async def test_a_clock_that_jumps_ahead_flags_nothing(self, open_with):
        """The machine's clock is eight days ahead for a minute, and Amazon is read then: nothing is missing by it."""
        stage = await open_with(policy=PAGE)
        await stage.sent(*TWO)
        await stage.inspect(line="1")
        await stage.pass_time(DAY)
        stage.clock_check.heard("amazon", stage.clock.now())
        stage.clock.jump(8 * DAY)
        await stage.work()
        assert (await stage.ret()).state is State.AWAITING_INSPECTION
        stage.clock.jump(-8 * DAY)
        await stage.clock_keeper.round()
        await stage.inspect(line="2")
        await stage.pass_time(DAY)

        assert actions(stage) == {"process": 1}

    @pytest.mark.slow
    async def test_a_machine_that_starts_with_a_wrong_clock(self, open_with):
        """The process has never known another hour; the vendors' answers tell it, and nothing is missing by ours."""
        stage = await open_with(policy=PAGE)
        await stage.sent(*TWO)
        await stage.inspect(line="1")
        await stage.pass_time(DAY)
        right = stage.clock.now()
        stage.clock.jump(8 * DAY)
        await stage.restart()
        stage.clock_check.heard("amazon", right)
        await stage.pass_time(HOUR)
        assert (await stage.ret()).state is State.AWAITING_INSPECTION
        stage.clock.jump(-8 * DAY)
        await stage.clock_keeper.round()
        await stage.pass_time(7 * DAY)

        assert (await stage.ret()).state is State.IN_REVIEW
        assert len(notes(stage, "Missing")) == 1

    async def test_what_came_counts_under_a_wrong_clock(self, open_with):
        """Findings need no clock: a clean return is paid for."""
        stage = await open_with(policy=PAGE)
        await stage.sent()
        stage.clock_check.heard("amazon", stage.clock.now() - 40 * DAY)
        await stage.inspect()
        await stage.pass_time(DAY)

        assert actions(stage) == {"process": 1}


class TestNewLabel:
    @pytest.mark.slow
    async def test_a_new_label_for_what_was_left_behind_restarts_its_clock(self, open_with):
        """One unit came on day 0; on day 6 the shopper gets a label for the other: it has a week from then."""
        stage = await open_with(policy=PAGE)
        await stage.sent(*TWO)
        await stage.inspect(line="1")
        await stage.pass_time(6 * DAY)
        await ask_again(stage, "q2", TWO[1])
        await stage.reach(State.AWAITING_INSPECTION)
        await stage.pass_time(6 * DAY)
        assert (actions(stage), notes(stage, "Missing")) == ({}, [])
        await stage.pass_time(2 * DAY)

        assert actions(stage) == {"flag": 1}

    @pytest.mark.slow
    async def test_a_new_label_after_a_review(self, open_with):
        """The unit was missing and the return flagged; the flag is lifted and Loop asks for a new label: a week again."""
        stage = await open_with(policy=PAGE)
        await stage.sent(*TWO)
        await stage.inspect(line="1")
        await stage.reach(State.IN_REVIEW, within=9 * DAY)
        stage.portal.returns["77"].flagged = False
        await tell_state(stage, PortalState.OPEN)
        await ask_again(stage, "q2", TWO[1])
        await stage.reach(State.AWAITING_INSPECTION)
        await stage.pass_time(3 * DAY)

        assert (await stage.unit("2")).finding is None
