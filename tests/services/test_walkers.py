"""The services that wake for returns: exact times, one walk per return, and an end to every wait."""

from collections import Counter

import pytest

from daemon.app.services import WALKERS
from daemon.domain.portal import PortalState, ReturnChanged
from daemon.domain.queues import Queue
from daemon.domain.returns import Return, State
from daemon.engine.handlers.context import Readings
from daemon.engine.walker import CRASH_PAUSE, try_again_now
from daemon.errors import RateLimited, StoreUnavailable, Unavailable
from tests.services.running_walkers import GRACE, RunningWalkers
from tests.services.stage import DAY, HOUR, ORDER
from tests.support.builders import a_line
from tests.support.configured import clocks

HALF_A_MINUTE_APART = clocks(label_poll_first=30.0)


def test_every_queue_has_one_walker():
    """No queue is forgotten, and no two services own the same."""
    assert Counter(queue for _, queue, _, _ in WALKERS) == Counter(Queue)


def test_a_return_walks_through_its_life_by_itself(living):
    """From the webhook to CLOSED without anybody stepping it; no return is in two hands at any time."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        stage.ship(SOCK=1)
        stage.network.authorization_delay = 5.0
        await stage.submit()
        await running.until(State.AWAITING_INSPECTION)
        await running.wait(5.0)
        await stage.inspect()
        await running.until(State.CLOSED)
        assert running.steps.together == 1
        assert len(stage.portal.labels) == 1

    living(scenario, timings=clocks(inspection_idle=300.0, outcome_watch=60.0))


def test_a_label_comes_without_waiting_for_rounds(living):
    """With the authorization in the answer the whole way takes no time at all; each step follows the last at once."""

    async def scenario(running: RunningWalkers) -> None:
        running.stage.ship(SOCK=1)
        await running.stage.submit()
        await running.until(State.AWAITING_INSPECTION)
        assert running.stage.metrics.label_seconds == [0.0]

    living(scenario)


def test_polls_come_at_exact_times(living):
    """The walk waits for the instant, not for the next round."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        stage.ship(SOCK=1)
        stage.network.authorization_delay = 9.0
        await stage.submit()
        start = stage.clock.now()
        await running.until(State.AWAITING_INSPECTION)
        assert [call.at - start for call in stage.network.made("order")] == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]

    living(scenario)


@pytest.mark.slow
def test_many_returns_are_never_stepped_by_two(living):
    """Thirty returns on one order, webhooks repeated all the while: one walk each, one return item each."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        stage.ship(SOCK=30)
        stage.network.authorization_delay = 3.0
        for n in range(30):
            await stage.submit(a_line(str(n)), return_id=str(n))
        for n in range(30):
            await stage.tell(ReturnChanged(return_id=str(n), state=PortalState.CLOSED))
            await running.wait(0.3)
        for n in range(30):
            await running.until(State.AWAITING_INSPECTION, str(n))
        assert running.steps.together == 1
        assert len(stage.network.items(ORDER)) == 30
        assert len(stage.portal.labels) == 30

    living(scenario)


def test_a_hint_wakes_a_walk_that_waits(living):
    """Between two polls a webhook is followed at once, by the walk that has the return in hand."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        stage.ship(SOCK=1)
        stage.network.authorization_delay = HOUR
        await stage.submit()
        await running.wait(10.0)
        stage.portal.set_state("77", PortalState.CLOSED)
        await stage.tell(ReturnChanged(return_id="77", state=PortalState.CLOSED))
        told_at = stage.clock.now()
        await running.until(State.CLOSED)
        assert stage.portal.made("details")[-1].at == told_at
        assert running.steps.together == 1

    living(scenario, timings=HALF_A_MINUTE_APART)


