"""What only informs, and what the portal says in words of its own, holds no return up for ever."""

import pytest

from daemon.domain.portal import PortalState
from daemon.domain.returns import State, Void
from daemon.errors import CredentialsRefused, Unavailable
from tests.services.parcels import actions, buying, cancel_request
from tests.services.stage import DAY, HOUR

DOWN = Unavailable("down")
PARKED = CredentialsRefused("its scope is gone")


@pytest.mark.parametrize("outage", [DOWN, PARKED])
async def test_a_clean_unit_is_paid_for_though_the_carrier_is_not_answered_for(open_with, outage):
    """Amazon's shipping API is down, or its role is gone: the fulfillment center is read all the same."""
    stage, source = await buying(open_with)
    await stage.sent()
    source.outage = outage
    await stage.inspect()
    await stage.pass_time(DAY)
    assert actions(stage) == {"process": 1}


@pytest.mark.parametrize("outage", [DOWN, PARKED])
@pytest.mark.parametrize("call", ["report_transit", "notes", "grade", "assess"])
async def test_a_verdict_is_carried_out_though_the_portal_takes_no_words(stage, call, outage):
    """Notes, grades or statuses fail for everybody, for a day: each is passed over, and written when it goes again."""
    await stage.sent()
    for_good = stage.portal.meanwhile

    async def fails():
        for_good(call, fails)
        raise outage

    for_good(call, fails)
    await stage.inspect()
    await stage.reach(State.CLOSED, within=DAY)
    assert actions(stage) == {"process": 1}


async def test_what_was_passed_over_is_told_when_somebody_answers_again(stage):
    """Nothing is dropped: the notes come late."""
    await stage.sent()
    await stage.pass_time(HOUR)
    written = len(stage.portal.returns["77"].notes)
    stage.portal.fail("notes", DOWN, times=60)
    await stage.inspect()
    await stage.pass_time(2 * DAY)
    assert len(stage.portal.returns["77"].notes) > written
    assert not (await stage.ret()).owed_notes()


@pytest.mark.slow
async def test_a_carrier_that_could_never_be_asked_decides_nothing(open_with):
    """Shipping's role is gone for two months: nothing is called missing or expired for what nobody could hear."""
    stage, source = await buying(open_with)
    await stage.sent()
    source.outage = PARKED
    await stage.pass_time(60 * DAY)
    assert (await stage.ret()).state is State.AWAITING_INSPECTION
    source.outage = None
    await stage.reach(State.EXPIRED, within=DAY)


@pytest.mark.slow
async def test_a_label_that_cannot_be_given_back_yet_keeps_no_unit_from_its_inspection(open_with):
    """The label of a withdrawn request is to be voided, and Shipping is parked: what arrives all the same is heard of."""
    stage, source = await buying(open_with)
    await stage.sent()
    source.outage = PARKED
    await cancel_request(stage)
    await stage.inspect()
    await stage.pass_time(2 * DAY)
    assert (await stage.unit()).finding is not None
    source.outage = None
    await stage.pass_time(HOUR)
    assert [postage.void for postage in (await stage.ret()).postage] != [Void.WANTED]


@pytest.mark.parametrize("when", [State.INSPECTED, State.SETTLING, State.PROCESSING])
async def test_a_state_of_the_portal_that_nobody_knows_needs_a_person(stage, when):
    """It is read a few times over a day, counted each time, and then given up; the history does not grow by it."""
    await stage.sent()
    await stage.inspect()
    await stage.step_to(when)
    stage.portal.set_state("77", PortalState.UNKNOWN)
    stage.portal.returns["77"].plan = "lose"
    rows, reads = len(await stage.history()), stage.portal.count("details")
    await stage.pass_time(2 * DAY)
    assert (await stage.ret()).state is State.STUCK
    assert 8 <= stage.metrics.troubles["unknown_portal_state"] <= 12
    assert stage.portal.count("details") - reads <= 14
    assert len(await stage.history()) - rows <= 8


@pytest.mark.slow
async def test_a_year_in_review_leaves_no_trace_of_each_look(stage):
    """Readings that tell nothing new leave no row."""
    await stage.sent()
    await stage.inspect("Defective")
    await stage.reach(State.IN_REVIEW)
    await stage.pass_time(HOUR)
    rows = len(await stage.history())
    await stage.pass_time(365 * DAY)
    assert len(await stage.history()) - rows <= 1


async def test_months_on_the_way_leave_no_trace_of_each_look(open_with):
    """A carrier that says the same each time adds nothing to the history."""
    stage, _ = await buying(open_with)
    await stage.sent()
    await stage.pass_time(DAY)
    rows = len(await stage.history())
    await stage.pass_time(20 * DAY)
    assert stage.postage.count("track") > 20
    assert len(await stage.history()) == rows
