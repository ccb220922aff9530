"""Findings become one outcome in the portal, and the outcome is watched to its end."""

import pytest

from daemon.domain.portal import PortalState, ProcessingTrouble, ReturnChanged
from daemon.domain.returns import State
from daemon.domain.verdict import Rule, Treatment
from daemon.errors import RateLimited, Refused, Unavailable
from tests.services.stage import DAY, HOUR, ORDER_TEMPLATES
from tests.support.builders import a_line
from tests.support.configured import a_policy, clocks, judgement

LOST = Unavailable("time-out")
REMOVING = a_policy(order_id_templates=ORDER_TEMPLATES, verdict=judgement(auto_process=True))


def loop(stage):
    """The return as Loop has it."""
    return stage.portal.returns["77"]


def notes(stage, words) -> list[str]:
    """The notes on the timeline that say this."""
    return [note for note in loop(stage).notes if words in note]


def done_in_loop(stage) -> list[str]:
    """What was done to the return, oldest first, without reading and grading."""
    return [c.operation for c in stage.portal.calls if c.operation in {"flag", "process", "remove"}]


def told(state: PortalState, *line_ids: str) -> ReturnChanged:
    """A webhook that says how the return stands, with its lines."""
    return ReturnChanged(return_id="77", state=state, line_ids=frozenset(line_ids))


async def _flagged(stage) -> None:
    stage.portal.set_state("77", PortalState.REVIEW)
    await stage.tell(told(PortalState.REVIEW, "1"))


async def _cancelled(stage) -> None:
    stage.portal.set_state("77", PortalState.CANCELLED)
    await stage.tell(told(PortalState.CANCELLED, "1"))


async def _line_added(stage) -> None:
    loop(stage).lines.append(a_line("9", "HAT"))
    await stage.tell(told(PortalState.OPEN, "1", "9"))


async def _noted(stage) -> None:
    """Loop announces what mcfd did itself."""
    await stage.tell(told(PortalState.OPEN, "1"))


class TestNewsAroundTheVerdict:
    """Between the reading that is judged and the call that pays, within one walk."""

    @pytest.mark.parametrize("during", ["details", "write_note"])
    @pytest.mark.parametrize(
        ("news", "state", "done"),
        [
            (_flagged, State.IN_REVIEW, []),
            (_cancelled, State.CLOSED, []),
            (_line_added, State.IN_REVIEW, ["flag"]),
        ],
    )
    async def test_it_is_read_before_anything_is_paid(self, stage, news, state, done, during):
        """A merchant flags or cancels the return or adds an item: nothing that nobody judged is paid."""
        await stage.sent()
        await stage.work()
        stage.portal.meanwhile(during, lambda: news(stage), after=True)
        await stage.inspect()
        await stage.reach(state)

        assert done_in_loop(stage) == done
        assert not (await stage.ret()).needs_read

    async def test_our_own_echo_costs_no_reading(self, stage):
        """Loop may announce our note and our grade as changes of the return: its lines are those that were judged."""
        await stage.sent()
        await stage.work()
        before = stage.portal.count("details")
        for operation in ("write_note", "grade", "assess", "process"):
            stage.portal.meanwhile(operation, lambda: _noted(stage), after=True)
        await stage.inspect()
        await stage.reach(State.PROCESSING)

        assert done_in_loop(stage) == ["process"]
        assert stage.portal.count("details") == before + 1
        assert not (await stage.ret()).needs_read

    async def test_the_echo_of_our_flag_costs_no_reading(self, stage):
        """That the return is in review is no news while mcfd asks for that."""
        await stage.sent()
        await stage.work()
        before = stage.portal.count("details")
        stage.portal.meanwhile("flag", lambda: stage.tell(told(PortalState.REVIEW, "1")), after=True)
        await stage.inspect("Defective")
        await stage.reach(State.IN_REVIEW)
        await stage.work()

        assert stage.portal.count("details") == before + 1

    async def test_an_end_that_overtakes_the_answer_is_read_at_once(self, stage):
        """Loop has closed the return before its answer to `process` comes: that is not waited for."""
        await stage.sent()
        stage.portal.process_after = 0.0
        stage.portal.meanwhile("process", lambda: stage.tell(told(PortalState.CLOSED, "1")), after=True)
        await stage.inspect()
        await stage.reach(State.CLOSED)

        (asked,) = stage.portal.made("process")
        assert stage.clock.now() - asked.at < 5.0


