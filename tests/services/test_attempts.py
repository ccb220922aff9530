"""What a failure costs: nothing while the vendor is away, an attempt when it fails one return and answers others."""

from itertools import count, pairwise

import pytest
from structlog.testing import capture_logs

from daemon.domain.portal import PortalState, RequestIssued, ReturnChanged
from daemon.domain.problems import ProblemCode
from daemon.domain.returns import RequestState, State
from daemon.engine.walker import try_again_now
from daemon.errors import ContractBroken, CredentialsRefused, RateLimited, Refused, Unavailable
from tests.services.parcels import PAGE, TWO, actions, buying, errors, judged, notes
from tests.services.stage import DAY, HOUR, Stage
from tests.support.builders import a_line, a_portal_request
from tests.support.fakes import Killed

pytestmark = pytest.mark.slow

DOWN = Unavailable("status 500")
GONE = Refused("NOT_FOUND", "No return found with this ID.")
PAGE_OF_HTML = ContractBroken("the answer is not JSON")
MINUTE = 60.0


def failing_for(vendor, operation: str, victim: str, error: Exception = DOWN) -> None:
    """Let every call of that operation fail whose arguments name the victim; others are answered."""
    real = getattr(vendor, operation)

    async def call(*arguments: object):
        if victim not in repr(arguments):
            return await real(*arguments)
        async with vendor._call(f"failing {operation}", *arguments):
            raise error

    setattr(vendor, operation, call)


