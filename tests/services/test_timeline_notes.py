"""What the timeline says is true: who cancelled, what is stuck, what the rules let pass, and why Loop paid."""

from dataclasses import replace

import pytest

from daemon.domain.portal import PortalState, RequestCancelled
from daemon.domain.returns import State, Transit
from daemon.domain.verdict import Rule, Treatment
from daemon.errors import OperatorError, Refused
from daemon.operations.returns import Operator
from tests.services.parcels import (
    BOUGHT,
    PAGE,
    TWO,
    actions,
    ask_again,
    buying,
    errors,
    judged,
    notes,
    tell_state,
)
from tests.services.stage import DAY, HOUR
from tests.support.builders import a_portal_request, a_shipment, an_order
from tests.support.configured import a_policy


class TestStuck:
    @pytest.mark.slow
    async def test_a_second_label_while_the_first_is_out(self, open_with):
        """It is the label that is lacking, not the inspection; Loop is told, and the first parcel is still noted."""
        stage = await open_with(policy=PAGE)
        await stage.sent(*TWO, request=a_portal_request("q77", skus=("SOCK",)))
        stage.ship(SOCK=1, CAP=1)
        stage.network.authorization_delay = 1000 * DAY
        await ask_again(stage, "q2", TWO[1])
        await stage.reach(State.STUCK, within=3 * DAY)
        await stage.pass_time(HOUR)

        assert notes(stage, "No label could be made: Amazon has not made a return authorization in time")
        assert notes(stage, "inspection could not") == []
        assert (errors(stage, "q77"), len(errors(stage, "q2"))) == ((), 1)

    async def test_a_flag_that_is_refused(self, stage):
        """The inspection is done: it is its outcome that Loop does not take."""
        await stage.sent()
        await stage.inspect("Defective")
        stage.portal.fail("flag", Refused("UNPROCESSABLE_RETURN", "no"), times=9)
        await stage.reach(State.STUCK)
        await stage.work()

        assert len(notes(stage, "The outcome could not be brought into Loop")) == 1


class TestRules:
    @pytest.mark.slow
    async def test_what_never_came_is_not_said_to_have_arrived(self, open_with):
        """`missing: ignore`, and nothing came: the return is processed, and the note says what was let pass."""
        stage, source = await buying(open_with, policy=judged(missing=Treatment.IGNORE))
        await stage.sent()
        source.scan(Transit.DELIVERED)
        await stage.pass_time(16 * DAY)

        assert actions(stage) == {"process": 1}
        assert notes(stage, "No discrepancy") == []
        assert notes(stage, "rules") == ["Accepted by the shop's rules: SOCK never arrived. Processing the return."]

    async def test_a_rule_that_waives_a_defect(self, open_with):
        """A cheap defective unit is paid for by a rule: that is no return without a discrepancy."""
        rule = Rule(then=Treatment.PROCESS, max_value_cents=2000)
        stage = await open_with(policy=judged(PAGE, rules=(rule,)))
        await stage.sent()
        await stage.inspect("Defective")
        await stage.reach(State.CLOSED)

        assert notes(stage, "rules") == ["Accepted by the shop's rules: SOCK defective. Processing the return."]


class TestPaidEarly:
    async def test_a_return_that_was_closed_by_hand_alarms_nobody(self, stage):
        """Closed without being processed: the note says so, and nothing is counted as paid."""
        await stage.sent()
        await tell_state(stage, PortalState.CLOSED)

        assert len(notes(stage, "Closed in Loop before Amazon inspected it")) == 1
        assert notes(stage, "Processed before") == []
        assert stage.metrics.troubles["processed_before_inspection"] == 0

    async def test_no_transit_is_told_any_more_to_a_shop_that_pays_by_it(self, open_with):
        """Loop paid before the inspection: whatever made it do so, other returns of the shop give no occasion."""
        stage, source = await buying(open_with)
        stage.ship(SOCK=2)
        for return_id in ("77", "78"):
            await stage.submit(return_id=return_id)
            await stage.reach(State.AWAITING_INSPECTION, return_id=return_id)
        stage.portal.set_state("77", PortalState.CLOSED, was_processed=True)
        await tell_state(stage, PortalState.CLOSED)
        assert stage.metrics.troubles["processed_before_inspection"] == 1
        source.scan(Transit.DELIVERED)
        await stage.pass_time(DAY)

        assert len(notes(stage, "Parcel delivered to Amazon", "78")) == 1
        assert stage.portal.count("report_transit") == 0

    async def test_another_shop_is_told_as_ever(self, open_with):
        """The setting is one shop's own."""
        stage, source = await buying(open_with, shops=("acme", "zeta"))
        await stage.store.transact(lambda uow: uow.set_mark("transit-quiet/zeta", "1.0"))
        await stage.sent()
        source.scan(Transit.DELIVERED)
        await stage.pass_time(DAY)

        assert stage.portal.count("report_transit") == 1

    async def test_only_the_arrival_is_told_by_default(self, open_with):
        """A policy may pay out on in_transit: without a word of the merchant Loop does not hear of it."""
        policy = replace(BOUGHT, report_transit=a_policy().report_transit)
        stage, source = await buying(open_with, policy=policy)
        await stage.sent()
        for transit in (Transit.IN_TRANSIT, Transit.DELIVERED):
            source.scan(transit)
            await stage.pass_time(DAY)

        assert [told for label in stage.portal.transits.values() for told in label] == [Transit.DELIVERED]