class TestClean:
    async def test_a_clean_return_is_processed_with_amazons_ids(self, stage):
        """All sellable: one note, one process call with Amazon's ids in its record, and nothing about the shopper."""
        await stage.sent()
        await stage.inspect()
        await stage.reach(State.PROCESSING)

        (record,) = loop(stage).records
        assert record == {
            "processed_by": "mcfd",
            "amazon_order": "5001",
            "amazon_rma": "RMA-A1",
            "amazon_condition": "SOCK: sellable",
        }
        assert len(notes(stage, "No discrepancy")) == 1
        assert done_in_loop(stage) == ["process"]

    async def test_a_hint_ends_it(self, stage):
        """The webhook says closed: the truth is read, and the return is CLOSED at once."""
        await stage.sent()
        await stage.inspect()
        await stage.reach(State.PROCESSING)
        stage.clock.advance(31.0)
        await stage.tell(ReturnChanged(return_id="77", state=PortalState.CLOSED))
        await stage.work()

        assert (await stage.ret()).state is State.CLOSED

    async def test_a_poll_ends_it(self, stage):
        """The webhook was lost: the list of closed returns tells the same."""
        await stage.sent()
        await stage.inspect()
        await stage.reach(State.PROCESSING)
        stage.clock.advance(31.0)
        await stage.portal.details("77", None)  # the portal's own clock closes it
        await stage.polls.returns()
        await stage.work()

        assert (await stage.ret()).state is State.CLOSED

    async def test_the_watch_ends_it(self, stage):
        """Without webhook and poll the return is read every `outcome_watch`."""
        await stage.sent()
        await stage.inspect()
        await stage.reach(State.PROCESSING)
        start = stage.clock.now()
        await stage.reach(State.CLOSED, within=HOUR)

        assert stage.clock.now() == start + 600.0

    @pytest.mark.slow
    async def test_a_slow_queue_is_waited_for(self, stage):
        """An open return in PROCESSING stays there; it is not processed again."""
        await stage.sent(plan="lose")
        await stage.inspect()
        await stage.reach(State.PROCESSING)
        await stage.pass_time(2 * DAY)

        assert (await stage.ret()).state is State.PROCESSING
        assert len(loop(stage).records) == 1

    @pytest.mark.slow
    async def test_a_failure_that_nobody_told_of_is_found_by_the_clock(self, stage):
        """Loop tells of a failed processing only by webhook: when that is lost, a person is told after some days."""
        await stage.sent(plan="lose")
        await stage.inspect()
        await stage.reach(State.PROCESSING)
        await stage.pass_time(4 * DAY)

        assert (await stage.ret()).state is State.IN_REVIEW
        assert done_in_loop(stage) == ["process", "flag"]
        assert len(notes(stage, "nothing was heard of it")) == 1


class TestUnclearProcess:
    async def test_it_is_not_repeated_when_it_had_its_effect(self, stage):
        """The answer was lost and the return closed meanwhile: settled, once."""
        await stage.sent()
        await stage.inspect()
        stage.portal.fail("process", LOST, after=True)
        await stage.reach(State.CLOSED)

        assert len(loop(stage).records) == 1

    async def test_it_is_repeated_only_after_a_watch_in_which_nothing_happened(self, stage):
        """The return stays open for one `outcome_watch`: then the call had no effect and is made again."""
        await stage.sent()
        await stage.inspect()
        stage.portal.fail("process", LOST)
        await stage.reach(State.CLOSED)

        first, second = stage.portal.made("process")
        assert second.at - first.at >= 600.0
        assert len(loop(stage).records) == 1

    async def test_a_restart_does_not_shorten_the_wait(self, stage):
        """A new process knows that the call was begun."""
        await stage.sent(plan="lose")
        await stage.inspect()
        stage.portal.fail("process", LOST, after=True)
        await stage.reach(State.SETTLING)
        await stage.restart()
        await stage.pass_time(599.0)

        assert stage.portal.count("process") == 1

    async def test_a_limit_costs_no_wait(self, stage):
        """A 429 had no effect for sure: the call is made again as soon as the limit allows, also after a restart."""
        await stage.sent()
        await stage.inspect()
        stage.portal.fail("process", RateLimited("429", retry_after=5.0))
        await stage.reach(State.SETTLING)
        await stage.restart()
        await stage.pass_time(5.0)

        assert len(loop(stage).records) == 1