class Neighbours:
    """Other returns of the shop, one after the other."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._ids = count(100)

    async def come(self, times: int = 1, *, every: float = HOUR, condition: str = "") -> None:
        """A return gets its label, and with a condition it is inspected and settled; then time passes."""
        for _ in range(times):
            return_id = str(next(self._ids))
            self._stage.ship(return_id, SOCK=1)
            await self._stage.submit(a_line(f"L{return_id}"), return_id=return_id, provider_order_id=return_id)
            await self._stage.pass_time(MINUTE)
            if condition:
                await self._stage.inspect(condition, line=f"L{return_id}", return_id=return_id)
                await self._stage.pass_time(13 * HOUR)
            await self._stage.pass_time(every)


@pytest.fixture
def neighbours(stage):
    return Neighbours(stage)


async def tries(stage, return_id="77") -> int:
    return (await stage.ret(return_id)).attempts


class TestOneReturnOnly:
    async def test_a_create_call_that_fails_for_one_return_needs_a_person(self, stage, neighbours):
        """Others get their labels meanwhile: after eight attempts STUCK, with one note and one label request error."""
        failing_for(stage.network, "create_return", "-77-")
        stage.ship(SOCK=1)
        await stage.submit()
        await neighbours.come(24)

        ret = await stage.ret()
        assert (ret.state, ret.problem) == (State.STUCK, "status 500")
        assert errors(stage) == ("mcfd could not make a label: status 500",)
        assert len(notes(stage, "status 500")) == 1
        assert (await stage.ret("100")).state is State.AWAITING_INSPECTION

    async def test_its_attempts_are_few_and_ever_further_apart(self, stage, neighbours):
        """From the first that cost something on Amazon is asked seven times more, over hours."""
        failing_for(stage.network, "create_return", "-77-")
        stage.ship(SOCK=1)
        await stage.submit()
        await neighbours.come(60, every=15 * MINUTE)

        asked = [call.at for call in stage.network.made("failing create_return")][-8:]
        pauses = [later - earlier for earlier, later in pairwise(asked)]
        assert (await stage.ret()).state is State.STUCK
        assert pauses == sorted(pauses)
        assert 6 * HOUR < asked[-1] - asked[0] < 12 * HOUR

    async def test_while_nobody_else_is_answered_nothing_is_lost(self, stage, neighbours):
        """The only return there is waits for days; when Amazon is back it gets its label."""
        stage.network.fail("create_return", DOWN, times=10_000)
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.pass_time(3 * DAY)
        assert ((await stage.ret()).state, await tries(stage)) == (State.RECEIVED, 0)

        stage.network._before.clear()
        await stage.reach(State.AWAITING_INSPECTION, within=5 * MINUTE)

    async def test_an_outage_after_it_costs_no_further_attempt(self, stage, neighbours):
        """Attempts are spent only within hours of an answer to somebody else: the next days cost none."""
        failing_for(stage.network, "create_return", "-77-")
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.pass_time(MINUTE)
        await neighbours.come()
        spent = await tries(stage)
        await stage.pass_time(5 * DAY)

        assert 0 < spent < await tries(stage) < 8
        assert (await stage.ret()).state is State.RECEIVED

    async def test_another_call_that_is_answered_says_nothing_of_this_one(self, stage, neighbours):
        """Orders can be read and returns not be created: the create calls are away for all."""
        stage.network.fail("create_return", DOWN, times=10_000)
        stage.ship(SOCK=1)
        await stage.submit()
        await neighbours.come(10)

        assert ((await stage.ret()).state, await tries(stage)) == (State.RECEIVED, 0)

    async def test_a_refusal_of_another_is_an_answer(self, stage, neighbours):
        """Amazon that refuses others is there, too."""
        failing_for(stage.network, "create_return", "-77-")
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.pass_time(MINUTE)
        stage.network.refuse = {"SOCK": ("NotReturnable", "Window closed.")}
        await neighbours.come()

        assert await tries(stage) > 0

    @pytest.mark.parametrize("error", [RateLimited("429"), CredentialsRefused("401")])
    async def test_a_limit_and_refused_credentials_cost_none(self, stage, neighbours, error):
        """They say nothing about the return, whoever else is answered."""
        failing_for(stage.network, "create_return", "-77-", error)
        stage.ship(SOCK=1)
        await stage.submit()
        await neighbours.come(12)

        assert ((await stage.ret()).state, await tries(stage)) == (State.RECEIVED, 0)

    async def test_its_deadline_does_not_move(self, stage, neighbours):
        """What costs an attempt counts as waiting; the first hour of failures, in which a shopper waits, does not."""
        failing_for(stage.network, "create_return", "-77-")
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.pass_time(HOUR + MINUTE)
        assert await tries(stage) == 0
        forgiven = (await stage.ret()).deadline_at - stage.clock.now()
        await neighbours.come(every=0.0)
        await stage.pass_time(5 * MINUTE)
        before = await stage.ret()
        await stage.pass_time(10 * MINUTE)

        assert forgiven > HOUR - MINUTE
        assert await tries(stage) > before.attempts > 0
        assert (await stage.ret()).deadline_at == before.deadline_at

    async def test_restarts_in_a_row_spend_no_attempt(self, stage, neighbours):
        """A daemon that is started again every minute tries at each start, and knows of no answer to anybody."""
        failing_for(stage.network, "create_return", "-77-")
        stage.ship(SOCK=1)
        await stage.submit()
        await neighbours.come(2)
        spent = await tries(stage)
        for _ in range(20):
            await stage.restart()
            await try_again_now(stage.store, stage.clock)
            await stage.pass_time(MINUTE)

        assert (await tries(stage), (await stage.ret()).state) == (spent, State.RECEIVED)

    async def test_a_restart_between_does_not_take_attempts_back(self, stage, neighbours):
        """What was spent is stored: a poisoned return comes to its end also with a daemon that is restarted daily."""
        failing_for(stage.network, "create_return", "-77-")
        stage.ship(SOCK=1)
        await stage.submit()
        for _ in range(12):
            await neighbours.come(3, every=2 * HOUR)
            await stage.restart()

        assert (await stage.ret()).state is State.STUCK

    async def test_processing_that_fails_for_one_return_needs_a_person(self, stage, neighbours):
        """Each unclear try is watched first; the attempts add up all the same. Loop closes the others."""
        await stage.sent()
        failing_for(stage.portal, "process", "'77'")
        await stage.inspect()
        await neighbours.come(12, condition="Sellable")

        assert ((await stage.ret()).state, (await stage.ret()).problem) == (State.STUCK, "status 500")
        assert (await stage.ret("100")).state is State.CLOSED

    async def test_a_note_that_fails_for_one_return_is_let_go(self, stage, neighbours):
        """The timeline of one return takes no note: it is processed without them, and that is counted."""
        failing_for(stage.portal, "write_note", "'77'")
        await stage.sent()
        await stage.inspect()
        await neighbours.come(60)

        assert (await stage.ret()).state is State.CLOSED
        assert stage.metrics.troubles["write_notes_refused"] >= 1
        assert actions(stage) == {"process": 1}


class TestALabelThatIsNotTaken:
    """Loop answers every reading, and every post of one label with an error."""

    async def _ready(self, stage: Stage) -> None:
        failing_for(stage.portal, "deliver_label", "'q77'")
        stage.ship(SOCK=1)
        await stage.submit()

    async def test_its_posts_are_ever_further_apart(self, stage):
        """As in any trouble while a shopper waits: soon half a minute, and the readings between do not start anew."""
        await self._ready(stage)
        await stage.pass_time(HOUR)

        posts = [call.at for call in stage.portal.made("failing deliver_label")]
        pauses = [later - earlier for earlier, later in pairwise(posts)]
        assert pauses == sorted(pauses)
        assert pauses[-1] == 35.0

    async def test_alone_it_needs_a_person_at_the_deadline(self, stage):
        """No other label is posted meanwhile, but Loop can be read: a day after it was ready, and not before."""
        await self._ready(stage)
        await stage.pass_time(DAY - MINUTE)
        ret = await stage.ret()
        assert (ret.state, ret.attempts) == (State.LABEL_READY, 0)
        await stage.pass_time(20 * MINUTE)

        ret = await stage.ret()
        assert (ret.state, ret.problem, ret.problem_code) == (State.STUCK, "status 500", ProblemCode.VENDOR_SILENT)
        assert errors(stage) == ("mcfd could not make a label: status 500",)
        assert stage.portal.count("failing deliver_label") < 600

    async def test_it_needs_a_person_when_others_get_theirs(self, stage, neighbours):
        """Eight attempts after the first hour, as for every call that fails for one return only."""
        await self._ready(stage)
        await neighbours.come(24)

        assert ((await stage.ret()).state, (await stage.ret()).problem) == (State.STUCK, "status 500")
        assert (await stage.ret("100")).state is State.AWAITING_INSPECTION

    async def test_an_outage_of_the_portal_is_not_its_deadline(self, stage):
        """Loop answers nobody for two days, from the first post on: the label is delivered afterwards."""
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step_to(State.LABEL_READY)
        stage.portal.outage = DOWN
        await stage.pass_time(2 * DAY)
        assert ((await stage.ret()).state, await tries(stage)) == (State.LABEL_READY, 0)

        stage.portal.outage = None
        await stage.reach(State.AWAITING_INSPECTION, within=10 * MINUTE)
        assert len(stage.portal.labels) == 1

    async def test_a_restart_does_not_hurry_the_look_at_a_post(self, stage):
        """Between two posts there are some seconds: a new process waits for them, too."""
        await self._ready(stage)
        while (ret := await stage.ret()).verifications < 1:
            stage.clock.advance(max(0.0, ret.due_at - stage.clock.now()))
            await stage.step()
        await stage.restart()

        assert await try_again_now(stage.store, stage.clock) == 0
        assert (await stage.ret()).due_at == ret.due_at


class TestRemoval:
    async def discrepant(self, open_with) -> Stage:
        """An exchange of two lines, one of them broken."""
        stage = await open_with(policy=judged(PAGE, auto_process=True))
        await stage.sent(*TWO, has_exchange=True)
        await stage.inspect("Sellable", line="1")
        await stage.inspect("Defective", line="2")
        return stage

    async def test_one_that_fails_twice_is_flagged(self, open_with):
        """Loop documents a status 500 for what it cannot process: after the second one a person decides."""
        stage = await self.discrepant(open_with)
        stage.portal.fail("remove", DOWN, times=99)
        await stage.reach(State.IN_REVIEW)

        first, second = stage.portal.made("remove")
        assert second.at - first.at >= 10 * MINUTE
        assert actions(stage) == {"remove": 2, "flag": 1}
        assert len(notes(stage, "Loop did not remove the discrepant items")) == 1

    async def test_one_failure_is_no_reason(self, open_with):
        """The second call goes through: nothing is flagged."""
        stage = await self.discrepant(open_with)
        stage.portal.fail("remove", DOWN)
        await stage.reach(State.CLOSED)

        assert actions(stage) == {"remove": 2}

    async def test_one_whose_second_answer_was_lost_is_done(self, open_with):
        """The lines are gone, whatever was answered."""
        stage = await self.discrepant(open_with)
        stage.portal.fail("remove", DOWN)
        stage.portal.meanwhile("remove", _raise, after=True)
        await stage.reach(State.CLOSED)

        assert actions(stage) == {"remove": 2}

    async def test_a_crash_between_forgets_nothing(self, open_with):
        """The next process knows that the call was begun."""
        stage = await self.discrepant(open_with)
        stage.portal.fail("remove", DOWN, times=99)
        await stage.reach(State.SETTLING)
        for _ in range(5):
            await stage.restart()
            await try_again_now(stage.store, stage.clock)
            await stage.pass_time(MINUTE)
        await stage.reach(State.IN_REVIEW)

        assert actions(stage) == {"remove": 2, "flag": 1}


class TestReasons:
    async def test_reasons_that_cannot_be_asked_for_hold_up_no_label(self, stage):
        """Amazon answers 500 for the reasons of one SKU: the default reason is sent, and the label is made."""
        stage.network.fail("reason_codes", DOWN, times=10_000)
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.reach(State.AWAITING_INSPECTION, within=MINUTE)

        assert (await stage.unit()).reason_code == "CR-UNWANTED_ITEM"

    async def test_they_are_asked_for_again_after_minutes(self, stage):
        """Silence is remembered for five minutes, an answer for a day."""
        reasons = stage.contexts["acme"].account.reasons
        stage.network.fail("reason_codes", DOWN)
        assert await reasons.allowed("SOCK") == ()
        stage.clock.advance(4 * MINUTE)
        assert await reasons.allowed("SOCK") == ()
        assert stage.network.count("reason_codes") == 1

        stage.clock.advance(2 * MINUTE)
        codes = await reasons.allowed("SOCK")
        stage.clock.advance(23 * HOUR)
        assert "CR-UNWANTED_ITEM" in codes
        assert await reasons.allowed("SOCK") == codes
        assert stage.network.count("reason_codes") == 2

    async def test_what_was_known_yesterday_is_better_than_nothing(self, stage):
        """Codes that cannot be read anew stay in use."""
        reasons = stage.contexts["acme"].account.reasons
        codes = await reasons.allowed("SOCK")
        stage.clock.advance(2 * DAY)
        stage.network.fail("reason_codes", DOWN)

        assert await reasons.allowed("SOCK") == codes

    async def test_refused_credentials_are_no_answer_about_reasons(self, stage):
        """The connection is parked; no return is created with a reason that nobody chose."""
        stage.network.fail("reason_codes", CredentialsRefused("401"))
        with pytest.raises(CredentialsRefused):
            await stage.contexts["acme"].account.reasons.allowed("SOCK")


class TestReadings:
    @pytest.mark.parametrize("error", [GONE, PAGE_OF_HTML], ids=["refused", "unreadable"])
    async def test_a_few_odd_answers_do_not_end_a_return(self, stage, error):
        """Amazon is maintained for hours while a parcel is under way: its inspection still settles the return."""
        await stage.sent()
        stage.network.fail("order", error, times=7)
        await stage.inspect()
        await stage.reach(State.CLOSED, within=2 * DAY)

        assert actions(stage) == {"process": 1}

    @pytest.mark.parametrize("error", [GONE, PAGE_OF_HTML], ids=["refused", "unreadable"])
    async def test_eight_of_them_need_a_person_after_a_day(self, stage, error):
        """What stays unreadable for most of a day is told."""
        await stage.sent()
        await stage.pass_time(MINUTE)
        stage.network.fail("order", error, times=99)
        await stage.reach(State.STUCK, within=2 * DAY)

        asked = [call.at for call in stage.network.made("order")][-8:]
        assert 12 * HOUR < asked[-1] - asked[0] < DAY

    async def test_a_shopper_who_waits_is_told_within_the_hour(self, stage):
        """Before the label is out eight attempts take some tens of minutes."""
        stage.ship(SOCK=1)
        stage.network.fail("order", PAGE_OF_HTML, times=99)
        await stage.submit()
        start = stage.clock.now()
        await stage.reach(State.STUCK)

        assert 20 * MINUTE < stage.clock.now() - start < HOUR

    async def test_a_refused_reading_of_the_return_is_made_again(self, stage):
        """Loop once denies a return that it knows: the verdict is made at the next reading."""
        await stage.sent()
        await stage.inspect()
        stage.portal.fail("details", GONE)
        await stage.reach(State.CLOSED)

        assert actions(stage) == {"process": 1}

    async def test_a_refused_hint_is_followed_up(self, stage):
        """The hint is kept until it was read."""
        await stage.sent()
        stage.portal.set_state("77", PortalState.CLOSED, was_processed=True)
        stage.portal.fail("details", GONE, times=2)
        await stage.tell(ReturnChanged(return_id="77", state=PortalState.CLOSED))
        await stage.pass_time(HOUR)

        assert len(notes(stage, "Processed before Amazon inspected it")) == 1

    async def test_a_refused_look_for_the_authorization_is_made_again(self, stage):
        """The shopper gets the label a little later."""
        stage.network.authorization_delay = 10.0
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step_to(State.AWAITING_LABEL)
        stage.network.fail("order", GONE, times=2)

        await stage.reach(State.AWAITING_INSPECTION, within=5 * MINUTE)


class TestInforming:
    @pytest.mark.parametrize("error", [PAGE_OF_HTML, RuntimeError("a bug")], ids=["unreadable", "bug"])
    async def test_notes_that_cannot_be_read_back_are_let_go(self, stage, error):
        """A clean return is processed without them; the loss is counted."""
        await stage.sent()
        stage.portal.fail("write_note", DOWN)
        stage.portal.fail("notes", error, times=10_000)
        await stage.inspect()
        await stage.reach(State.CLOSED, within=2 * DAY)

        assert actions(stage) == {"process": 1}
        assert stage.metrics.troubles["write_notes_refused"] >= 1

    async def test_what_was_let_go_leaves_all_attempts_to_the_next(self, stage):
        """A bad answer right after it is the first of eight, not the last."""
        await stage.sent()
        stage.portal.fail("write_note", DOWN)
        stage.portal.fail("notes", PAGE_OF_HTML, times=8)
        await stage.inspect()
        stage.portal.fail("grade", PAGE_OF_HTML)
        await stage.reach(State.CLOSED, within=2 * DAY)

        assert actions(stage) == {"process": 1}

    async def test_tracking_that_cannot_be_read_holds_up_no_inspection(self, open_with):
        """The carrier's words are unreadable for ever: the fulfillment center's are not."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.fail("track", PAGE_OF_HTML, times=10_000)
        await stage.inspect()
        await stage.reach(State.CLOSED, within=2 * DAY)

        assert actions(stage) == {"process": 1}
        assert stage.metrics.troubles["track_parcels_refused"] >= 1

    async def test_an_error_that_cannot_be_posted_needs_a_person(self, stage):
        """A label request without an answer is not let go: STUCK, with its note, and no endless tries."""
        stage.ship(SOCK=1)
        stage.network.refuse = {"SOCK": ("NotReturnable", "Window closed.")}
        stage.portal.fail("report_refusal", PAGE_OF_HTML, times=10_000)
        await stage.submit()
        await stage.pass_time(5 * DAY)

        assert (await stage.ret()).state is State.STUCK
        assert len(notes(stage, "No label could be made")) == 1
        assert stage.portal.count("report_refusal") == 16


