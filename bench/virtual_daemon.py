"""The daemon's own walkers, workflow, store and limits between vendors in memory, in virtual time.

The vendors are strict: each call takes time, and one that exceeds a limit gets a 429 and is counted.
"""

import asyncio
import itertools
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import asyncio_throttle.throttler
import structlog

from adapters.amazon_mcf.limits import AmazonLimits
from adapters.loop_returns.limits import LoopLimits
from adapters.sandbox.limits import TokenBucket as StrictBucket
from daemon.app.services import WALKERS
from daemon.domain.orders import CreateAnswer, FulfillmentOrder
from daemon.domain.portal import PortalLabelRequest, PortalReturn
from daemon.domain.queues import Queue
from daemon.domain.returns import Label, Return, ReturnUnit
from daemon.engine.walker import Claims, Walker
from daemon.errors import RateLimited
from daemon.ports.vendors import Lane, OrderPage
from tests.services.stage import Choices, Stage, make_template
from tests.support.builders import a_line, a_shipment, an_order
from tests.support.fakes import FakeNetwork, FakePortal
from tests.support.virtual_time import FakeClock, run_virtual

READ, CREATE, LIST = "getFulfillmentOrder", "createFulfillmentReturn", "listAllFulfillmentOrders"
SECONDS = {READ: 0.2, CREATE: 0.4, LIST: 1.0, "listReturnReasonCodes": 0.2}
LOOP_SECONDS = 0.1
RATE, BURST = 2.0, 30


class StrictNetwork(FakeNetwork):
    """Amazon behind its published limits, reached through the daemon's own buckets. Times are seconds.

    `ready_after` draws how long an authorization takes; `ready_at` says when each order's existed, `found_at` when a
    read first showed it; `waited` holds how long reads waited for their turn, by lane.
    """

    def __init__(self, clock: FakeClock, ready_after: Callable[[], float], seed: int) -> None:
        super().__init__(clock)
        self.ready_after = ready_after
        self.ready_at: dict[str, float] = {}
        self.found_at: dict[str, float] = {}
        self.waited: dict[Lane, list[float]] = {lane: [] for lane in Lane}
        self.served: Counter[str] = Counter()
        self.refused = 0
        self._chance = random.Random(seed)
        self._limits = AmazonLimits(clock, {}, jitter=self._chance.random)
        self._strict = {operation: StrictBucket(RATE, BURST) for operation in SECONDS}

    async def order(self, order_id: str, lane: Lane) -> FulfillmentOrder | None:
        order = await self._called(READ, lane, lambda: super(StrictNetwork, self).order(order_id, lane))
        if order_id in self.ready_at and self._clock.now() >= self.ready_at[order_id]:
            self.found_at.setdefault(order_id, self._clock.now())
        return order

    async def create_return(self, order_id: str, units: Sequence[ReturnUnit]) -> CreateAnswer:
        async def create() -> CreateAnswer:
            self.authorization_delay = self.ready_after()
            self.ready_at[order_id] = self._clock.now() + self.authorization_delay
            return await super(StrictNetwork, self).create_return(order_id, units)

        return await self._called(CREATE, Lane.SHOPPER, create)

    async def reason_codes(self, sku: str) -> Sequence[str]:
        return await self._called(
            "listReturnReasonCodes", Lane.SHOPPER, lambda: super(StrictNetwork, self).reason_codes(sku)
        )

    async def orders_since(self, since: float, next_token: str) -> OrderPage:
        return await self._called(
            LIST, Lane.BACKGROUND, lambda: super(StrictNetwork, self).orders_since(since, next_token)
        )

    async def _called(self, operation: str, lane: Lane, work: Callable[[], Awaitable[object]]) -> object:  # type: ignore[misc]
        asked = self._clock.monotonic()
        await self._limits.acquire(operation, lane)
        if operation == READ:
            self.waited[lane].append(self._clock.monotonic() - asked)
        trip = SECONDS[operation] / 2
        await self._pass(trip * self._chance.uniform(0.7, 1.3))
        if not self._strict[operation].take(self._clock.monotonic()):
            self.refused += 1
            self._limits.throttled(operation, None)
            raise RateLimited("QuotaExceeded")
        self.served[operation] += 1
        answer = await work()
        await self._pass(trip)
        return answer

    async def _pass(self, seconds: float) -> None:
        await self._clock.wait(asyncio.Event(), seconds)