def test_stopping_interrupts_every_wait(living):
    """A walk that waits for its poll ends at once, and nothing is lost."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        stage.ship(SOCK=1)
        stage.network.authorization_delay = HOUR
        await stage.submit()
        await running.wait(10.0)
        before = stage.clock.now()
        running.stop.set()
        running.stage.stopped_at = before  # type: ignore[attr-defined]

    stages = []

    async def remember(running: RunningWalkers) -> None:
        stages.append(running.stage)
        await scenario(running)

    living(remember, timings=HALF_A_MINUTE_APART)
    (stage,) = stages
    assert stage.clock.now() == stage.stopped_at


def test_a_step_in_hand_is_finished(living):
    """Stopping waits for a call that is under way, and its answer is saved."""
    stages = []

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        stages.append(stage)
        stage.ship(SOCK=1)
        stage.network.meanwhile("create_return", lambda: running.wait(5.0), after=True)
        await stage.submit()
        await running.wait(1.0)
        assert stage.network.count("create_return") == 1
        before = stage.clock.now()
        running.stop.set()
        await running.wait(5.0)
        assert (await stage.ret()).state is State.AWAITING_LABEL
        assert stage.clock.now() - before <= GRACE

    living(scenario)
    assert stages[0].portal.labels == {}


def test_a_step_that_does_not_end_is_cancelled_after_the_grace(living):
    """A vendor that never answers does not keep the daemon from stopping."""
    ends = []

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        ends.append(stage.clock)
        stage.ship(SOCK=1)
        stage.network.meanwhile("create_return", lambda: running.wait(DAY))
        await stage.submit()
        await running.wait(1.0)
        ends.append(stage.clock.now())
        running.stop.set()

    living(scenario)
    clock, stopped_at = ends
    assert clock.now() == stopped_at + GRACE


def test_a_failing_store_is_waited_for(living):
    """The disk is full for a while: the walk pauses a second and goes on where it was, and each failure is counted."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        stage.ship(SOCK=1)
        await stage.submit()
        stage.store.fail(StoreUnavailable("disk full"))
        stage.store.fail(StoreUnavailable("disk full"), skip=3)
        await running.until(State.AWAITING_INSPECTION, within=10.0)
        assert stage.metrics.troubles == {"store": 2}

    living(scenario)


def test_services_beat_while_nothing_is_due(living):
    """The watchdog hears of each walker every second, work or no work."""

    async def scenario(running: RunningWalkers) -> None:
        await running.wait(60.0)
        assert all(running.beats[walker.name] >= 59 for walker in running.walkers)

    living(scenario)


def test_only_so_many_are_walked_at_once(living):
    """The limit holds while a hundred returns are due, and all of them come round."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        stage.ship(SOCK=20)
        for n in range(20):
            stage.portal.meanwhile("label_request", lambda: running.wait(0.5))
            await stage.submit(a_line(str(n)), return_id=str(n))
        for n in range(20):
            await running.until(State.AWAITING_INSPECTION, str(n))
        assert running.steps.most <= 3 * len(running.walkers)

    living(scenario, limit=3)


def test_a_walk_leaves_its_place_when_the_label_is_out(living):
    """The notes of the first return take half a minute each; the second's label waits for none of them."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        stage.ship(SOCK=2)
        for _ in range(20):
            stage.portal.meanwhile("notes", lambda: running.wait(30.0))
        await stage.submit(a_line("1"), return_id="1")
        await running.until(State.AWAITING_INSPECTION, "1", within=2.0)
        await stage.submit(a_line("2"), return_id="2")
        await running.until(State.AWAITING_INSPECTION, "2", within=2.0)

    living(scenario, limit=1)


def test_a_walk_that_has_to_wait_leaves_its_place(living):
    """The portal asks one return for twenty seconds of patience; the next one has its label meanwhile."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        stage.ship(SOCK=2)
        stage.portal.fail("label_request", RateLimited("429", retry_after=20.0))
        await stage.submit(a_line("1"), return_id="1")
        await running.wait(2.0)
        await stage.submit(a_line("2"), return_id="2")
        await running.until(State.AWAITING_INSPECTION, "2", within=3.0)
        await running.until(State.AWAITING_INSPECTION, "1", within=20.0)

    living(scenario, limit=1)


def test_whoever_waits_for_an_authorization_waits_elsewhere(living):
    """Amazon is late with the first; the second needs no authorization of Amazon's and waits for nobody."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        stage.ship(SOCK=2)
        stage.network.authorization_delay = HOUR
        await stage.submit(a_line("1"), return_id="1")
        await running.wait(10.0)
        stage.network.authorization_delay = 0.0
        await stage.submit(a_line("2"), return_id="2")
        await running.until(State.AWAITING_INSPECTION, "2", within=2.0)

    living(scenario, limit=1)


