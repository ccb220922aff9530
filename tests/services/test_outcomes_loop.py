"""Case 6, the outcome in Loop: process, flag or remove, once; and what others did meanwhile."""

import pytest

from daemon.domain.portal import PortalState, ProcessingTrouble
from daemon.domain.returns import State
from daemon.domain.verdict import Treatment
from daemon.errors import OperatorError, Refused, Unavailable
from tests.services.parcels import PAGE, TWO, actions, judged, notes, tell_state
from tests.services.stage import DAY, HOUR
from tests.support.builders import a_line
from tests.support.fakes import Killed

AUTO = judged(PAGE, auto_process=True)
LOST = Unavailable("time-out")
THREE = (*TWO, a_line("3", "MUG"))


async def found(stage, *conditions, **fields):
    """A return of as many units as conditions, all inspected as soon as its label was out."""
    await stage.sent(*THREE[: len(conditions)], **fields)
    for line, condition in enumerate(conditions, start=1):
        await stage.inspect(condition, line=str(line))


class TestClean:
    async def test_it_is_processed_with_amazons_ids(self, stage):
        """Case 6: a clean return is noted and processed once, with the order, the RMA and the conditions beside it."""
        await found(stage, "Sellable")
        await stage.reach(State.CLOSED)
        assert actions(stage) == {"process": 1}
        (record,) = stage.portal.returns["77"].records
        assert record == {
            "processed_by": "mcfd",
            "amazon_order": "5001",
            "amazon_rma": "RMA-A1",
            "amazon_condition": "SOCK: sellable",
        }

    async def test_a_line_added_after_the_verdict_is_not_paid_for(self, stage):
        """Case 6: a line that joins the return between the verdict and the payment sends it to a person."""
        await found(stage, "Sellable")
        await stage.step_to(State.SETTLING)
        stage.portal.returns["77"].lines.append(a_line("9", "HAT"))
        await stage.reach(State.IN_REVIEW)
        assert actions(stage) == {"flag": 1}
        assert len(notes(stage, "an item was added after the verdict")) == 1


class TestExchange:
    async def test_what_is_discrepant_is_removed_in_one_call(self, open_with):
        """Case 6: with auto-process, one `remove` names every discrepant line; Loop processes the rest; no flag."""
        stage = await open_with(policy=AUTO)
        await found(stage, "Sellable", "Defective", "CustomerDamaged", has_exchange=True)
        await stage.reach(State.CLOSED)
        assert actions(stage) == {"remove": 1}
        assert stage.portal.made("remove")[0].arguments == ("77", ("2", "3"))
        assert len(notes(stage, "These items are removed, the rest is processed.")) == 1
        assert stage.portal.returns["77"].was_processed

    async def test_the_note_comes_first(self, open_with):
        """Case 6: the timeline says why before anything is removed."""
        stage = await open_with(policy=AUTO)
        seen = []

        async def look():
            seen.extend(notes(stage, "Discrepancy"))

        stage.portal.meanwhile("remove", look)
        await found(stage, "Sellable", "Defective", has_exchange=True)
        await stage.reach(State.CLOSED)
        assert seen == ["Discrepancy: CAP defective. These items are removed, the rest is processed."]

    async def test_a_refused_line_is_removed_too(self, open_with):
        """Case 6: a `not_returnable` line is never paid for: it is removed with the damaged ones."""
        stage = await open_with(policy=AUTO)
        stage.network.refuse = {"CAP": ("NotReturnable", "too old")}
        await stage.sent(*TWO, has_exchange=True)
        await stage.inspect(line="1")
        await stage.reach(State.CLOSED)
        assert stage.portal.made("remove")[0].arguments == ("77", ("2",))

    async def test_loops_refusal_is_a_flag(self, open_with):
        """Case 6: Loop removes refund lines only; when it refuses, the return is noted and flagged."""
        stage = await open_with(policy=AUTO)
        stage.portal.fail("remove", Refused("UNPROCESSABLE", "Only refund lines qualify."))
        await found(stage, "Sellable", "Defective", has_exchange=True)
        await stage.reach(State.IN_REVIEW)
        assert actions(stage) == {"remove": 1, "flag": 1}
        assert len(notes(stage, "Only refund lines qualify.")) == 1

    async def test_all_lines_discrepant_is_a_flag(self, open_with):
        """Case 6: when every line is discrepant nothing is removed, for that would cancel the return."""
        stage = await open_with(policy=AUTO)
        await found(stage, "Defective", "CustomerDamaged", has_exchange=True)
        await stage.reach(State.IN_REVIEW)
        assert actions(stage) == {"flag": 1}

    async def test_the_clean_line_is_gone_meanwhile(self, open_with):
        """Case 6: when a person takes the clean line out after the verdict, the rest is flagged, not cancelled."""
        stage = await open_with(policy=AUTO)
        await found(stage, "Sellable", "Defective", has_exchange=True)
        await stage.step_to(State.SETTLING)
        ret = stage.portal.returns["77"]
        ret.lines = [line for line in ret.lines if line.line_id != "1"]
        await stage.reach(State.IN_REVIEW)
        assert actions(stage) == {"flag": 1}
        assert len(notes(stage, "nothing else is left")) == 1

    @pytest.mark.parametrize(("exchange", "auto"), [(False, True), (True, False)])
    async def test_without_exchange_or_leave_it_is_a_flag(self, open_with, exchange, auto):
        """Case 6: a return without an exchange, or a shop that has not asked for it, is flagged."""
        stage = await open_with(policy=judged(PAGE, auto_process=auto))
        await found(stage, "Sellable", "Defective", has_exchange=exchange)
        await stage.reach(State.IN_REVIEW)
        assert actions(stage) == {"flag": 1}

    @pytest.mark.parametrize("after", [False, True])
    async def test_killed_while_removing(self, open_with, after):
        """Case 6: a daemon that dies in the call looks first: the lines are removed once."""
        stage = await open_with(policy=AUTO)
        stage.portal.fail("remove", Killed(), after=after)
        await found(stage, "Sellable", "Defective", has_exchange=True)
        with pytest.raises(Killed):
            await stage.pass_time(DAY)
        await stage.restart()
        await stage.reach(State.CLOSED)
        assert stage.portal.count("remove") == (1 if after else 2)
        assert stage.portal.returns["77"].was_processed
        assert [line.line_id for line in stage.portal.returns["77"].lines] == ["1"]