class TestProcessingFails:
    async def test_a_failure_is_noted_and_flagged(self, stage):
        """The queue could not process it: a note, one flag, and no second try."""
        await stage.sent(plan="lose")
        await stage.inspect()
        await stage.reach(State.PROCESSING)
        for digest in ("a", "a", "b"):
            await stage.tell(ProcessingTrouble(return_id="77"), digest=digest)
        await stage.pass_time(DAY)

        assert (await stage.ret()).state is State.IN_REVIEW
        assert done_in_loop(stage) == ["process", "flag"]
        assert len(notes(stage, "could not be processed")) == 1

    async def test_a_refused_process_is_noted_and_flagged(self, stage):
        """Loop says no at once: the same as a failure later."""
        await stage.sent()
        await stage.inspect()
        stage.portal.fail("process", Refused("UNPROCESSABLE_RETURN", "policy"))
        await stage.reach(State.IN_REVIEW)

        assert done_in_loop(stage) == ["process", "flag"]
        assert len(notes(stage, "policy")) == 1

    async def test_a_return_that_loop_bounced_is_not_flagged(self, stage):
        """Loop itself put it into review, for an exchange out of stock, say: that is a flag already."""
        await stage.sent(plan="bounce")
        await stage.inspect()
        await stage.reach(State.IN_REVIEW)
        await stage.pass_time(DAY)

        assert loop(stage).flags == 0


class TestDiscrepant:
    async def test_the_note_is_written_before_the_flag(self, stage):
        """The reviewer never sees an unexplained flag; there is one of each, and nothing is processed."""
        await stage.sent(a_line("1", "SOCK"), a_line("2", "CAP"))
        await stage.inspect("Sellable", line="1")
        await stage.inspect("CustomerDamaged", line="2")
        stage.portal.meanwhile("flag", _expect(lambda: notes(stage, "Discrepancy: CAP damaged by the customer")))
        await stage.reach(State.IN_REVIEW)
        await stage.pass_time(5 * DAY)

        assert done_in_loop(stage) == ["flag"]
        assert len(notes(stage, "Discrepancy")) == 1

    async def test_a_line_that_was_not_returnable_is_a_discrepancy(self, stage):
        """`process` would pay for it: a person must see it."""
        stage.network.refuse = {"CAP": ("InvalidValues", "too old")}
        await stage.sent(a_line("1", "SOCK"), a_line("2", "CAP"))
        await stage.inspect("Sellable", line="1")
        await stage.reach(State.IN_REVIEW)

        assert len(notes(stage, "CAP not returnable")) == 1

    async def test_a_line_that_was_added_later_is_a_discrepancy(self, stage):
        """Edited in Loop after the authorization: nobody expects that line, and `process` would pay for it."""
        await stage.sent()
        loop(stage).lines.append(a_line("2", "CAP"))
        await stage.inspect()

        await stage.reach(State.IN_REVIEW)

    async def test_a_line_that_was_removed_leaves_the_verdict(self, stage):
        """Edited out of the return: its condition decides nothing any more."""
        await stage.sent(a_line("1", "SOCK"), a_line("2", "CAP"))
        loop(stage).lines.pop()
        await stage.inspect("Sellable", line="1")
        await stage.inspect("Defective", line="2")

        await stage.reach(State.CLOSED)
        assert done_in_loop(stage) == ["process"]

    async def test_a_flag_whose_answer_was_lost_is_not_repeated(self, stage):
        """Details say review: done."""
        await stage.sent()
        await stage.inspect("Defective")
        stage.portal.fail("flag", LOST, after=True)
        await stage.reach(State.IN_REVIEW)
        await stage.pass_time(DAY)

        assert stage.portal.count("flag") == 1

    async def test_a_flag_that_is_refused_because_it_is_there_is_done(self, stage):
        """A person was faster: Loop refuses a second flag, and the details say review."""
        await stage.sent()
        await stage.inspect("Defective")
        stage.portal.meanwhile("flag", _put(stage, PortalState.REVIEW))
        await stage.reach(State.IN_REVIEW)

        assert loop(stage).flags == 0

    async def test_a_flag_that_is_refused_for_good_needs_a_person(self, stage):
        """Loop will not review an open return: STUCK, with its words."""
        await stage.sent()
        await stage.inspect("Defective")
        stage.portal.fail("flag", Refused("UNPROCESSABLE_RETURN", "not now"), times=9)
        ret = await stage.reach(State.STUCK)

        assert "not now" in ret.problem

    @pytest.mark.slow
    async def test_a_missing_unit_is_a_discrepancy_after_its_clock(self, stage):
        """A sibling of a processed unit that is still expected a week later is missing, graded so, and flagged."""
        await stage.sent(a_line("1"), a_line("2"))
        await stage.inspect("Sellable", line="1")
        await stage.pass_time(6.9 * DAY)
        assert (await stage.ret()).state is State.AWAITING_INSPECTION

        await stage.reach(State.IN_REVIEW, within=DAY)
        assert loop(stage).lines[1].grade == "missing"
        assert len(notes(stage, "Missing: SOCK")) == 1

    async def test_a_rule_may_let_a_cheap_unit_pass(self, open_with):
        """The operator's table decides per condition, SKU, reason and value."""
        rule = Rule(then=Treatment.PROCESS, sku="SO*", condition="Defective", max_value_cents=2000)
        policy = a_policy(order_id_templates=ORDER_TEMPLATES, verdict=judgement(rules=(rule,)))
        stage = await open_with(policy=policy)
        await stage.sent()
        await stage.inspect("Defective")

        await stage.reach(State.CLOSED)


