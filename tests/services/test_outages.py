"""Time in which nobody is answered does not count: an outage pauses every clock by which something is given up."""

import pytest

from daemon.domain.returns import State
from daemon.domain.schedule import PROCESSING_PATIENCE
from daemon.errors import CredentialsRefused, RateLimited, Unavailable
from tests.services.stage import DAY, HOUR
from tests.support.configured import clocks

pytestmark = pytest.mark.slow

OUTAGES = [Unavailable("down"), CredentialsRefused("the connection is parked"), RateLimited("429", retry_after=3000.0)]
names = [type(outage).__name__ for outage in OUTAGES]


@pytest.mark.parametrize("outage", OUTAGES, ids=names)
@pytest.mark.parametrize("vendor", ["portal", "network"])
async def test_a_request_is_not_given_up_while_nobody_answers(stage, vendor, outage):
    """Six hours of it are no hour without a match: the order that is there afterwards is found."""
    getattr(stage, vendor).outage = outage
    await stage.submit()
    await stage.pass_time(6 * HOUR)
    getattr(stage, vendor).outage = None
    stage.ship(SOCK=1)
    await stage.reach(State.AWAITING_INSPECTION, within=HOUR)


@pytest.mark.parametrize("outage", OUTAGES, ids=names)
async def test_an_authorization_is_waited_for_after_an_outage_as_long_as_without(stage, outage):
    """Amazon is away for a day within the day in which it may be late: that goes on afterwards where it was."""
    stage.ship(SOCK=1)
    stage.network.authorization_delay = DAY + 20 * HOUR
    await stage.submit()
    await stage.pass_time(10 * HOUR)
    stage.network.outage = outage
    await stage.pass_time(DAY)
    stage.network.outage = None
    assert (await stage.reach(State.AWAITING_INSPECTION, within=13 * HOUR)).attempts == 0


@pytest.mark.parametrize("outage", OUTAGES, ids=names)
async def test_an_authorization_that_never_comes_is_given_up_after_its_day_of_answers(stage, outage):
    """The clock is paused, not switched off."""
    stage.ship(SOCK=1)
    stage.network.authorization_delay = 100 * DAY
    await stage.submit()
    await stage.pass_time(10 * HOUR)
    stage.network.outage = outage
    await stage.pass_time(DAY)
    stage.network.outage = None
    await stage.pass_time(13 * HOUR)
    assert (await stage.ret()).state is State.AWAITING_LABEL
    await stage.reach(State.STUCK, within=3 * HOUR)


@pytest.mark.parametrize("outage", OUTAGES, ids=names)
async def test_an_outcome_is_waited_for_after_an_outage_as_long_as_without(stage, outage):
    """Loop is away for three days within the three in which it may process: nothing is flagged for that."""
    await stage.sent()
    await stage.inspect()
    stage.portal.returns["77"].plan = "lose"
    await stage.reach(State.PROCESSING)
    await stage.pass_time(DAY)
    stage.portal.outage = outage
    await stage.pass_time(3 * DAY)
    stage.portal.outage = None
    await stage.pass_time(PROCESSING_PATIENCE - DAY - 2 * HOUR)
    assert (await stage.ret()).state is State.PROCESSING
    await stage.reach(State.IN_REVIEW, within=4 * HOUR)


async def test_a_daemon_that_was_down_gives_nothing_up_for_that(stage):
    """Two days without a daemon are none of the day in which Amazon may be late."""
    stage.ship(SOCK=1)
    stage.network.authorization_delay = 2 * DAY + 10 * HOUR
    await stage.submit()
    await stage.pass_time(HOUR)
    await stage.restart()
    stage.clock.advance(2 * DAY)
    await stage.reach(State.AWAITING_INSPECTION, within=12 * HOUR)


async def test_the_deadline_that_an_operator_has_set_is_kept_when_all_answer(open_with):
    """Without an outage nothing moves it."""
    stage = await open_with(timings=clocks(label_deadline=2 * HOUR))
    stage.ship(SOCK=1)
    stage.network.authorization_delay = DAY
    await stage.submit()
    await stage.pass_time(2 * HOUR - 400.0)
    assert (await stage.ret()).state is State.AWAITING_LABEL
    await stage.reach(State.STUCK, within=900.0)
