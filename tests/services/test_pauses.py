"""One 429 with a long Retry-After: whom it concerns plans with it, everybody else goes on, and a restart knows of it."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from adapters.loop_returns.client import LoopPortal
from adapters.loop_returns.limits import LoopLimits
from adapters.vendor_calls.transport import Reply
from daemon.app.accounts import connect
from daemon.app.live_config import Current
from daemon.domain.returns import State
from daemon.engine.clock_check import ClockCheck
from daemon.engine.pauses import PauseKeeper
from daemon.engine.polls import PortalPolls
from daemon.engine.supervisor import Heartbeats, run_every
from daemon.errors import RateLimited
from daemon.ports.vendors import Lane
from tests.services.running_walkers import RunningWalkers, crowd, shopper_waits, throttler_on
from tests.services.stage import HOUR
from tests.support.simulation.daemon_process import configuration
from tests.support.simulation.vendors import OPTIONS, SHOP
from tests.support.virtual_time import FakeClock, run_virtual


class ScriptedTransport:
    """Answers empty lists, but for the third call of a shop that wants an hour of peace."""

    def __init__(self, clock: FakeClock, *, throttles: bool) -> None:
        self.clock = clock
        self.throttles = throttles
        self.calls: list[float] = []

    async def send(self, method, url, *, operation, headers, body):
        self.calls.append(self.clock.monotonic())
        if self.throttles and len(self.calls) == 3:
            raise RateLimited("loop issued_requests: rate limited (429)", retry_after=3600.0)
        return Reply(200, CIMultiDictProxy(CIMultiDict()), b'{"data": []}')


class DeafIntake:
    async def hear(self, *_args):
        """Nothing is listed."""


def portal_of(clock, transport):
    return LoopPortal(
        transport,
        LoopLimits(clock),
        clock=clock,
        api_url="http://x",
        api_version="2026-10",
        api_key=lambda: "k",
        processor="",
        currency="USD",
    )


def test_one_shops_pause_is_no_other_shops_and_no_missed_beat():
    """The other shop is polled on time, no service misses its beat, and the paused one is called when the hour is over."""

    async def main(clock: FakeClock) -> None:
        transports = {
            "acme": ScriptedTransport(clock, throttles=True),
            "bella": ScriptedTransport(clock, throttles=False),
        }
        portals = {shop: portal_of(clock, transport) for shop, transport in transports.items()}
        polls = PortalPolls(portals, DeafIntake(), None, ClockCheck(clock))
        beats, stop = Heartbeats(clock), asyncio.Event()
        beats.promise("poll", 3 * 180.0 + 600.0)

        async def observe() -> None:
            while clock.monotonic() < 6000.0:
                await clock.wait(stop, 10.0)
                assert beats.late() == []
            stop.set()

        with throttler_on(clock):
            poll = run_every(
                180.0,
                polls.label_requests,
                name="poll",
                clock=clock,
                stop=stop,
                beat=lambda: beats.beat("poll"),
                draw=lambda: 0.5,
            )
            await asyncio.gather(poll, observe())
        assert transports["bella"].calls == [180.0 * n for n in range(len(transports["bella"].calls))]
        assert len(transports["bella"].calls) > 30
        assert transports["acme"].calls[:3] == [0.0, 180.0, 360.0]
        assert 3960.0 <= transports["acme"].calls[3] <= 3960.0 + 180.0

    run_virtual(main)


def test_a_round_that_waits_for_its_turn_beats():
    """A poll of many pages waits for the shop's limit for longer than its service has promised: it is no dead service."""

    async def main(clock: FakeClock) -> None:
        beats, stop = Heartbeats(clock), asyncio.Event()
        beats.promise("poll", 60.0)

        async def long_list() -> None:
            await clock.wait(asyncio.Event(), 1000.0)
            assert beats.late() == []
            stop.set()

        await run_every(180.0, long_list, name="poll", clock=clock, stop=stop, beat=lambda: beats.beat("poll"))
        assert clock.monotonic() >= 1000.0

    run_virtual(main)