class TestUnreadRequest:
    async def test_a_webhook_that_comes_early_is_waited_for(self, stage):
        """Loop tells of a label request half an hour before it knows the return: the shopper still gets a label."""
        stage.ship(SOCK=1)
        await stage.submit()
        hidden = stage.portal.returns.pop("77")
        await stage.pass_time(30 * MINUTE)
        assert (await stage.ret()).state is State.RECEIVED

        stage.portal.returns["77"] = hidden
        await stage.reach(State.AWAITING_INSPECTION, within=2 * MINUTE)
        assert errors(stage) == ()

    async def test_one_that_was_given_up_is_taken_up_by_the_poll(self, stage):
        """Loop still lists it as issued: after a while it is tried again, and gets its label without a person."""
        stage.ship(SOCK=1)
        await stage.submit()
        hidden = stage.portal.returns.pop("77")
        await stage.reach(State.STUCK, within=2 * HOUR)
        stage.portal.returns["77"] = hidden
        for _ in range(60):
            await stage.polls.label_requests()
            await stage.pass_time(3 * MINUTE)

        ret = await stage.ret()
        assert (ret.state, len(ret.requests), len(stage.portal.labels)) == (State.AWAITING_INSPECTION, 1, 1)

    async def test_it_is_stuck_long_enough_to_be_seen(self, stage):
        """Between two tries it is STUCK for `unmatched_deadline`, so that an operator hears of it."""
        await stage.submit()
        stage.portal.returns.pop("77")
        await stage.reach(State.STUCK, within=2 * HOUR)
        for _ in range(18):
            await stage.polls.label_requests()
            await stage.pass_time(3 * MINUTE)

        assert (await stage.ret()).state is State.STUCK

    async def test_the_log_warns_of_it_with_the_reason(self, stage):
        """The move to STUCK is a warning that says why; every other move is none."""
        stage.ship(SOCK=1)
        with capture_logs() as lines:
            await stage.submit()
            stage.portal.returns.pop("77")
            await stage.reach(State.STUCK, within=2 * HOUR)
        moves = [line for line in lines if line["event"] == "return.moved"]
        assert moves[-1]["after"] is State.STUCK
        assert (moves[-1]["log_level"], moves[-1]["reason"]) == ("warning", (await stage.ret()).problem)
        assert {line["log_level"] for line in moves[:-1]} <= {"info"}

    async def test_one_that_can_never_be_read_is_tried_ever_more_rarely(self, stage):
        """Loop lists it for ever and refuses it for ever: it does not ring an operator every other hour."""
        await stage.submit()
        stage.portal.returns.pop("77")
        for _ in range(30 * 24 * 2):
            await stage.polls.label_requests()
            await stage.pass_time(HOUR / 2)

        assert 4 <= (await stage.history()).count("GaveUp") <= 12

    async def test_one_that_was_answered_is_left_alone(self, stage):
        """A stuck return whose request got its error is not asked for again by the poll."""
        stage.ship(SOCK=1)
        stage.portal.fail("deliver_label", Refused("UNPROCESSABLE", "no"))
        await stage.submit()
        await stage.reach(State.STUCK)
        await stage.pass_time(5 * HOUR)
        await stage.polls.label_requests()
        await stage.work()

        ret = await stage.ret()
        assert (ret.state, ret.requests[0].asked) == (State.STUCK, RequestState.REFUSED)

    async def test_a_new_webhook_takes_it_up_as_well(self, stage):
        """Loop delivers the request once more: the same as the poll."""
        stage.ship(SOCK=1)
        await stage.submit()
        hidden = stage.portal.returns.pop("77")
        await stage.reach(State.STUCK, within=2 * HOUR)
        stage.portal.returns["77"] = hidden
        await stage.pass_time(2 * HOUR)
        await stage.tell(RequestIssued(return_id="77", request_id="q77"))

        await stage.reach(State.AWAITING_INSPECTION, within=HOUR)

    async def test_another_request_of_the_return_keeps_its_place(self, stage):
        """Taking one up again adds none, and the other request's answer stands."""
        stage.ship(SOCK=1, CAP=1)
        await stage.submit(*TWO, request=a_portal_request("q77", return_id="77", skus=("SOCK",)))
        await stage.reach(State.AWAITING_INSPECTION)
        stage.portal.ask(a_portal_request("q2", return_id="77", skus=("CAP",)))
        stage.portal.fail("details", GONE, times=10_000)
        await stage.polls.label_requests()
        await stage.reach(State.STUCK, within=2 * HOUR)
        stage.portal._before.clear()
        await stage.pass_time(2 * HOUR)
        await stage.polls.label_requests()
        ret = await stage.reach(State.AWAITING_INSPECTION, within=HOUR)

        assert [(r.request_id, r.asked) for r in ret.requests] == [
            ("q77", RequestState.DELIVERED),
            ("q2", RequestState.DELIVERED),
        ]