class TestNotReturnable:
    async def test_a_refused_line_sends_the_clean_rest_to_a_person(self, stage):
        """Case 6: `process` would pay for the refused line, too: the return is flagged although all came back clean."""
        stage.network.refuse = {"CAP": ("NotReturnable", "too old")}
        await stage.sent(*TWO)
        await stage.inspect(line="1")
        await stage.reach(State.IN_REVIEW)
        assert notes(stage, "Discrepancy") == ["Discrepancy: CAP not returnable. Sent to Needs Review."]
        assert actions(stage) == {"flag": 1}

    async def test_a_line_that_was_taken_out_and_put_back(self, stage):
        """Case 6: a line that had left the return, and is in it again, is not paid for unseen."""
        await stage.sent(*TWO)
        ret = stage.portal.returns["77"]
        cap = ret.lines.pop()
        await stage.inspect("Defective", line="1")
        await stage.inspect("Sellable", line="2")
        await stage.reach(State.IN_REVIEW)
        with pytest.raises(OperatorError, match="in Needs Review in Loop: lift its flag there"):
            await stage.operator.retry("77", "ops")
        assert notes(stage, "Nothing was done") == []
        await tell_state(stage, PortalState.OPEN)
        ret.lines.append(cap)
        ret.flagged = False
        await stage.operator.retry("77", "ops")
        await stage.work()
        assert "process" not in actions(stage)

    async def test_a_shop_may_let_it_pass(self, open_with):
        """Case 6: only a shop that says so pays for what Amazon did not take back."""
        stage = await open_with(policy=judged(PAGE, not_returnable=Treatment.IGNORE))
        stage.network.refuse = {"CAP": ("NotReturnable", "too old")}
        await stage.sent(*TWO)
        await stage.inspect(line="1")
        await stage.reach(State.CLOSED)
        assert actions(stage) == {"process": 1}


class TestExpiredInLoop:
    async def test_goods_came_all_the_same(self, stage):
        """Case 6: a return that expired in Loop, whose goods came clean, is noted and flagged, never processed."""
        await stage.sent()
        await tell_state(stage, PortalState.EXPIRED)
        await stage.inspect()
        stage.portal.meanwhile("flag", lambda: _reopen(stage))
        await stage.reach(State.IN_REVIEW)
        assert actions(stage) == {"flag": 1}

    async def test_the_flag_is_refused(self, stage):
        """Case 6: when Loop takes no flag for it, a note and the metric `unsettled` tell people; it is closed here."""
        await stage.sent()
        await tell_state(stage, PortalState.EXPIRED)
        await stage.inspect()
        await stage.reach(State.CLOSED)
        await stage.work()
        assert stage.metrics.troubles["unsettled"] == 1
        assert len(notes(stage, "This return was not settled")) == 1
        assert actions(stage) == {"flag": 1}
        await stage.pass_time(30 * DAY)
        assert actions(stage) == {"flag": 1}


async def _reopen(stage):
    stage.portal.set_state("77", PortalState.OPEN)


