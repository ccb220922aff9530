"""Walks due returns: picks their rows, and steps each return in its own task until it has to wait.

Rows with a due time are the queue; a task lives only while its return is due, or will be within `patience`. A round
looks one second ahead and the task waits for the exact time, so one round per second is enough. Each shop has its own
places, so that a busy shop, or one whose portal does not answer, does not hold up another.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from math import inf

import structlog

from daemon.domain.copies import replace
from daemon.domain.queues import Queue, queue_of
from daemon.domain.returns import Return, State
from daemon.engine.handlers.context import Readings
from daemon.engine.supervisor import TaskPool
from daemon.engine.workflow import Workflow
from daemon.errors import LeaseLost, StoreUnavailable
from daemon.ports.host import Clock, Metrics
from daemon.ports.leases import ANY, LEASE, Lease
from daemon.ports.store import ReturnStore, UnitOfWork
from daemon.ports.vendors import ON_BEHALF_OF

log = structlog.get_logger(__name__)

ROUND = 1.0
STORE_PAUSE = 1.0
CRASH_PAUSE = 60.0
LONGEST_POSTPONEMENT = 3 * 3600.0
AT_ONCE = 1000
MOST_TASKS = 20_000
_FOR_LABELS = frozenset({Queue.LABELS, Queue.AUTHORIZATIONS})

Ref = tuple[str, str]


@dataclass(slots=True)
class Claim:
    """One return being walked: until when the walk waits, and the event that interrupts the wait."""

    until: float = -inf
    poke: asyncio.Event = field(default_factory=asyncio.Event)


class Claims:
    """The returns being walked, shared by all walkers so that no two step the same return."""

    def __init__(self) -> None:
        self._hands: dict[Ref, Claim] = {}

    def __contains__(self, ref: Ref) -> bool:
        return ref in self._hands

    def take(self, ref: Ref) -> Claim:
        """Claim a return."""
        return self._hands.setdefault(ref, Claim())

    def leave(self, ref: Ref) -> None:
        """Release a return."""
        self._hands.pop(ref, None)

    def poke(self, ref: Ref, due_at: float) -> None:
        """Interrupt the walk's wait if the return is now due earlier."""
        hand = self._hands[ref]
        if due_at < hand.until:
            hand.poke.set()

    def poke_all(self) -> None:
        """Interrupt every wait: the daemon stops."""
        for hand in self._hands.values():
            hand.poke.set()


