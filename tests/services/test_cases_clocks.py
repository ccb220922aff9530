"""A clock decides only on a reading begun after its deadline, however long the reading takes."""

import pytest

from daemon.domain.returns import RequestState, State
from tests.services.parcels import TWO, buying, notes
from tests.services.stage import DAY, HOUR, ORDER_TEMPLATES
from tests.support.builders import a_line
from tests.support.configured import a_policy


async def next_due(stage, return_id="77"):
    """Let time pass to the next thing that is due, without doing it."""
    stage.clock.advance((await stage.ret(return_id)).due_at - stage.clock.now())


class TestSlowReadings:
    @pytest.mark.slow
    async def test_a_unit_that_arrives_while_amazon_is_read_is_not_missing(self, stage):
        """The reading was asked for before the deadline and answered after it: the next one decides."""
        await stage.sent(*TWO)
        await stage.inspect(line="1")
        await stage.pass_time(7 * DAY - 1.5 * HOUR)

        async def answered_late():
            await stage.inspect(line="2")
            stage.clock.advance(2 * DAY)

        await next_due(stage)
        stage.network.meanwhile("order", answered_late, after=True)
        await stage.step()
        assert (await stage.ret()).state is State.AWAITING_INSPECTION

        await stage.reach(State.CLOSED, within=DAY)
        assert notes(stage, "Missing") == []

    @pytest.mark.slow
    async def test_an_authorization_that_comes_while_amazon_is_read_is_not_too_late(self, stage):
        """A look that began in time and ended after the deadline gives nothing up."""
        stage.network.authorization_delay = 1.5 * DAY
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.pass_time(DAY - 400.0)

        async def answered_late():
            stage.clock.advance(DAY)

        await next_due(stage)
        assert (await stage.ret()).state is State.AWAITING_LABEL
        stage.network.meanwhile("order", answered_late, after=True)
        await stage.step()

        await stage.reach(State.AWAITING_INSPECTION, within=HOUR)

    @pytest.mark.slow
    async def test_a_document_that_comes_while_it_is_asked_for_is_not_too_late(self, open_with):
        """The bought label was there when the late answer came, so nobody is called."""
        stage, source = await buying(open_with)
        source.documents_after = 1.5 * DAY
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.pass_time(DAY - 400.0)

        async def answered_late():
            stage.clock.advance(DAY)

        await next_due(stage)
        source.meanwhile("document", answered_late, after=True)
        await stage.step()

        await stage.reach(State.AWAITING_INSPECTION, within=HOUR)

    async def test_an_order_that_appears_while_it_is_looked_for_is_found(self, open_with):
        """The last look before the deadline took long; one that begins after it decides."""
        policy = a_policy(order_id_templates=ORDER_TEMPLATES, hold_unmatched=False)
        stage = await open_with(policy=policy)
        await stage.submit()
        await stage.pass_time(HOUR - 400.0)
        await next_due(stage)

        async def answered_late():
            stage.ship(SOCK=1)
            stage.clock.advance(HOUR)

        stage.network.meanwhile("orders_since", answered_late, after=True)
        await stage.step()
        assert (await stage.ret()).requests[0].asked is RequestState.OPEN

        await stage.reach(State.AWAITING_INSPECTION, within=HOUR)


class TestLateArrival:
    @pytest.mark.slow
    async def test_a_missing_unit_that_arrives_is_missing_no_more(self, stage):
        """It came after the verdict, without a condition: during the grace it reads as come, afterwards as it is."""
        await stage.sent(*TWO)
        await stage.inspect(line="1")
        await stage.reach(State.IN_REVIEW, within=9 * DAY)
        assert (await stage.unit("2")).finding.condition == "missing"

        await stage.pass_time(6 * DAY)
        await stage.inspect(None, line="2")
        await stage.pass_time(2 * DAY)
        unit = await stage.unit("2")
        assert unit.processed_at is not None
        assert unit.finding is None or unit.finding.condition == ""

        await stage.inspect("Sellable", line="2")
        await stage.pass_time(8 * DAY)
        assert (await stage.unit("2")).finding.condition == "Sellable"
        assert notes(stage, "inspected CAP")[-1].endswith("sellable.")

    @pytest.mark.slow
    async def test_during_the_grace_nothing_is_said_about_its_condition(self, stage):
        """Neither `missing` nor `condition not given` is right while the grace runs."""
        await stage.sent(a_line("1"), a_line("2"))
        await stage.inspect(line="1")
        await stage.reach(State.IN_REVIEW, within=9 * DAY)
        await next_due(stage)
        while (await stage.ret()).amazon_due_at > stage.clock.now() + 1.0:
            await stage.work()
            await next_due(stage)
        await stage.inspect(None, line="2")
        await stage.work()
        unit = await stage.unit("2")
        assert (unit.finding, unit.processed_at) == (None, stage.clock.now())
        assert (await stage.operator.show("77")).units[1].condition is None