class TestSettledAlready:
    @pytest.mark.parametrize(
        ("state", "ours"),
        [
            (PortalState.REVIEW, State.IN_REVIEW),
            (PortalState.CLOSED, State.CLOSED),
            (PortalState.CANCELLED, State.CLOSED),
        ],
    )
    @pytest.mark.parametrize("condition", ["Sellable", "Defective"])
    async def test_it_is_graded_and_noted_only(self, stage, state, ours, condition):
        """In review, closed or cancelled in Loop already: neither processed nor flagged, whatever was found."""
        await stage.sent()
        stage.portal.set_state("77", state)
        await stage.inspect(condition)
        await stage.reach(ours)
        await stage.pass_time(DAY)

        assert done_in_loop(stage) == []
        assert loop(stage).grades == loop(stage).assessments == {"1": 1}
        assert len(notes(stage, "Nothing was done")) == 1

    async def test_a_person_may_be_faster_than_the_verdict(self, stage):
        """Between verdict and process the return was closed: the details are read once more before acting."""
        await stage.sent()
        await stage.inspect()
        await stage.step_to(State.SETTLING)
        stage.portal.set_state("77", PortalState.CLOSED, was_processed=True)
        await stage.reach(State.CLOSED)

        assert done_in_loop(stage) == []

    async def test_a_return_processed_before_its_inspection_is_warned_about(self, stage):
        """Loop paid out on a scan: one note that names the policy setting, one count; the inspection is still noted."""
        await stage.sent()
        stage.portal.set_state("77", PortalState.CLOSED, was_processed=True)
        for digest in ("a", "b"):
            await stage.tell(ReturnChanged(return_id="77", state=PortalState.CLOSED), digest=digest)
            await stage.work()
        await stage.inspect("Defective")
        await stage.pass_time(DAY)

        assert len(notes(stage, "Processed before Amazon inspected it")) == 1
        assert len(notes(stage, "Amazon inspected SOCK at LEX1: defective")) == 1
        assert done_in_loop(stage) == []

    async def test_a_return_that_has_expired_in_loop_is_flagged(self, stage):
        """The goods came all the same: a person must decide."""
        await stage.sent()
        stage.portal.set_state("77", PortalState.EXPIRED)
        stage.portal.meanwhile("flag", _put(stage, PortalState.OPEN))
        await stage.inspect()
        await stage.reach(State.IN_REVIEW)

        assert done_in_loop(stage) == ["flag"]

    async def test_an_expired_return_that_loop_will_not_flag_is_left_with_a_note(self, stage):
        """Flag refused: one note, one count of unsettled returns, and no more tries."""
        await stage.sent()
        stage.portal.set_state("77", PortalState.EXPIRED)
        await stage.inspect()
        await stage.reach(State.CLOSED)
        await stage.work()

        assert len(notes(stage, "not settled")) == 1
        assert stage.metrics.troubles["unsettled"] == 1