class TestHeld:
    @pytest.mark.slow
    async def test_its_note_is_written_once(self, stage):
        """Held for days and tried again and again: one note, and the label all the same when the order turns up."""
        await stage.submit()
        await stage.pass_time(3 * DAY)
        assert len(notes(stage, "No label yet")) == 1
        stage.ship(SOCK=1)
        await stage.reach(State.AWAITING_INSPECTION, within=2 * DAY)

        assert len(notes(stage)) == 3  # held, created, delivered

    async def test_a_note_that_loop_refuses_holds_up_nothing(self, stage):
        """The note is for information: without it the order is looked for all the same."""
        await stage.submit()
        stage.portal.fail("write_note", Refused("UNPROCESSABLE", "no"), times=9)
        await stage.pass_time(2 * HOUR)
        stage.ship(SOCK=1)
        await stage.reach(State.AWAITING_INSPECTION, within=2 * DAY)


class TestCancelled:
    @pytest.mark.parametrize("told", [True, False])
    async def test_loops_cancel_is_loops(self, stage, told):
        """By webhook or by reading: the note says that it was cancelled in Loop."""
        await stage.sent()
        if told:
            stage.portal.withdraw("q77")
            await stage.tell(RequestCancelled(return_id="77", request_id="q77"))
            await stage.work()
        else:
            await tell_state(stage, PortalState.CANCELLED)

        assert len(notes(stage, "Cancelled in Loop.")) == 1

    async def test_a_persons_cancel_is_a_persons(self, open_with):
        """Cancelled in mcfd: Loop shows the return open, so the note must not say that it was cancelled there."""
        stage, source = await buying(open_with)
        await stage.sent()
        await stage.operator.cancel("77", "ann")
        await stage.work()

        assert source.live() == []
        assert notes(stage, "Cancelled in Loop") == []
        (note,) = notes(stage, "Cancelled in mcfd by a person, not in Loop.")
        assert "ann" not in note


class TestVerbs:
    async def test_a_retry_of_what_is_in_review_is_refused_with_a_sentence(self, stage):
        """The flag is there: nothing is judged anew, nothing is noted, and the settlement stays the flag's."""
        await stage.sent()
        await stage.inspect("Defective")
        before = await stage.reach(State.IN_REVIEW)
        with pytest.raises(OperatorError, match="lift its flag there, then retry it here"):
            await stage.operator.retry("77", "ann")

        assert await stage.ret() == before

    async def test_a_flag_that_was_just_lifted_counts(self, stage):
        """Nobody has told mcfd of it yet: Loop is asked, and the return is settled."""
        await stage.sent()
        await stage.inspect("Defective")
        await stage.reach(State.IN_REVIEW)
        stage.portal.returns["77"].flagged = False
        stage.portal.set_state("77", PortalState.OPEN)
        await stage.operator.retry("77", "ann")
        await stage.work()

        assert actions(stage) == {"flag": 2}

    async def test_a_link_of_a_refused_return_names_the_way(self, open_with):
        """Its label was refused: the answer says that retry tries the order, and it does."""
        stage = await open_with(policy=replace(PAGE, hold_unmatched=False))
        await stage.submit()
        await stage.reach(State.CLOSED)
        stage.network.add(an_order("ODD-1", a_shipment("S1", SOCK=1)))
        linked = await stage.operator.link("77", ["ODD-1"], "ann")
        assert linked.note == "its label was refused: mcfd retry tries it"
        await stage.operator.retry("77", "ann")
        await stage.reach(State.AWAITING_INSPECTION)

    async def test_a_shop_is_told_transit_again_when_somebody_confirms(self, open_with):
        """The status names the quiet shop until then; a shop that does not exist is no shop."""
        stage, source = await buying(open_with)
        operator = Operator(stage.sqlite, stage.clock, stage.choices.timings, stage.contexts, shops=("acme",))
        stage.ship(SOCK=2)
        await stage.submit()
        await stage.reach(State.AWAITING_INSPECTION)
        stage.portal.set_state("77", PortalState.CLOSED, was_processed=True)
        await tell_state(stage, PortalState.CLOSED)
        assert [quiet.shop for quiet in (await operator.status()).quiet] == ["acme"]
        with pytest.raises(OperatorError, match="no shop acne is configured; there are acme"):
            await operator.confirm("acne", "ann")
        assert (await operator.confirm("acme", "ann")).note == "Loop is told of its labels' progress again"
        assert (await operator.status()).quiet == []
        assert (await operator.confirm("acme", "ann")).note == "Loop was told of it all the time"

        await stage.submit(return_id="78")
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        source.scan(Transit.DELIVERED)
        await stage.pass_time(DAY)
        assert stage.portal.count("report_transit") > 0
