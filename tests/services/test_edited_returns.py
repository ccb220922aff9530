"""A return is edited in Loop while it is under way: what left it holds nothing up, what joined it is not paid for."""

from daemon.domain.portal import PortalState
from daemon.domain.returns import State
from tests.services.parcels import TWO, actions, notes
from tests.services.stage import DAY, HOUR


class TestAtTheVerdict:
    async def test_a_line_that_was_gone_for_the_verdict_alone_is_not_paid_for(self, stage):
        """A defective line is absent when the return is judged and there again when it is settled: it is flagged."""
        await stage.sent(*TWO)
        await stage.inspect("Sellable", line="1")
        await stage.inspect("Defective", line="2")
        await stage.step_to(State.INSPECTED, within=2 * DAY)
        cap = stage.portal.returns["77"].lines.pop()
        await stage.step_to(State.SETTLING)
        stage.portal.returns["77"].lines.append(cap)
        await stage.pass_time(HOUR)

        assert actions(stage) == {"flag": 1}
        assert (await stage.ret()).state is State.IN_REVIEW

    async def test_an_open_return_without_a_line_is_not_judged(self, stage):
        """Details that list no line are no reading: nothing is done until the lines are there again."""
        await stage.sent()
        await stage.inspect("CustomerDamaged")
        await stage.step_to(State.INSPECTED, within=2 * DAY)
        lines = list(stage.portal.returns["77"].lines)
        stage.portal.returns["77"].lines.clear()
        await stage.pass_time(60.0)
        assert actions(stage) == {}

        stage.portal.returns["77"].lines.extend(lines)
        await stage.pass_time(2 * HOUR)
        assert actions(stage) == {"flag": 1}
        assert notes(stage, "Discrepancy") == [
            "Discrepancy: SOCK damaged by the customer. Sent to Needs Review.",
        ]

    async def test_an_open_return_without_a_line_is_not_paid(self, stage):
        """The same reading directly before the payment: it waits, and is paid once when the lines are there again."""
        await stage.sent()
        await stage.inspect()
        await stage.step_to(State.SETTLING, within=2 * DAY)
        lines = list(stage.portal.returns["77"].lines)
        stage.portal.returns["77"].lines.clear()
        await stage.pass_time(60.0)
        assert actions(stage) == {}

        stage.portal.returns["77"].lines.extend(lines)
        await stage.pass_time(2 * HOUR)
        assert actions(stage) == {"process": 1}

    async def test_lines_that_never_come_back_need_a_person(self, stage):
        """Details stay empty: a person is told, and nothing is ever paid."""
        await stage.sent()
        await stage.inspect()
        await stage.step_to(State.INSPECTED, within=2 * DAY)
        stage.portal.returns["77"].lines.clear()
        ret = await stage.reach(State.STUCK, within=2 * DAY)

        assert "without a line" in ret.problem
        assert actions(stage) == {}

    async def test_a_cancelled_return_needs_no_line(self, stage):
        """A return that was cancelled in Loop and shows no line any more is closed, and the note says what came."""
        await stage.sent()
        await stage.inspect("Defective")
        await stage.step_to(State.INSPECTED, within=2 * DAY)
        stage.portal.returns["77"].lines.clear()
        stage.portal.set_state("77", PortalState.CANCELLED)
        await stage.pass_time(HOUR)

        assert actions(stage) == {}
        assert (await stage.ret()).state is State.CLOSED
        assert notes(stage, "Discrepancy") == [
            "Discrepancy: SOCK defective. Nothing was done: the return is cancelled in Loop."
        ]