class TestInReview:
    async def reviewed(self, stage):
        """A damaged return that we flagged."""
        await stage.sent()
        await stage.inspect("Defective")
        await stage.reach(State.IN_REVIEW)

    async def test_a_lifted_flag_is_noted_once_and_never_set_again(self, stage):
        """A person left the return open: mcfd says that it does nothing more, and keeps to it."""
        await self.reviewed(stage)
        stage.portal.set_state("77", PortalState.OPEN, flagged=False)
        for digest in ("a", "b"):
            await stage.tell(ReturnChanged(return_id="77", state=PortalState.OPEN), digest=digest)
            await stage.work()
        await stage.pass_time(5 * DAY)

        assert len(notes(stage, "The flag was lifted")) == 1
        assert done_in_loop(stage) == ["flag"]
        assert (await stage.ret()).state is State.IN_REVIEW

    async def test_a_lifted_flag_is_found_without_a_hint(self, stage):
        """The webhook was lost: the watch of the review finds it."""
        await self.reviewed(stage)
        stage.portal.set_state("77", PortalState.OPEN, flagged=False)
        await stage.pass_time(DAY)

        assert len(notes(stage, "The flag was lifted")) == 1

    @pytest.mark.parametrize("state", [PortalState.CLOSED, PortalState.CANCELLED])
    async def test_a_review_that_was_settled_is_closed(self, stage, state):
        """Closed, cancelled or processed by a person: over, without a further call."""
        await self.reviewed(stage)
        stage.portal.set_state("77", state)
        await stage.tell(ReturnChanged(return_id="77", state=state))
        await stage.work()

        assert (await stage.ret()).state is State.CLOSED
        assert done_in_loop(stage) == ["flag"]

    async def test_a_person_may_send_it_back_to_be_settled(self, stage):
        """After `mcfd retry` the verdict is made anew on the return as it is now."""
        await self.reviewed(stage)
        loop(stage).lines[0] = a_line("9", "OTHER")
        loop(stage).lines.pop(0)
        loop(stage).lines.append(a_line("1"))
        stage.portal.set_state("77", PortalState.OPEN, flagged=False)
        await stage.tell(ReturnChanged(return_id="77", state=PortalState.OPEN))
        await stage.work()
        await stage.operator.retry("77", "ann")
        await stage.reach(State.IN_REVIEW)

        assert done_in_loop(stage) == ["flag", "flag"]


class TestExchanges:
    async def test_discrepant_lines_are_removed_in_one_call(self, open_with):
        """The rest of an exchange is processed at once: all discrepant lines in one `remove`, no flag."""
        stage = await open_with(policy=REMOVING)
        await stage.sent(a_line("1"), a_line("2"), a_line("3"), has_exchange=True)
        for line, condition in (("1", "Sellable"), ("2", "Defective"), ("3", "Defective")):
            await stage.inspect(condition, line=line)
        await stage.reach(State.CLOSED)

        assert [call.arguments for call in stage.portal.made("remove")] == [("77", ("2", "3"))]
        assert done_in_loop(stage) == ["remove"]

    async def test_never_when_every_line_is_discrepant(self, open_with):
        """Removing all of them would cancel the return: flagged instead."""
        stage = await open_with(policy=REMOVING)
        await stage.sent(has_exchange=True)
        await stage.inspect("Defective")
        await stage.reach(State.IN_REVIEW)

        assert done_in_loop(stage) == ["flag"]

    async def test_a_refused_removal_is_flagged(self, open_with):
        """Only refund and credit lines qualify today: when Loop refuses, a note says so and a person decides."""
        stage = await open_with(policy=REMOVING)
        await stage.sent(a_line("1"), a_line("2"), has_exchange=True)
        await stage.inspect("Sellable", line="1")
        await stage.inspect("Defective", line="2")
        stage.portal.fail("remove", Refused("UNPROCESSABLE", "not all qualify"))
        await stage.reach(State.IN_REVIEW)

        assert done_in_loop(stage) == ["remove", "flag"]
        assert len(notes(stage, "not all qualify")) == 1

    async def test_a_removal_whose_answer_was_lost_is_not_repeated(self, open_with):
        """The lines are gone and the return is closed: done."""
        stage = await open_with(policy=REMOVING)
        await stage.sent(a_line("1"), a_line("2"), has_exchange=True)
        await stage.inspect("Sellable", line="1")
        await stage.inspect("Defective", line="2")
        stage.portal.fail("remove", LOST, after=True)
        await stage.reach(State.CLOSED)

        assert stage.portal.count("remove") == 1


class TestNothingCame:
    async def test_a_silent_return_expires_and_wakes_when_goods_come(self, open_with):
        """Nothing was scanned or received for 45 days: EXPIRED with a note; goods that come later are settled."""
        stage = await open_with(timings=clocks(missing_silent=10 * DAY))
        await stage.sent()
        await stage.reach(State.EXPIRED, within=11 * DAY)
        assert len(notes(stage, "it has expired")) == 1
        assert done_in_loop(stage) == []

        await stage.inspect()
        await stage.reach(State.CLOSED, within=8 * DAY)
        assert done_in_loop(stage) == ["process"]


def _expect(condition):
    async def act():
        assert condition()

    return act


def _put(stage, state):
    async def act():
        stage.portal.set_state("77", state)

    return act
