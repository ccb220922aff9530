"""An index of the seller's fulfillment orders by the names that shoppers know.

No return blocks while Amazon's list is read: a return that needs it gets "not yet". One background service reads the
list, stores each page as it comes, and wakes the returns whose orders were on it.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, field
from functools import partial

import structlog

from daemon.domain.candidates import PART, bears
from daemon.domain.copies import replace
from daemon.domain.durations import DAY
from daemon.domain.returns import MAIN_ACCOUNT, Return
from daemon.engine.supervisor import Rounds, TaskPool
from daemon.errors import McfdError, Refused
from daemon.ports.host import Clock
from daemon.ports.store import ReturnStore, UnitOfWork
from daemon.ports.vendors import FulfillmentNetwork, OrderHead, OrderPage

log = structlog.get_logger(__name__)

OVERLAP = 15 * 60.0
"""Seconds before the newest known change from which the list is read again, since a change may be listed late."""

SPACING = 60.0
PATIENCE = 330.0
"""Seconds that a return counts as waiting: a little longer than the pause until it asks again."""

ROUND = 1.0
IDLE = 300.0
SLICE = 30.0
"""Seconds that one round reads before it sends a heartbeat; the next round continues from there."""

MOST_PAGES = 50_000
MOST_EMPTY = 200
MOST_REPEATED = 3
AFTER_TROUBLE = 600.0

Ref = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Place:
    """The stored place at which the reading continues.

    `since` and `newest` (the newest change seen) are Amazon's time. `began` (the start of this reading) and `read` (the
    start of the last finished reading) are ours. `pages` and `empty` (those in a row) count this reading.
    """

    since: float
    token: str = ""
    began: float = 0.0
    newest: float = 0.0
    read: float = 0.0
    pages: int = 0
    empty: int = 0


@dataclass(slots=True)
class _Guard:
    """Detects a list without end by the content of its pages: a new token proves nothing.

    Amazon is known to answer the same page, or empty ones, with a new token each time
    (https://github.com/amzn/selling-partner-api-models/issues/2858, …/issues/2104).
    """

    repeated: int = 0
    seen: set[int] = field(default_factory=set)

    def trouble(self, page: OrderPage, place: _Place) -> str:
        """The problem with the pages so far; empty if there is none."""
        content = hash(frozenset(head.order_id for head in page.heads))
        self.repeated = self.repeated + 1 if page.heads and content in self.seen else 0
        self.seen.add(content)
        if self.repeated >= MOST_REPEATED:
            return "the same pages come again and again"
        if place.empty >= MOST_EMPTY:
            return f"{place.empty} pages in a row were empty"
        return f"it has more than {MOST_PAGES} pages" if place.pages >= MOST_PAGES else ""


@dataclass(frozen=True, slots=True)
class _Waiter:
    """A return that waits for an order of these names, or (`whole`) for the end of a reading.

    It counts as waiting until a time on the monotonic clock, unless it asks again, since it may have ended.
    """

    names: frozenset[str]
    until: float
    whole: bool = False


class OrderIndex:
    """The seller's orders, read incrementally, only when a match needs them, at most once a minute."""

    def __init__(
        self,
        network: FulfillmentNetwork,
        store: ReturnStore,
        clock: Clock,
        *,
        account: str = MAIN_ACCOUNT,
        amazons_time: Callable[[], float] | None = None,
        look_back: float = 180 * DAY,
        wake: Callable[[], None] = lambda: None,
        troubled: Callable[[str], None] = lambda _kind: None,
    ) -> None:
        self.wake = wake
        self._network = network
        self._store = store
        self._clock = clock
        self._account = account
        self._amazons_time = amazons_time or clock.now
        self._look_back = look_back
        self._troubled = troubled
        self._mark = f"order-index/{account}"
        self._waiting: dict[Ref, _Waiter] = {}
        self._asked = asyncio.Event()
        self._guard: _Guard | None = None  # of the current reading
        self._not_before = float("-inf")
        self._failure: McfdError | None = None
        self._warned = False

    # ---- for handlers

    async def find(self, ret: Return, names: Sequence[str]) -> tuple[OrderHead, ...]:
        """The known orders with these names, and their parts; the return is woken when there are more."""
        known = frozenset(names)
        self._waiting[ret.shop, ret.return_id] = _Waiter(known, self._clock.monotonic() + PATIENCE)
        self._asked.set()
        heads = await self._store.read(
            lambda uow: [head for name in names for head in uow.orders_named(self._account, name)]
        )
        fitting = (h for h in heads if bears(h.order_id, known) or bears(h.displayable_order_id, known))
        return tuple(dict.fromkeys(fitting))

    def leave(self, ret: Return) -> None:
        """Note that the return no longer needs the list."""
        self._waiting.pop((ret.shop, ret.return_id), None)

    async def read_at(self) -> float | None:
        """When the last finished reading began; None before the first one."""
        return (await self._place()).read or None

    async def read_since(self, at: float, ret: Return) -> bool:
        """Whether a reading that began at or after that time has finished; if not, the return is woken when one has.

        Raises the error of the last reading, if it is recent.
        """
        place = await self._place()
        if place.read >= at:
            return True
        if self._failure is not None and self._clock.monotonic() < self._not_before:
            raise self._failure.with_traceback(None)
        if (waiter := self._waiting.get((ret.shop, ret.return_id))) is not None:
            self._waiting[ret.shop, ret.return_id] = replace(waiter, whole=True)
        return False

    # ---- the service

    async def run(
        self, stop: asyncio.Event, *, beat: Callable[[], None], on_failure: Callable[[str, BaseException], None]
    ) -> None:
        """Read whenever a return waits for it, until `stop` is set."""
        rounds = Rounds("order_index", on_failure)
        pool = TaskPool(
            "order_index", 1, clock=self._clock, on_failure=lambda name, error: on_failure(str(name), error)
        )
        async with pool:
            pool.start("stop", lambda: self._hear(stop))
            while not stop.is_set():
                self._asked.clear()
                await rounds.attempt(self.round)
                beat()
                await self._clock.wait(self._asked, self._pause())

    async def _hear(self, stop: asyncio.Event) -> None:
        await self._clock.wait(stop, None)
        self._asked.set()

    def _pause(self) -> float:
        """How long to read nothing, unless a return asks."""
        if self._guard is not None:
            return 0.0
        return max(ROUND, self._not_before - self._clock.monotonic()) if self._waiting else IDLE

    async def round(self) -> None:
        """Read for a while if a return waits and the last reading began at least a minute ago. Raises McfdError."""
        now = self._clock.monotonic()
        if self._guard is None:
            self._waiting = {ref: waiter for ref, waiter in self._waiting.items() if now < waiter.until}
            if not self._waiting or now < self._not_before:
                return
            self._guard = _Guard()
            self._not_before = now + SPACING
        try:
            await self._read(self._guard)
        except McfdError as error:
            self._guard, self._failure = None, error
            self._not_before = self._clock.monotonic() + SPACING
            raise
        self._failure = None

    async def _read(self, guard: _Guard) -> None:
        """Read pages; each is stored with the place to continue from, so that a restart does not begin again."""
        until = self._clock.monotonic() + SLICE
        place = await self._place()
        while self._clock.monotonic() < until:
            page, place = await self._page(place)
            trouble = guard.trouble(page, place)
            over = not page.next_token or trouble != ""
            place = self._following(place, page, over=over, sound=not trouble)
            if await self._store.transact(partial(self._keep, page=page, place=place, over=over)):
                self.wake()
            if over:
                self._guard = None
                self._tell(trouble)
                return

    def _tell(self, trouble: str) -> None:
        """Warn once until a reading succeeds; a list without end is tried again after minutes."""
        if trouble:
            self._not_before = self._clock.monotonic() + AFTER_TROUBLE
            self._troubled("order_list")
            if not self._warned:
                log.warning("order_list.endless", account=self._account, reason=trouble)
        elif self._warned:
            log.info("order_list.recovered", account=self._account)
        self._warned = trouble != ""

    async def _place(self) -> _Place:
        saved = await self._store.read(lambda uow: uow.mark(self._mark))
        return _Place(*json.loads(saved)) if saved else _Place(self._amazons_time() - self._look_back)

    async def _page(self, place: _Place) -> tuple[OrderPage, _Place]:
        if place.token:
            try:
                page = await self._network.orders_since(place.since, place.token)
            except Refused:  # a page's token does not live for ever
                pass
            else:
                return page, _counted(place, page)
        began = replace(place, token="", began=self._clock.now(), pages=0, empty=0)
        page = await self._network.orders_since(place.since, "")
        return page, _counted(began, page)

    def _following(self, place: _Place, page: OrderPage, *, over: bool, sound: bool) -> _Place:
        """The place to continue after a page: from the newest date in Amazon's answers, never from our clock."""
        now = self._amazons_time()
        newest = max((min(head.changed_at or now, now) for head in page.heads), default=0.0)
        place = replace(place, newest=max(place.newest, newest))
        if not over:
            return replace(place, token=page.next_token)
        since = max(place.since, place.newest - OVERLAP) if sound else place.since
        return replace(place, since=since, token="", read=place.began, pages=0, empty=0)

    def _keep(self, uow: UnitOfWork, *, page: OrderPage, place: _Place, over: bool) -> bool:
        """Store a page and bring forward the returns that it concerns; True if there are any."""
        now = self._amazons_time()
        heads = [head if head.changed_at else replace(head, changed_at=now) for head in page.heads]
        named = self._news(uow, page.heads)
        uow.index_orders(self._account, heads)
        uow.set_mark(self._mark, json.dumps(astuple(place)))
        concerned = [
            ref
            for ref, waiter in self._waiting.items()
            if (over and waiter.whole) or not waiter.names.isdisjoint(named)
        ]
        woken = [self._wake(uow, ref) for ref in concerned]
        return any(woken)

    def _news(self, uow: UnitOfWork, heads: Sequence[OrderHead]) -> set[str]:
        """The names of new and changed orders that a return waits for; the newest are listed again in each reading."""
        wanted = frozenset[str]().union(*(waiter.names for waiter in self._waiting.values()))
        named = [(head, frozenset(_names(head))) for head in heads]
        return {
            name
            for head, names in named
            if not wanted.isdisjoint(names) and not self._knows(uow, head)
            for name in names
        }

    def _knows(self, uow: UnitOfWork, head: OrderHead) -> bool:
        known = uow.orders_named(self._account, head.order_id)
        latest = [old.changed_at or 0.0 for old in known if replace(old, changed_at=head.changed_at) == head]
        return max(latest, default=-1.0) >= (head.changed_at or 0.0)

    def _wake(self, uow: UnitOfWork, ref: Ref) -> bool:
        self._waiting.pop(ref, None)
        ret, now = uow.get(*ref), self._clock.now()
        if ret is None or ret.due_at is None or ret.due_at <= now:
            return False
        uow.defer(replace(ret, due_at=now))
        return True


def _counted(place: _Place, page: OrderPage) -> _Place:
    return replace(place, pages=place.pages + 1, empty=0 if page.heads else place.empty + 1)


def _names(head: OrderHead) -> Iterable[str]:
    """The names under which a return may wait for the order or its parts."""
    for name in (head.order_id, head.displayable_order_id):
        yield name
        yield PART.sub("", name)