class StrictPortal(FakePortal):
    """Loop behind its 300 calls a minute, reached through the daemon's own window."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.delivered_at: dict[str, float] = {}
        self._limits = LoopLimits(clock)

    async def label_request(self, request_id: str, lane: Lane) -> PortalLabelRequest:
        await self._turn(lane)
        return await super().label_request(request_id, lane)

    async def details(self, return_id: str, lane: Lane) -> PortalReturn:
        await self._turn(lane)
        return await super().details(return_id, lane)

    async def deliver_label(self, request_id: str, label: Label) -> str:
        await self._turn(Lane.SHOPPER)
        self.delivered_at[self.requests[request_id].return_id] = self._clock.now()
        return await super().deliver_label(request_id, label)

    async def notes(self, return_id: str) -> Sequence[str]:
        await self._turn(Lane.BACKGROUND)
        return await super().notes(return_id)

    async def write_note(self, return_id: str, text: str) -> None:
        await self._turn(Lane.BACKGROUND)
        await super().write_note(return_id, text)

    async def _turn(self, lane: Lane) -> None:
        await self._limits.acquire(lane)
        await self._clock.wait(asyncio.Event(), LOOP_SECONDS)


class VirtualDaemon:
    """All walkers of one daemon, and what they wait for."""

    def __init__(self, stage: Stage, network: StrictNetwork, portal: StrictPortal) -> None:
        self.stage, self.network, self.portal = stage, network, portal
        self.clock = stage.clock
        self.stop = asyncio.Event()
        self.submitted_at: dict[str, float] = {}
        self._claims = Claims()
        self.walkers = [self._walker(*row) for row in WALKERS]
        stage.on_wake = self._wake

    def _walker(self, name: str, queue: Queue, places: int, patience: float) -> Walker:
        return Walker(
            name,
            queue,
            workflow=self.stage.workflow,
            store=self.stage.store,
            clock=self.clock,
            metrics=self.stage.metrics,
            claims=self._claims,
            beat=_nothing,
            places=places,
            patience=patience,
            grace=1.0,
        )

    def _wake(self) -> None:
        for walker in self.walkers:
            walker.wake.set()

    async def wait(self, seconds: float) -> None:
        """Let time pass."""
        await self.clock.wait(asyncio.Event(), seconds)

    async def submit(self, return_id: str) -> None:
        """Submit a return of a new order, and deliver its webhook."""
        self.submitted_at[return_id] = self.clock.now()
        self.network.add(an_order(return_id, a_shipment("S" + return_id, SOCK=1)))
        await self.stage.submit(a_line(return_id), return_id=return_id, provider_order_id=return_id)

    def submitting(self, rate: float) -> None:
        """Submit returns at random times from now on."""
        self._shoppers = asyncio.create_task(self._shop(rate))

    async def _shop(self, rate: float) -> None:
        chance = random.Random(17)
        for n in itertools.count():
            if await self.clock.wait(self.stop, chance.expovariate(rate)):
                return
            await self.submit(str(n))

    async def stored(self, return_id: str) -> Return:
        """Read the stored return."""
        return await self.stage.ret(return_id)


@asynccontextmanager
async def living(
    clock: FakeClock,
    ready_after: Callable[[], float],
    *,
    seed: int,
    prepare: Callable[[Path], None] = lambda _path: None,
) -> AsyncIterator[VirtualDaemon]:
    """Run a daemon with all its walkers."""
    folder = Path(tempfile.mkdtemp(prefix="mcfd-bench-", dir=_fast_disk()))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    real, asyncio_throttle.throttler.time = asyncio_throttle.throttler.time, SimpleNamespace(monotonic=clock.monotonic)
    try:
        path = make_template(folder / "mcfd.db")
        prepare(path)
        stage = Stage(path, clock, Choices(), lambda _point: None)
        network, portal = StrictNetwork(clock, ready_after, seed), StrictPortal(clock)
        stage.network, stage.portal, stage.portals = network, portal, {"acme": portal}
        await stage.start()
        daemon = VirtualDaemon(stage, network, portal)
        async with asyncio.TaskGroup() as group:
            for walker in daemon.walkers:
                group.create_task(walker.run(daemon.stop))
            group.create_task(stage.index.run(daemon.stop, beat=_nothing, on_failure=_nothing))
            try:
                yield daemon
            finally:
                daemon.stop.set()
        await stage.stop()
    finally:
        asyncio_throttle.throttler.time = real
        shutil.rmtree(folder)


def _nothing(*_: object) -> None:
    """Ignore it: the benchmark does not watch it, and failures are logged."""


def _fast_disk() -> str | None:
    """Return a folder in memory, if there is one: virtual time does not measure disks."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


__all__ = ["BURST", "RATE", "READ", "StrictNetwork", "VirtualDaemon", "living", "run_virtual"]
