"""A label request whose order nobody knows is held: read again, tried ever more rarely, and let go when it is over."""

from dataclasses import replace

import pytest

from daemon.domain.duties import GOOD_FOR
from daemon.domain.portal import PortalState, RequestStatus
from daemon.domain.returns import State
from daemon.errors import Unavailable
from daemon.ports.vendors import Lane
from tests.services.stage import DAY, HOUR


@pytest.fixture
async def held(stage):
    """A stage with one request that belongs to another provider, as far as anybody knows."""
    await stage.submit()
    await stage.pass_time(2 * HOUR)
    assert (await stage.ret()).held
    return stage


def answer_by_another(stage):
    """Another provider delivers a label."""
    stage.portal.requests["q77"] = replace(stage.portal.requests["q77"], status=RequestStatus.FULFILLED)


async def test_what_another_provider_answered_is_let_go(held):
    """It is read again before it is tried again, and then nobody at Amazon is asked for it any more."""
    answer_by_another(held)
    held.network.calls.clear()
    await held.pass_time(20 * DAY)
    assert (await held.ret()).state is State.CLOSED
    assert held.network.count("order") == 0


@pytest.mark.parametrize("state", [PortalState.EXPIRED, PortalState.CANCELLED, PortalState.CLOSED])
async def test_what_has_ended_in_the_portal_is_let_go(held, state):
    """No poll tells of a return that expires: the reading before the next try does."""
    held.portal.set_state("77", state)
    await held.pass_time(DAY)
    assert (await held.ret()).state in {State.CLOSED, State.CANCELLED}


async def test_nothing_is_created_for_a_request_that_is_over(held):
    """The order turns up at Amazon after somebody else has answered: no return is made there for nobody."""
    answer_by_another(held)
    held.ship(SOCK=1)
    await held.pass_time(5 * HOUR)
    assert held.network.count("create_return") == 0


async def test_a_request_of_long_ago_is_read_before_its_units_are_asked_for(stage):
    """Amazon takes no creates for hours; meanwhile the request is withdrawn, and its webhook is lost."""
    stage.ship(SOCK=1)
    stage.network.fail("create_return", Unavailable("cannot connect", unclear=False), times=10_000)
    await stage.submit()
    await stage.pass_time(HOUR)
    stage.portal.withdraw("q77")
    at = stage.clock.now()
    await stage.pass_time(2 * HOUR)
    assert (await stage.ret()).state is State.CANCELLED
    assert stage.network.made("create_return")[-1].at <= at + GOOD_FOR


@pytest.mark.slow
async def test_it_is_tried_ever_more_rarely_and_behind_everybody(held):
    """At first every hour, after weeks once a day, in the background; its history does not grow by that."""
    rows = len(await held.history())
    held.network.calls.clear()
    await held.pass_time(DAY)
    first = len({call.at for call in held.network.made("order")})
    await held.pass_time(30 * DAY)
    held.network.calls.clear()
    await held.pass_time(10 * DAY)
    assert 8 <= first <= 24
    assert 9 <= len({call.at for call in held.network.made("order")}) <= 11
    assert {call.arguments[1] for call in held.network.made("order")} == {Lane.BACKGROUND}
    assert {call.arguments[1] for call in held.portal.made("details")[-3:]} == {Lane.BACKGROUND}
    assert len(await held.history()) == rows
    held.ship(SOCK=1)
    await held.reach(State.AWAITING_INSPECTION, within=2 * DAY)
