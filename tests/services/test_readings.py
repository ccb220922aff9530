"""Which readings of the portal stand in for the next one of the same walk."""

from dataclasses import replace

import pytest

from daemon.domain.portal import RequestStatus
from daemon.domain.returns import State
from daemon.engine.handlers.context import Readings
from daemon.engine.handlers.readings import FRESH
from daemon.errors import Refused, Unavailable


async def walk(stage, until: State, readings: Readings, pause: float = 0.0) -> None:
    """Step the return in one walk, with a pause before each step."""
    for _ in range(20):
        ret = await stage.ret()
        if ret.state is until:
            return
        stage.clock.advance(pause)
        await stage.workflow.step(ret, readings)
    pytest.fail(f"never {until}")


@pytest.fixture
async def submitted(stage):
    """A return whose order has shipped, and whose label was requested."""
    stage.ship(SOCK=1)
    await stage.submit()
    return stage


async def test_a_label_is_posted_by_the_reading_that_began_the_walk(submitted):
    """From the label request to the label its request and its return are read once."""
    await walk(submitted, State.AWAITING_INSPECTION, Readings())

    assert submitted.portal.count("label_request") == 1
    assert submitted.portal.count("details") == 1


async def test_an_older_reading_is_not_trusted(submitted):
    """After a wait for Amazon the request is read again: the shopper may have withdrawn it."""
    await walk(submitted, State.AWAITING_INSPECTION, Readings(), pause=FRESH + 0.1)

    assert submitted.portal.count("label_request") == 2


async def test_another_walk_reads_for_itself(submitted):
    """What a walk before, or a process before, has read is not known to the next one."""
    await walk(submitted, State.LABEL_READY, Readings())
    await walk(submitted, State.AWAITING_INSPECTION, Readings())

    assert submitted.portal.count("label_request") == 2


async def test_an_unclear_answer_is_followed_by_a_reading(submitted):
    """The label may be there already, so what was read before the call says nothing."""
    readings = Readings()
    await walk(submitted, State.LABEL_READY, readings)
    submitted.portal.fail("deliver_label", Unavailable("time-out", unclear=True), after=True)
    await walk(submitted, State.AWAITING_INSPECTION, readings)

    assert submitted.portal.count("deliver_label") == 1
    assert submitted.portal.count("label_request") == 2


async def test_a_label_that_somebody_else_delivered_within_the_walk_is_theirs(submitted):
    """Loop refuses ours; the request is read again, and the return is left to who answered it."""
    readings = Readings()
    await walk(submitted, State.LABEL_READY, readings)
    request_id = (await submitted.ret()).requests[0].request_id
    request = submitted.portal.requests[request_id]
    submitted.portal.requests[request_id] = replace(request, status=RequestStatus.FULFILLED)
    submitted.portal.fail("deliver_label", Refused("UNPROCESSABLE", "fulfilled"))
    await submitted.workflow.step(await submitted.ret(), readings)

    assert not (await submitted.ret()).label_out
    assert (await submitted.ret()).state is not State.AWAITING_INSPECTION


async def test_the_outcome_is_asked_for_by_the_reading_of_the_verdict(submitted):
    """The verdict and what follows from it read the return once."""
    await walk(submitted, State.AWAITING_INSPECTION, Readings())
    await submitted.work()
    await submitted.inspect()
    await submitted.pass_time(0)
    before = submitted.portal.count("details")
    readings = Readings()
    while (await submitted.ret()).state is State.AWAITING_INSPECTION:
        submitted.clock.advance(600)
        await submitted.workflow.step(await submitted.ret(), readings)
    await walk(submitted, State.PROCESSING, readings)

    assert submitted.portal.count("details") == before + 1
    assert submitted.portal.count("process") == 1