class Walker:
    """A service over one queue.

    `places` is the number of returns of one shop walked at once, `patience` the seconds that a task may wait for its
    return to be due again. `lease_of` a shop is None while another node works it.
    """

    def __init__(
        self,
        name: str,
        queue: Queue,
        *,
        workflow: Workflow,
        store: ReturnStore,
        clock: Clock,
        metrics: Metrics,
        claims: Claims,
        beat: Callable[[], None],
        places: int,
        patience: float,
        grace: float,
        lease_of: Callable[[str], Lease | None] = lambda _shop: ANY,
    ) -> None:
        self.name = name
        self.wake = asyncio.Event()
        self._queue = queue
        self._walked: Counter[str] = Counter()
        self._workflow = workflow
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._claims = claims
        self._beat = beat
        self._places = places
        self._patience = patience
        self._grace = grace
        self._lease_of = lease_of

    async def run(self, stop: asyncio.Event) -> None:
        """Go round until `stop` is set, then let the steps in hand finish."""
        pool = TaskPool(self.name, MOST_TASKS, clock=self._clock, on_failure=self._failed)
        async with pool:
            pool.start(self.name, lambda: self._hear(stop))
            while not stop.is_set():
                self.wake.clear()
                await self._round(pool, stop)
                self._beat()
                await self._clock.wait(self.wake, ROUND)
            await pool.drain(self._grace)

    async def _hear(self, stop: asyncio.Event) -> None:
        """Interrupt every wait when the daemon stops."""
        await self._clock.wait(stop, None)
        self.wake.set()
        self._claims.poke_all()

    async def _round(self, pool: TaskPool, stop: asyncio.Event) -> None:
        now = self._clock.now()
        try:
            due = await self._store.read(lambda uow: uow.queued(self._queue, now + ROUND, self._places, self._ours))
        except StoreUnavailable as error:
            log.warning("store.failed", service=self.name, error=str(error))
            self._metrics.trouble("store")
            return
        leases = {shop: self._lease_of(shop) for _, shop, _ in due}
        ours = [row for row in due if leases[row[1]] is not None]
        self._metrics.service_round(self.name, max(0.0, now - ours[0][0]) if ours else 0.0)
        for due_at, shop, return_id in ours:
            ref, lease = (shop, return_id), leases[shop] or ANY
            if ref in self._claims:
                self._claims.poke(ref, due_at)
            elif self._walked[shop] < self._places and pool.room and not pool.busy(ref):
                # Busy although unclaimed: a walk that has just ended is still in the pool for a moment.
                hand = self._claims.take(ref)
                self._walked[shop] += 1
                pool.start(ref, lambda ref=ref, hand=hand, lease=lease: self._walk(ref, hand, lease, stop))  # type: ignore[misc]

    def _ours(self, shop: str) -> bool:
        return self._lease_of(shop) is not None

    async def _walk(self, ref: Ref, hand: Claim, lease: Lease, stop: asyncio.Event) -> None:
        ON_BEHALF_OF.set(ref[0])
        with lease.working():
            await self._walk_on(ref, hand, stop)

    async def _walk_on(self, ref: Ref, hand: Claim, stop: asyncio.Event) -> None:
        try:
            ret = await self._store.read(lambda uow: uow.get(*ref))
            readings = Readings()
            while ret is not None and not stop.is_set() and self._stays(ret) and self._lease_of(ref[0]) is LEASE.get():
                if await self._wait(ret, hand, stop):
                    ret = await self._store.read(lambda uow: uow.get(*ref))
                else:
                    ret = await self._workflow.step(ret, readings)
        except LeaseLost:
            log.info("walk.left", ref="/".join(ref))
            await self._clock.wait(stop, STORE_PAUSE)
        except StoreUnavailable as error:
            log.warning("store.failed", ref="/".join(ref), error=str(error))
            self._metrics.trouble("store")
            await self._clock.wait(stop, STORE_PAUSE)
        except Exception as error:  # noqa: BLE001 - a return that cannot be walked must not keep the others from it
            self._failed(ref, error)
            await self._clock.wait(stop, CRASH_PAUSE)
        finally:
            self._claims.leave(ref)
            self._walked[ref[0]] -= 1
            self.wake.set()

    def _stays(self, ret: Return) -> bool:
        """Whether the walk continues: the return is due soon and still in this walker's queue.

        A label is followed through both queues on its way without a break. A label walker drops the return once its
        label is out, so that its places stay free for shoppers who wait.
        """
        if ret.due_at is None:
            return False
        queue, wait = queue_of(ret), ret.due_at - self._clock.now()
        if queue is self._queue:
            return wait <= self._patience
        return wait <= 0 and {queue, self._queue} <= _FOR_LABELS

    async def _wait(self, ret: Return, hand: Claim, stop: asyncio.Event) -> bool:
        """Wait for the due time; True if the return may have changed meanwhile and must be read again."""
        hand.until = ret.due_at or 0.0
        delay = hand.until - self._clock.now()
        if delay <= 0:
            return False
        hand.poke.clear()
        return await self._clock.wait(hand.poke, delay) or stop.is_set()

    def _failed(self, key: Hashable, error: BaseException) -> None:
        self._metrics.trouble("bug")
        log.error("walk.crashed", ref=str(key), error=type(error).__name__, exc_info=error)


def _postponed(ret: Return, now: float) -> bool:
    """Whether the return waits because of failures. The effect of an unclear call is looked for at its own times."""
    passed_over = ret.passed_over_until is not None and ret.passed_over_until > now
    failed = ret.transient_failures > 0 and not ret.verifications
    return passed_over or (failed and (ret.due_at or 0.0) > now)


async def try_again_now(store: ReturnStore, clock: Clock, account: str | None = None) -> int:
    """Bring forward what the last process postponed, of one account or of all; returns the number of returns.

    An operator who restarts the daemon has often just fixed what a vendor refused, and a shopper may be waiting.
    """

    def work(uow: UnitOfWork) -> int:
        now = clock.now()
        due = uow.due(tuple(State), now + LONGEST_POSTPONEMENT, AT_ONCE)
        found = [uow.get(shop, return_id) for _, shop, return_id in due]
        concerned = [ret for ret in found if ret is not None and account in {None, ret.account}]
        postponed = [ret for ret in concerned if _postponed(ret, now)]
        for ret in postponed:
            uow.defer(replace(ret, due_at=now, passed_over_until=None))
        return len(postponed)

    return await store.transact(work)