def test_a_label_is_followed_through_both_queues_at_once(living):
    """What Amazon was late with is there: no round lies between the authorization and the label."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        stage.ship(SOCK=1)
        stage.network.authorization_delay = 3.3
        await stage.submit()
        await running.until(State.AWAITING_INSPECTION)
        assert stage.metrics.label_seconds == [4.0]

    living(scenario)


def test_the_longest_due_go_first(living):
    """Who has waited longest is walked first."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        stage.portal.outage = Unavailable("down", retry_after=100.0)
        for n in range(6):
            await stage.submit(a_line(str(n)), return_id=str(n))
            await running.wait(2.0)
        stage.portal.outage = None
        stage.ship(SOCK=6)
        running.steps.stepped.clear()
        await running.wait(120.0)
        first = list(dict.fromkeys(running.steps.stepped))
        assert first == [str(n) for n in range(6)]

    living(scenario, limit=1)


def test_a_crash_in_a_walk_is_counted_and_others_go_on(living):
    """A bug outside the steps costs one walk, a pause and an alarm."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        stage.ship(SOCK=2)
        real, broken = running.steps.step, []

        async def step(ret: Return, readings: Readings) -> Return:
            if ret.return_id == "1" and not broken:
                broken.append(ret)
                raise RuntimeError("a bug")
            return await real(ret, readings)

        running.steps.step = step  # type: ignore[method-assign]
        await stage.submit(a_line("1"), return_id="1")
        await stage.submit(a_line("2"), return_id="2")
        await running.until(State.AWAITING_INSPECTION, "2", within=10.0)
        await running.until(State.AWAITING_INSPECTION, "1", within=CRASH_PAUSE + 10.0)
        assert stage.metrics.troubles["bug"] == 1

    living(scenario)


def test_the_reconciler_reads_an_order_once_for_all_its_returns(living):
    """Three returns on one order that are due soon after each other cost one read, and all three learn from it."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        stage.ship(SOCK=3)
        for n in ("1", "2", "3"):
            await stage.submit(a_line(n), return_id=n)
            await running.until(State.AWAITING_INSPECTION, n)
            await running.wait(20.0)
        stage.network.calls.clear()
        for n in ("1", "2", "3"):
            await stage.inspect("Sellable", line=n, return_id=n)
        await running.wait(600.0)
        assert stage.network.count("order") == 1
        assert {(await stage.ret(n)).state for n in ("1", "2", "3")} <= {State.PROCESSING, State.CLOSED}

    living(scenario, timings=clocks(inspection_idle=600.0))


async def test_a_restart_tries_again_at_once_what_was_postponed(stage):
    """Whoever restarts has often just put things right: a postponed return does not wait for its pause to end."""
    stage.ship(SOCK=1)
    await stage.submit()
    stage.portal.fail("label_request", Unavailable("down", retry_after=300.0))
    await stage.work()
    await stage.restart()

    assert await try_again_now(stage.store, stage.clock) == 1
    await stage.work()
    assert (await stage.ret()).state is State.AWAITING_INSPECTION


async def test_a_restart_does_not_hurry_what_only_waits(stage):
    """A poll that is planned stays planned."""
    stage.ship(SOCK=1)
    stage.network.authorization_delay = HOUR
    await stage.submit()
    await stage.work()
    before = await stage.ret()

    assert await try_again_now(stage.store, stage.clock) == 0
    assert await stage.ret() == before
