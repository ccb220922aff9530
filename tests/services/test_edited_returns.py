"""A return is edited in Loop while it is under way: what left it holds nothing up, what joined it is not paid for."""

import pytest

from daemon.domain.portal import PortalState, ReturnChanged
from daemon.domain.returns import State, UnitState
from daemon.errors import Unavailable
from tests.services.parcels import CENTERS, PAGE, TWO, actions, ask_again, cancel_request, notes
from tests.services.stage import DAY, HOUR
from tests.support.builders import a_portal_request

CAP = TWO[1]


async def second_label(stage, state=State.AWAITING_INSPECTION):
    """The sock's label is out, and a second one, for a parcel to another center, is as far as that."""
    stage.network.center_of = dict(CENTERS)
    stage.ship(SOCK=1, CAP=1)
    await stage.submit(*TWO, request=a_portal_request("q77", skus=("SOCK",)))
    await stage.reach(State.AWAITING_INSPECTION)
    await ask_again(stage, "q2", CAP)
    await stage.step_to(state)


async def strike_out(stage, *, told=True):
    """A person removes the last line in Loop; the webhook about it is delivered, or lost."""
    line = stage.portal.returns["77"].lines.pop()
    stage.portal.set_state("77", PortalState.OPEN)
    if told:
        await stage.tell(ReturnChanged(return_id="77", state=PortalState.OPEN))
    return line


async def days_to(stage, state):
    """How long it takes from now."""
    start = stage.clock.now()
    await stage.reach(state, within=100 * DAY)
    return (stage.clock.now() - start) / DAY


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


class TestUnderWay:
    @pytest.mark.parametrize("told", ["before", "after"])
    async def test_a_line_that_is_struck_out_holds_up_nothing(self, stage, told):
        """The other line is paid for as soon as it was seen; the removed one is neither missing nor graded."""
        await stage.sent(*TWO)
        if told == "after":
            await stage.inspect(line="1")
            await stage.pass_time(DAY)
        await strike_out(stage)
        if told == "before":
            await stage.inspect(line="1")

        assert await days_to(stage, State.CLOSED) < 1
        assert actions(stage) == {"process": 1}
        assert notes(stage, "Missing") == []
        assert "2" not in stage.portal.returns["77"].grades

    async def test_an_edit_that_no_webhook_told_is_found_by_the_poll(self, stage):
        """The delivery was lost: the list of open returns that changed tells of it within minutes."""
        await stage.sent(*TWO)
        await stage.inspect(line="1")
        await stage.pass_time(DAY)
        await strike_out(stage, told=False)
        await stage.polls.returns()

        assert await days_to(stage, State.CLOSED) < 1 / 24

    @pytest.mark.slow
    async def test_lines_are_read_before_a_unit_is_called_missing(self, stage):
        """Neither webhook nor poll told of the edit: when the clock has run, the return is read, and paid."""
        await stage.sent(*TWO)
        await stage.inspect(line="1")
        await stage.pass_time(DAY)
        await strike_out(stage, told=False)
        await stage.reach(State.CLOSED, within=9 * DAY)

        assert actions(stage) == {"process": 1}
        assert notes(stage, "Missing") == []

    @pytest.mark.slow
    async def test_while_loop_cannot_be_read_nothing_is_called_missing(self, stage):
        """Loop is away when the clock has run: the unit is called missing once its line was read."""
        await stage.sent(*TWO)
        await stage.inspect(line="1")
        await stage.pass_time(6.5 * DAY)
        stage.portal.outage = Unavailable("503")
        await stage.pass_time(2 * DAY)
        assert (await stage.ret()).state is State.AWAITING_INSPECTION
        stage.portal.outage = None
        await stage.reach(State.IN_REVIEW)

        assert len(notes(stage, "Missing")) == 1

    async def test_a_line_that_is_put_back_is_awaited_again(self, stage):
        """A person removes a line by mistake and adds it again before anything came: both are waited for."""
        await stage.sent(*TWO)
        line = await strike_out(stage)
        await stage.work()
        assert (await stage.unit("2")).standing is UnitState.REMOVED
        stage.portal.returns["77"].lines.append(line)
        await stage.tell(ReturnChanged(return_id="77", state=PortalState.OPEN))
        await stage.inspect(line="1")
        await stage.pass_time(2 * DAY)
        assert (await stage.ret()).state is State.AWAITING_INSPECTION
        await stage.inspect(line="2")

        assert await days_to(stage, State.CLOSED) < 1
        assert actions(stage) == {"process": 1}

    async def test_a_single_line_is_not_read_for_every_change(self, stage):
        """Whatever is written about a return of one line makes Loop tell of a change: that costs no reading."""
        await stage.sent()
        before = stage.portal.count("details")
        await stage.tell(ReturnChanged(return_id="77", state=PortalState.OPEN))
        await stage.work()

        assert stage.portal.count("details") == before

    @pytest.mark.slow
    async def test_a_neighbours_look_calls_nothing_missing(self, stage):
        """Two returns of one order: the reading for one gives the other's findings, and leaves its clocks to it."""
        await stage.sent(*TWO)
        await stage.inspect(line="1")
        await stage.pass_time(DAY)
        await strike_out(stage, told=False)
        await stage.pass_time(5.9 * DAY)
        stage.ship(SOCK=2, CAP=1)
        await stage.submit(return_id="78", request=a_portal_request("q78"))
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        stage.network.inspect(await stage.unit("1", "78"))
        await stage.pass_time(DAY)

        assert notes(stage, "Missing") == []
        assert [(await stage.ret(r)).state for r in ("77", "78")] == [State.CLOSED, State.CLOSED]


class TestWithdrawnRequest:
    @pytest.mark.parametrize("state", [State.AWAITING_LABEL, State.AWAITING_INSPECTION])
    async def test_its_unit_holds_up_nothing(self, open_with, state):
        """A second label request is withdrawn and its line removed: the first unit is paid for at once."""
        stage = await open_with(policy=PAGE)
        await second_label(stage, state)
        stage.portal.returns["77"].lines.pop()
        await cancel_request(stage, "q2")
        await stage.work()
        await stage.inspect(line="1")

        assert await days_to(stage, State.CLOSED) < 2
        assert actions(stage) == {"process": 1}

    @pytest.mark.parametrize("state", [State.AWAITING_LABEL, State.AWAITING_INSPECTION])
    async def test_its_line_is_still_there(self, open_with, state):
        """The line stays in the return: a person decides now and not after weeks, and nothing is called missing."""
        stage = await open_with(policy=PAGE)
        await second_label(stage, state)
        await cancel_request(stage, "q2")
        await stage.work()
        await stage.inspect(line="1")

        assert await days_to(stage, State.IN_REVIEW) < 2
        assert notes(stage, "Discrepancy") == ["Discrepancy: CAP not inspected. Sent to Needs Review."]

    async def test_the_only_request(self, stage):
        """What was sent before its request was withdrawn is inspected, and the return goes on with it."""
        await stage.sent()
        await cancel_request(stage)
        await stage.pass_time(DAY)
        assert (await stage.ret()).state is State.AWAITING_INSPECTION
        await stage.inspect()

        assert await days_to(stage, State.CLOSED) < 1

    async def test_twice(self, stage):
        """The webhook comes again, in other bytes: nothing happens a second time."""
        await stage.sent()
        await cancel_request(stage)
        await cancel_request(stage)

        assert (await stage.history()).count("LabelRequestCancelled") == 1