class TestSettledAlready:
    @pytest.mark.parametrize("condition", ["Sellable", "Defective"])
    @pytest.mark.parametrize(
        ("state", "ends"), [(PortalState.CLOSED, State.CLOSED), (PortalState.REVIEW, State.IN_REVIEW)]
    )
    async def test_it_is_graded_and_noted_only(self, stage, state, ends, condition):
        """Case 6: closed or in review in Loop before the inspection: graded, assessed, noted; no process, no flag."""
        await stage.sent()
        await tell_state(stage, state)
        await stage.inspect(condition)
        await stage.reach(ends)
        await stage.work()
        ret = stage.portal.returns["77"]
        assert (ret.grades["1"], ret.assessments["1"]) == (1, 1)
        said = {PortalState.CLOSED: "closed", PortalState.REVIEW: "in Needs Review"}[state]
        assert len(notes(stage, f"the return is {said} in Loop")) == 1
        assert actions(stage) == {}

    async def test_processed_before_the_inspection_is_warned_about(self, stage):
        """Case 6: a return that Loop paid out too early is counted, and a note names the policy's setting."""
        await stage.sent()
        stage.portal.set_state("77", PortalState.CLOSED, was_processed=True)
        await tell_state(stage, PortalState.CLOSED)
        assert stage.metrics.troubles["processed_before_inspection"] == 1
        assert len(notes(stage, "turn off automatic processing")) == 1
        await stage.inspect()
        await stage.reach(State.CLOSED)
        assert actions(stage) == {}


class TestProcessing:
    async def test_loop_says_that_it_failed(self, stage):
        """Case 6: `return.processing.failed` is noted with its reason, and flagged once."""
        await found(stage, "Sellable")
        stage.portal.process_after = HOUR
        await stage.reach(State.PROCESSING)
        stage.portal.returns["77"].plan = "fail"
        await stage.tell(ProcessingTrouble(return_id="77"))
        await stage.tell(ProcessingTrouble(return_id="77"))
        await stage.reach(State.IN_REVIEW)
        assert notes(stage, "could not be processed") == [
            "The return could not be processed: Loop's history of the return says why. Sent to Needs Review."
        ]
        assert actions(stage) == {"process": 1, "flag": 1}

    async def test_loop_bounces_it_itself(self, stage):
        """Case 6: when Loop puts it into review by itself, it is watched there, without a flag of ours."""
        await found(stage, "Sellable")
        stage.portal.process_after = HOUR
        await stage.reach(State.PROCESSING)
        stage.portal.returns["77"].plan = "bounce"
        await stage.reach(State.IN_REVIEW)
        assert actions(stage) == {"process": 1}
        await tell_state(stage, PortalState.CLOSED)
        assert (await stage.ret()).state is State.CLOSED

    async def test_a_queue_that_never_ends_is_watched(self, stage):
        """Case 6: while nothing is heard, the return is read every ten minutes and never processed again."""
        await found(stage, "Sellable")
        await stage.reach(State.PROCESSING)
        stage.portal.returns["77"].plan = "lose"
        before = stage.portal.count("details")
        await stage.pass_time(HOUR)
        assert stage.portal.count("details") - before == 6
        assert ((await stage.ret()).state, actions(stage)) == (State.PROCESSING, {"process": 1})

    async def test_an_unclear_process_that_had_no_effect(self, stage):
        """Case 6: after a lost answer the return is watched for ten minutes before it is processed again."""
        await found(stage, "Sellable")
        stage.portal.fail("process", LOST)
        await stage.reach(State.CLOSED)
        first, second = stage.portal.made("process")
        assert second.at - first.at >= 600


class TestReview:
    async def test_a_lifted_flag_is_left_alone(self, stage):
        """Case 6: a person lifts the flag and leaves it open: one note, no flag, no process; `retry` settles it."""
        await found(stage, "Defective")
        await stage.reach(State.IN_REVIEW)
        stage.portal.returns["77"].flagged = False
        await tell_state(stage, PortalState.OPEN)
        await tell_state(stage, PortalState.OPEN)
        await stage.pass_time(5 * DAY)
        assert len(notes(stage, "The flag was lifted")) == 1
        assert actions(stage) == {"flag": 1}
        await stage.operator.retry("77", "ops")
        await stage.work()
        assert actions(stage) == {"flag": 2}

    @pytest.mark.parametrize("state", [PortalState.CLOSED, PortalState.CANCELLED])
    async def test_a_person_settles_it(self, stage, state):
        """Case 6: closed or cancelled by a person in review, with or without a webhook, it is over here."""
        await found(stage, "Defective")
        await stage.reach(State.IN_REVIEW)
        stage.portal.set_state("77", state)
        await stage.reach(State.CLOSED, within=13 * HOUR)
        assert actions(stage) == {"flag": 1}

    @pytest.mark.parametrize("after", [False, True])
    async def test_killed_while_flagging(self, stage, after):
        """Case 6: a daemon that dies in the call flags once."""
        stage.portal.fail("flag", Killed(), after=after)
        await found(stage, "Defective")
        with pytest.raises(Killed):
            await stage.pass_time(DAY)
        await stage.restart()
        await stage.reach(State.IN_REVIEW)
        assert stage.portal.returns["77"].flags == 1