def test_a_round_that_never_ends_is_broken_off_and_counted():
    """The next one comes; the service lives."""

    async def main(clock: FakeClock) -> None:
        stop, failures = asyncio.Event(), []

        async def hangs() -> None:
            if failures:
                stop.set()
                return
            await asyncio.Event().wait()

        await run_every(
            180.0,
            hangs,
            name="poll",
            clock=clock,
            stop=stop,
            longest=600.0,
            on_failure=lambda *args: failures.append(args),
        )
        assert [(name, type(error).__name__) for name, error in failures] == [("poll", "Transient")]

    run_virtual(main)


@pytest.mark.slow
def test_returns_of_a_paused_shop_wait_in_the_store(living):
    """They are planned for the end of the pause, cost no attempt and no place, and the other shop's shopper is served."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        stage.portal_limits["acme"].throttled(3600.0)
        await crowd(stage, 300)
        assert await shopper_waits(running, "zeta") < 2.5
        await running.wait(10.0)
        waiting = [await stage.ret(f"b{n}") for n in range(300)]
        assert {ret.attempts for ret in waiting} == {0}
        assert {round((ret.due_at or 0.0) - stage.clock.now()) // 60 for ret in waiting} == {59}
        await running.wait(HOUR)
        await running.until(State.AWAITING_INSPECTION, "b299", within=HOUR)

    living(scenario, limited=True, shops=("acme", "zeta"))


async def test_a_pause_outlives_the_process(stage):
    """The next process calls nobody who wants peace; a short pause is not worth a write, and an old one is over."""
    running = {"loop/acme": 3600.0, "amazon/getRates": 5.0}
    keeper = PauseKeeper(stage.store, stage.clock, lambda: running, lambda *_: None)
    await keeper.round()
    commits = stage.store.commits
    stage.clock.advance(5.0)
    running["loop/acme"] -= 5.0
    await keeper.round()
    assert stage.store.commits == commits

    stage.clock.advance(1000.0)
    resumed: dict[str, float] = {}
    await PauseKeeper(stage.store, stage.clock, dict, resumed.__setitem__).recall()
    assert resumed == {"loop/acme": pytest.approx(2595.0)}

    stage.clock.advance(3000.0)
    resumed.clear()
    await PauseKeeper(stage.store, stage.clock, dict, resumed.__setitem__).recall()
    assert resumed == {}


async def test_a_pause_that_was_lifted_is_forgotten(stage):
    """And one that no clock can mean is not kept to."""
    running = {"loop/acme": 3600.0}
    keeper = PauseKeeper(stage.store, stage.clock, lambda: running, lambda *_: None)
    await keeper.round()
    stage.clock.jump(-86400.0)
    resumed: dict[str, float] = {}
    await PauseKeeper(stage.store, stage.clock, dict, resumed.__setitem__).recall()
    assert resumed == {}
    running.clear()
    await keeper.round()
    stage.clock.jump(86400.0)
    await PauseKeeper(stage.store, stage.clock, dict, resumed.__setitem__).recall()
    assert resumed == {}


async def test_every_pause_that_begins_is_heard_of(tmp_path):
    """Whoever keeps pauses need not ask for them: Amazon's and each shop's tell, also those of one's own doctor."""
    async with AsyncExitStack() as stack:
        current = Current(configuration(tmp_path / "mcfd.db", OPTIONS))
        without = {"on_call": lambda _account, _call: None, "refresh_token": lambda _account: lambda: None}
        open_connections = partial(connect, stack, current, FakeClock(), **without)
        vendors = await open_connections()
        examined = await open_connections(sharing=vendors)
        limits, examiner = vendors.accounts["main"].limits, examined.accounts["main"].limits
        for pause in (
            partial(limits.loop[SHOP].throttled, 60.0),
            partial(limits.amazon.throttled, "getRates", 60.0),
            partial(examiner.amazon.throttled, "getRates", 90.0),
        ):
            vendors.paused.clear()
            pause()
            assert vendors.paused.is_set()


def test_whoever_examines_a_paused_shop_is_told_at_once():
    """`mcfd doctor` shares the limits, and does not wait an hour for its turn."""

    async def main(clock: FakeClock) -> None:
        with throttler_on(clock):
            limits = LoopLimits(clock)
            waiting = asyncio.create_task(limits.acquire(Lane.BACKGROUND))
            await waiting
            limits.throttled(3600.0)
            with pytest.raises(RateLimited) as refused:
                await limits.acquire(Lane.SHOPPER)
            assert refused.value.retry_after == pytest.approx(3600.0)
            assert clock.monotonic() == 0.0

    run_virtual(main)
