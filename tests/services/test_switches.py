"""What a shop has switched off is left to others; a later change applies to what is heard or judged from then on."""

from dataclasses import replace

import pytest

from daemon.domain.portal import PortalState, ReturnChanged
from daemon.domain.returns import RequestState, State, Switches
from daemon.errors import OperatorError
from tests.services.stage import DAY, HOUR, ORDER_TEMPLATES
from tests.support.builders import a_line
from tests.support.configured import a_policy

NO_OUTCOMES = Switches(outcomes=False)
NO_GRADES = Switches(grades=False)
WRITES = {
    "deliver_label",
    "report_refusal",
    "report_transit",
    "write_note",
    "grade",
    "assess",
    "flag",
    "process",
    "remove",
}


def shop(**switches):
    """A shop's policy with some of its features switched off."""
    return a_policy(order_id_templates=ORDER_TEMPLATES, **switches)


def switch(stage, **switches):
    """A reload of the configuration."""
    stage.contexts["acme"].policy = replace(stage.contexts["acme"].policy, **switches)


def done(stage, *operations) -> list[str]:
    """Those calls that were made to Loop, oldest first."""
    return [c.operation for c in stage.portal.calls if c.operation in (operations or WRITES)]


class TestOutcomes:
    @pytest.mark.parametrize("condition", ["Sellable", "Defective"])
    async def test_findings_are_noted_and_graded_and_nothing_is_settled(self, open_with, condition):
        """Without outcomes the inspection is noted and graded, and the return is neither processed nor flagged."""
        stage = await open_with(policy=shop(switches=NO_OUTCOMES))
        await stage.sent()
        await stage.inspect(condition)
        await stage.reach(State.CLOSED)
        await stage.pass_time(HOUR)

        assert done(stage, "grade", "assess", "flag", "process", "remove") == ["grade", "assess"]
        notes = stage.portal.returns["77"].notes
        assert [note for note in notes if "somebody else decides" in note] == [notes[-1]]
        assert [note for note in notes if "Amazon inspected SOCK" in note]

    async def test_turning_them_on_settles_no_old_return(self, open_with):
        """A return keeps the switches of its verdict: only an operator's retry applies today's."""
        stage = await open_with(policy=shop(switches=NO_OUTCOMES))
        await stage.sent()
        await stage.inspect()
        await stage.reach(State.CLOSED)
        switch(stage, switches=Switches())
        await stage.pass_time(8 * DAY)
        assert done(stage, "process") == []

        await stage.operator.retry("77", by="operator")
        await stage.reach(State.PROCESSING)
        assert done(stage, "process", "grade") == ["grade", "process"]

    async def test_turning_them_off_leaves_judged_returns_alone(self, stage):
        """A return whose verdict was reached is settled, whatever is switched off afterwards."""
        await stage.sent()
        await stage.inspect()
        await stage.step_to(State.SETTLING)
        switch(stage, switches=NO_OUTCOMES)
        await stage.reach(State.PROCESSING)

        assert done(stage, "process") == ["process"]

    async def test_a_settled_return_has_nothing_to_retry(self, stage):
        """A retry judges a closed return again only if its outcome was left to others."""
        await stage.sent()
        await stage.inspect()
        await stage.reach(State.PROCESSING)
        await stage.reach(State.CLOSED)

        with pytest.raises(OperatorError, match="nothing to retry"):
            await stage.operator.retry("77", by="operator")


class TestGrades:
    async def test_nothing_is_graded(self, open_with):
        """Without grades Loop is told neither condition nor disposition; the return is settled as ever."""
        stage = await open_with(policy=shop(switches=NO_GRADES))
        await stage.sent()
        await stage.inspect()
        await stage.reach(State.PROCESSING)

        assert done(stage, "grade", "assess", "process") == ["process"]

    async def test_the_verdict_fixes_them(self, open_with):
        """Turned on before the verdict, grades are written for all lines; turned on after it, for none."""
        stage = await open_with(policy=shop(switches=NO_GRADES))
        await stage.sent(a_line("1"), a_line("2", sku="CAP"))
        await stage.inspect(line="1")
        await stage.pass_time(HOUR * 13)
        switch(stage, switches=Switches())
        await stage.inspect(line="2")
        await stage.reach(State.PROCESSING)
        assert dict(stage.portal.returns["77"].grades) == {"1": 1, "2": 1}

        switch(stage, switches=NO_GRADES)
        await stage.pass_time(DAY)
        assert (await stage.ret()).switches == Switches()

    async def test_turning_them_on_grades_no_judged_return(self, open_with):
        """A judged return stays without grades."""
        stage = await open_with(policy=shop(switches=NO_GRADES))
        await stage.sent()
        await stage.inspect()
        await stage.reach(State.CLOSED)
        switch(stage, switches=Switches())
        await stage.pass_time(8 * DAY)

        assert done(stage, "grade", "assess") == []


class TestLabels:
    async def test_no_label_is_made(self, open_with):
        """Without labels a request is only watched: Amazon is told nothing, and neither is Loop."""
        stage = await open_with(policy=shop(labels=False))
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.pass_time(3 * DAY)

        ret = await stage.ret()
        assert (ret.state, ret.requests[0].asked, ret.held) == (State.RECEIVED, RequestState.UNREAD, False)
        assert done(stage) == []
        assert stage.network.calls == []
        assert len([c for c in stage.portal.calls if c.operation == "label_request"]) < 120

    async def test_a_request_keeps_the_switch_under_which_it_was_heard(self, stage):
        """Labels switched off in the middle of a request: its label is made; the next request is left to others."""
        stage.ship(SOCK=2)
        await stage.submit()
        switch(stage, labels=False)
        await stage.reach(State.AWAITING_INSPECTION)
        await stage.submit(a_line("9"), return_id="78")
        await stage.pass_time(HOUR)

        assert (await stage.ret("78")).state is State.RECEIVED
        assert done(stage, "deliver_label") == ["deliver_label"]

    async def test_turning_them_on_waits_for_a_retry(self, open_with):
        """Switched on again, labels are made for requests heard from then on, and for others by a retry."""
        stage = await open_with(policy=shop(labels=False))
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.work()
        switch(stage, labels=True)
        await stage.pass_time(HOUR)
        assert (await stage.ret()).state is State.RECEIVED

        await stage.operator.retry("77", by="operator")
        await stage.reach(State.AWAITING_INSPECTION)
        assert done(stage, "deliver_label") == ["deliver_label"]

    async def test_a_retry_without_a_change_is_refused(self, open_with):
        """While labels are still switched off there is nothing to retry."""
        stage = await open_with(policy=shop(labels=False))
        await stage.submit()
        await stage.work()

        with pytest.raises(OperatorError, match="nothing to retry"):
            await stage.operator.retry("77", by="operator")

    async def test_a_return_that_ends_is_let_go(self, open_with):
        """Closed in Loop before any label came: nothing is left to wait for."""
        stage = await open_with(policy=shop(labels=False))
        await stage.submit()
        await stage.work()
        stage.portal.set_state("77", PortalState.CLOSED)
        await stage.tell(ReturnChanged(return_id="77", state=PortalState.CLOSED))
        await stage.pass_time(HOUR)

        assert (await stage.ret()).state is State.CLOSED

    async def test_other_destinations_are_left_alone(self, open_with):
        """A return to another destination is nobody's business here, whoever makes its label."""
        stage = await open_with(policy=shop(labels=False, destinations=frozenset({"9"})))
        await stage.submit(destination_id="8")
        await stage.work()

        assert (await stage.ret()).requests[0].asked is RequestState.NOT_OURS
