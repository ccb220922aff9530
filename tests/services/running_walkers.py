"""All walkers of one daemon, in virtual time, with fake vendors behind real rate limits or none."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncio_throttle.throttler

from adapters.amazon_mcf.limits import AmazonLimits
from adapters.loop_returns.limits import LoopLimits
from daemon.app.services import WALKERS
from daemon.domain.portal import RequestIssued
from daemon.domain.returns import Return, State
from daemon.engine.handlers.context import Readings
from daemon.engine.walker import Claims, Walker
from daemon.ports.vendors import Lane
from tests.services.stage import DAY, Choices, Stage, open_stage
from tests.support.builders import a_line, a_shipment, an_order
from tests.support.fake_loop import LoopReturn
from tests.support.virtual_time import FakeClock, run_virtual

GRACE = 16.0


class WatchedSteps:
    """A workflow that notices when one return is stepped by two at once."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.under_way: Counter[str] = Counter()
        self.together = 0
        self.most = 0
        self.stepped: list[str] = []

    async def step(self, ret: Return, readings: Readings) -> Return:
        self.stepped.append(ret.return_id)
        self.under_way[ret.return_id] += 1
        self.together = max(self.together, self.under_way[ret.return_id])
        self.most = max(self.most, sum(self.under_way.values()))
        try:
            return await self.stage.workflow.step(ret, readings)
        finally:
            self.under_way[ret.return_id] -= 1


class RunningWalkers:
    """All walkers of one daemon."""

    def __init__(self, stage: Stage, limit: int | None = None) -> None:
        self.stage = stage
        self.stop = asyncio.Event()
        self.steps = WatchedSteps(stage)
        self.beats: Counter[str] = Counter()
        claims = Claims()
        self.walkers = [
            Walker(
                name,
                queue,
                workflow=self.steps,  # type: ignore[arg-type]
                store=stage.store,
                clock=stage.clock,
                metrics=stage.metrics,
                claims=claims,
                beat=lambda name=name: self.beats.update([name]),
                places=limit or most,
                patience=patience,
                grace=GRACE,
            )
            for name, queue, most, patience in WALKERS
        ]
        stage.on_wake = self.wake

    def wake(self) -> None:
        """As the daemon does after a webhook."""
        for walker in self.walkers:
            walker.wake.set()

    async def wait(self, seconds: float) -> None:
        """Let time pass while the walkers run."""
        await self.stage.clock.wait(asyncio.Event(), seconds)

    async def until(self, state: State, return_id: str = "77", within: float = DAY) -> None:
        """Let time pass until a return is in that state."""
        end = self.stage.clock.now() + within
        while (await self.stage.ret(return_id)).state is not state:
            assert self.stage.clock.now() < end, (await self.stage.ret(return_id)).state
            await self.wait(1.0)


@asynccontextmanager
async def walking(running: RunningWalkers) -> AsyncIterator[RunningWalkers]:
    """Run the walkers inside the context."""
    async with asyncio.TaskGroup() as group:
        for walker in running.walkers:
            group.create_task(walker.run(running.stop))
        yield running
        running.stop.set()


def live(
    folder: Path,
    template: Path,
    scenario: Callable[[RunningWalkers], Awaitable[None]],
    *,
    limit: int | None = None,
    limited: bool = False,
    **choices: Any,
) -> None:
    """Run a scenario in virtual time while all walkers run; `limited` applies our rate limits to the vendors."""

    async def main(clock: FakeClock) -> None:
        with throttler_on(clock):
            stage = await open_stage(folder, template, Choices(**choices), clock=clock)
            if limited:
                put_behind_limits(stage)
            try:
                async with walking(RunningWalkers(stage, limit)) as running:
                    await scenario(running)
            finally:
                await stage.stop()

    run_virtual(main)


@contextmanager
def throttler_on(clock: FakeClock):
    """Let asyncio-throttle, which reads the machine's clock itself, read this one."""
    real = asyncio_throttle.throttler.time
    asyncio_throttle.throttler.time = SimpleNamespace(monotonic=clock.monotonic)
    try:
        yield
    finally:
        asyncio_throttle.throttler.time = real


AMAZON_CALLS = {
    "order": "getFulfillmentOrder",
    "orders_since": "listAllFulfillmentOrders",
    "create_return": "createFulfillmentReturn",
    "reason_codes": "listReturnReasonCodes",
}
PORTAL_CALLS = ("label_request", "details", "deliver_label", "report_refusal", "notes", "write_note", "flag", "process")


def put_behind_limits(stage: Stage) -> None:
    """Every call waits for its turn as it would before the vendors, and takes a tenth of a second."""
    amazon = AmazonLimits(stage.clock, {}, jitter=lambda: 0.0)
    for method, operation in AMAZON_CALLS.items():
        lane = Lane.BACKGROUND if method == "orders_since" else Lane.SHOPPER

        async def turn(lane: Lane, operation: str = operation) -> None:
            await amazon.acquire(operation, lane)

        _wait_first(stage, stage.network, method, lane, turn)
    for shop, portal in stage.portals.items():
        limits = stage.portal_limits[shop] = LoopLimits(stage.clock, jitter=lambda: 0.0)
        for method in PORTAL_CALLS:
            background = method in {"notes", "write_note", "flag", "process"}

            async def turn_at_loop(lane: Lane, limits: LoopLimits = limits) -> None:
                await limits.acquire(lane)
                limits.observe({})

            _wait_first(stage, portal, method, Lane.BACKGROUND if background else Lane.SHOPPER, turn_at_loop)


def _wait_first(stage: Stage, vendor: Any, method: str, usual: Lane, turn: Callable[[Lane], Awaitable[None]]) -> None:
    real = getattr(vendor, method)

    async def call(*args: Any) -> Any:
        lane = next((arg for arg in args if isinstance(arg, Lane)), usual)
        await turn(lane)
        await stage.clock.wait(asyncio.Event(), 0.1)
        return await real(*args)

    setattr(vendor, method, call)


async def crowd(stage: Stage, size: int, name: str = "b") -> None:
    """So many shoppers of the first shop, each with an order of their own."""
    for n in range(size):
        stage.network.add(an_order(f"{name}{n}", a_shipment("S1", SOCK=1)))
        await stage.submit(
            a_line("1"),
            return_id=f"{name}{n}",
            provider_order_id=f"{name}{n}",
            order_name=f"#{name}{n}",
            order_number=f"{name}{n}",
        )


async def shopper_waits(running: RunningWalkers, shop: str = "acme") -> float:
    """Ask for a label as a shopper; return the seconds until it is there."""
    stage = running.stage
    stage.network.add(an_order("Z1", a_shipment("S1", SOCK=1)))
    ret = LoopReturn(return_id="z", lines=[a_line("1")], provider_order_id="Z1", order_name="#Z1", order_number="Z1")
    stage.portals[shop].submit(ret)
    start = stage.clock.now()
    await stage.intake.hear(shop, [RequestIssued(return_id="z", request_id="qz")])
    while (await stage.ret("z", shop)).state is not State.AWAITING_INSPECTION:
        await running.wait(0.1)
        assert stage.clock.now() - start < DAY
    return stage.clock.now() - start
