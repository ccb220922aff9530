"""Fakes named after the ports they implement, a store that can fail, and metrics that remember.

Faults are set in advance: `fail` and `meanwhile` apply to the next call of an operation, `outage` to every call until
it is removed.
"""

from collections import Counter, deque
from collections.abc import Callable
from typing import TypeVar

from daemon.domain.returns import State
from daemon.ports.store import ReturnStore, UnitOfWork
from tests.support.fake_amazon import FakeNetwork, FakePostage
from tests.support.fake_loop import FakePortal, LoopReturn
from tests.support.fake_vendor import Call, Killed, Vendor

__all__ = [
    "Call",
    "FakeNetwork",
    "FakePortal",
    "FakePostage",
    "Killed",
    "LoopReturn",
    "RecordingMetrics",
    "Vendor",
    "WatchedStore",
]

T = TypeVar("T")


class WatchedStore:
    """A real store whose commits can be watched and made to fail. Implements ReturnStore."""

    def __init__(self, store: ReturnStore) -> None:
        self.store = store
        self.watch: Callable[[str], None] = lambda _point: None
        self._failures: deque[tuple[int, Exception, bool]] = deque()
        self.commits = 0

    def fail(self, error: Exception, *, skip: int = 0, after: bool = False) -> None:
        """Let a transaction fail after `skip` others: rolled back at its end, or (`after`) after its commit."""
        self._failures.append((self.commits + skip, error, after))

    async def transact(self, work: Callable[[UnitOfWork], T]) -> T:
        number, self.commits = self.commits, self.commits + 1
        failure = next((f for f in self._failures if f[0] == number), None)
        self.watch("before commit")
        if failure and not failure[2]:
            return await self.store.transact(lambda uow: _undo(work(uow), failure[1]))
        result = await self.store.transact(work)
        if failure:
            raise failure[1]
        self.watch("after commit")
        return result

    async def read(self, work: Callable[[UnitOfWork], T]) -> T:
        return await self.store.read(work)


def _undo(_: T, error: Exception) -> T:
    raise error


class RecordingMetrics:
    """Remembers everything that was counted. Implements Metrics and ShopMetrics."""

    def __init__(self) -> None:
        self.webhooks: Counter[tuple[str, str]] = Counter()
        self.steps: Counter[tuple[str, str]] = Counter()
        self.moves: list[tuple[State | None, State]] = []
        self.label_seconds: list[float] = []
        self.inspection_seconds: list[float] = []
        self.notifications: Counter[str] = Counter()
        self.rounds: list[tuple[str, float]] = []
        self.troubles: Counter[str] = Counter()

    def webhook(self, shop: str, outcome: str, now: float) -> None:
        self.webhooks[shop, outcome] += 1

    def step(self, act: str, outcome: str) -> None:
        self.steps[act, outcome] += 1

    def moved(self, shop: str, before: State | None, after: State) -> None:
        self.moves.append((before, after))

    def adopted(self, before: State | None, after: State) -> None:
        if before is not after:
            self.moves.append((before, after))

    def label_delivered(self, seconds: float) -> None:
        self.label_seconds.append(seconds)

    def inspection_seen(self, seconds: float) -> None:
        self.inspection_seconds.append(seconds)

    def notification(self, outcome: str, now: float, account: str) -> None:
        self.notifications[outcome] += 1

    def service_round(self, service: str, oldest_due_seconds: float) -> None:
        self.rounds.append((service, oldest_due_seconds))

    def trouble(self, kind: str) -> None:
        self.troubles[kind] += 1