class TestGrading:
    async def test_a_removed_line_costs_the_others_nothing(self, stage):
        """A person took one line out of the return: the other is graded and assessed."""
        await stage.sent(*TWO)
        loop = stage.portal.returns["77"]
        loop.lines = [line for line in loop.lines if line.line_id == "1"]
        await stage.inspect("Sellable", line="1")
        await stage.inspect("Sellable", line="2")
        await stage.pass_time(3 * DAY)

        assert (loop.grades, loop.assessments) == ({"1": 1}, {"1": 1})
        assert stage.metrics.troubles["grade_lines_refused"] == 0

    @pytest.mark.parametrize("spoilt", ["1", "2", "3"])
    async def test_a_line_that_loop_refuses_costs_the_others_nothing(self, stage, spoilt):
        """The call is repeated line by line, each line that is not there yet once; the refused one is let go."""
        await stage.sent(*TWO, a_line("3", "HAT"))
        loop = stage.portal.returns["77"]
        real = stage.portal._change_line

        def change(line_id: str, **changes: str):
            if line_id == spoilt:
                raise Refused("FORBIDDEN", "this one is not yours")
            return real(line_id, **changes)

        stage.portal._change_line = change
        for line in ("1", "2", "3"):
            await stage.inspect("Sellable", line=line)
        await stage.pass_time(3 * DAY)

        others = dict.fromkeys({"1", "2", "3"} - {spoilt}, 1)
        assert (loop.grades, loop.assessments) == (others, others)
        assert stage.metrics.troubles["grade_lines_refused"] == 2  # its condition, and its disposition
        assert (await stage.ret()).state is State.CLOSED

    async def test_a_refused_grade_leaves_the_disposition(self, stage):
        """They are two calls: the second is made whatever became of the first."""
        await stage.sent()
        await stage.inspect()
        stage.portal.fail("grade", Refused("FORBIDDEN", "not enabled"))
        await stage.reach(State.CLOSED)

        loop = stage.portal.returns["77"]
        assert (loop.grades, loop.assessments) == ({}, {"1": 1})

    @pytest.mark.parametrize("operation", ["grade", "assess"])
    @pytest.mark.parametrize("calls", [1, 2])
    async def test_a_crash_on_the_way_writes_nothing_twice(self, stage, operation, calls):
        """The process dies in the batch, or at its first single line: the next writes what is not there."""
        await stage.sent(*TWO)
        loop = stage.portal.returns["77"]
        if calls == 2:
            stage.portal.fail(operation, Refused("FORBIDDEN", "not all of them"))
        stage.portal.meanwhile(operation, _die, after=True)
        await stage.inspect("Sellable", line="1")
        await stage.inspect("Sellable", line="2")
        with pytest.raises(Killed):
            await stage.pass_time(3 * DAY)
        await stage.restart()
        await stage.reach(State.CLOSED)

        assert (loop.grades, loop.assessments) == ({"1": 1, "2": 1}, {"1": 1, "2": 1})


async def _raise() -> None:
    raise DOWN


async def _die() -> None:
    raise Killed
