"""Which fulfillment orders a shopper's order name may mean: the seller's orders by the names that shoppers know.

Nobody waits inside the reading of Amazon's list: a return that needs it asks for it and is told "not yet"; one
background service reads, stores each page as it comes, and wakes the returns whose order was on it.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog

from daemon.domain.candidates import PART, bears
from daemon.domain.durations import DAY
from daemon.domain.returns import MAIN_ACCOUNT, Return
from daemon.engine.supervisor import Rounds, TaskPool
from daemon.errors import McfdError, Refused
from daemon.ports.host import Clock
from daemon.ports.store import ReturnStore, UnitOfWork
from daemon.ports.vendors import FulfillmentNetwork, OrderHead, OrderPage

log = structlog.get_logger(__name__)

OVERLAP = 15 * 60.0
"""Seconds before the newest change that is known, from which the list is read again: a change may be listed late."""

SPACING = 60.0
PATIENCE = 330.0
"""Seconds that a return is taken to wait: a little longer than it is until it looks again."""

ROUND = 1.0
IDLE = 300.0
SLICE = 30.0
"""Seconds that one round reads before it gives a sign of life; the next goes on from there."""

MOST_PAGES = 50_000
MOST_EMPTY = 200
MOST_REPEATED = 3
AFTER_TROUBLE = 600.0

Ref = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the reading goes on, as it is stored.

    `since` is Amazon's time, `newest` the newest change that it told; `began` is ours, of this reading, and `read` of
    the last one that came to its end.
    """

    since: float
    token: str = ""
    began: float = 0.0
    newest: float = 0.0
    read: float = 0.0


@dataclass(slots=True)
class _Guard:
    """Notices a list that leads nowhere, by what its pages hold: a fresh token proves nothing.

    Amazon is known to answer the same page, or empty ones, with a new token each time
    (https://github.com/amzn/selling-partner-api-models/issues/2858, …/issues/2104).
    """

    pages: int = 0
    empty: int = 0
    repeated: int = 0
    seen: set[int] | None = None

    def trouble(self, page: OrderPage) -> str:
        """What is wrong with the pages so far; empty while nothing is."""
        content = hash(frozenset(head.order_id for head in page.heads))
        seen = self.seen = self.seen or set()
        self.pages += 1
        self.empty = 0 if page.heads else self.empty + 1
        self.repeated = self.repeated + 1 if page.heads and content in seen else 0
        seen.add(content)
        if self.repeated >= MOST_REPEATED:
            return "the same pages come again and again"
        if self.empty >= MOST_EMPTY:
            return f"{self.empty} pages in a row were empty"
        return f"it has more than {MOST_PAGES} pages" if self.pages >= MOST_PAGES else ""


@dataclass(frozen=True, slots=True)
class _Waiter:
    """A return that waits for an order of these names, or (`whole`) for the end of a reading.

    It waits until then on the monotonic clock, unless it asks again: it may have ended otherwise.
    """

    names: frozenset[str]
    until: float
    whole: bool = False


class OrderIndex:
    """The seller's orders, read incrementally and only when a match needs them; at most once a minute."""

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
        self._guard: _Guard | None = None  # of the reading that is under way
        self._not_before = float("-inf")
        self._failure: McfdError | None = None
        self._warned = False

    # ---- who needs it

    async def find(self, ret: Return, names: Sequence[str]) -> tuple[OrderHead, ...]:
        """What is known of orders of these names, and of their parts; the return hears when there is more."""
        known = frozenset(names)
        self._waiting[ret.shop, ret.return_id] = _Waiter(known, self._clock.monotonic() + PATIENCE)
        self._asked.set()
        heads = await self._store.read(
            lambda uow: [head for name in names for head in uow.orders_named(self._account, name)]
        )
        fitting = (h for h in heads if bears(h.order_id, known) or bears(h.displayable_order_id, known))
        return tuple(dict.fromkeys(fitting))

    def leave(self, ret: Return) -> None:
        """The return needs the list no more."""
        self._waiting.pop((ret.shop, ret.return_id), None)

    async def read_at(self) -> float | None:
        """When the last reading began that came to its end; None before the first one."""
        return (await self._place()).read or None

    async def read_since(self, at: float, ret: Return) -> bool:
        """Whether a reading that began at that time or later has come to its end; else the return hears when one has.

        Raises what the last one failed of, while that is news.
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
        """How long nothing is to be read, unless somebody asks."""
        if self._guard is not None:
            return 0.0
        return max(ROUND, self._not_before - self._clock.monotonic()) if self._waiting else IDLE

    async def round(self) -> None:
        """Read for a while, if a return waits for it and the last reading began a minute ago. Raises McfdError."""
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
        """Every page is stored with the place to go on from, so that a restart does not begin anew."""
        until = self._clock.monotonic() + SLICE
        place = await self._place()
        while self._clock.monotonic() < until:
            page, place = await self._page(place)
            trouble = guard.trouble(page)
            over = not page.next_token or trouble != ""
            place = self._following(place, page, over=over, sound=not trouble)
            if await self._store.transact(partial(self._keep, page=page, place=place, over=over)):
                self.wake()
            if over:
                self._guard = None
                self._tell(trouble)
                return

    def _tell(self, trouble: str) -> None:
        """Warn once, until a reading ends well; a list that leads nowhere is tried again after minutes."""
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
                return await self._network.orders_since(place.since, place.token), place
            except Refused:  # a page's token does not live for ever
                place = replace(place, token="")
        place = replace(place, began=self._clock.now())
        return await self._network.orders_since(place.since, ""), place

    def _following(self, place: _Place, page: OrderPage, *, over: bool, sound: bool) -> _Place:
        """Where to go on after a page: from the newest date that Amazon told, never from a clock of ours."""
        now = self._amazons_time()
        newest = max((min(head.changed_at or now, now) for head in page.heads), default=0.0)
        place = replace(place, newest=max(place.newest, newest))
        if not over:
            return replace(place, token=page.next_token)
        since = max(place.since, place.newest - OVERLAP) if sound else place.since
        return replace(place, since=since, token="", read=place.began)

    def _keep(self, uow: UnitOfWork, *, page: OrderPage, place: _Place, over: bool) -> bool:
        """Store a page and bring forward the returns that it concerns; whether there are any."""
        now = self._amazons_time()
        heads = [head if head.changed_at else replace(head, changed_at=now) for head in page.heads]
        uow.index_orders(self._account, heads)
        uow.set_mark(self._mark, json.dumps([place.since, place.token, place.began, place.newest, place.read]))
        named = {name for head in heads for name in _names(head)}
        concerned = [
            ref
            for ref, waiter in self._waiting.items()
            if (over and waiter.whole) or not waiter.names.isdisjoint(named)
        ]
        woken = [self._wake(uow, ref) for ref in concerned]
        return any(woken)

    def _wake(self, uow: UnitOfWork, ref: Ref) -> bool:
        self._waiting.pop(ref, None)
        ret, now = uow.get(*ref), self._clock.now()
        if ret is None or ret.due_at is None or ret.due_at <= now:
            return False
        uow.defer(replace(ret, due_at=now))
        return True


def _names(head: OrderHead) -> Iterable[str]:
    """The names by which somebody may wait for an order, as a whole or as a part."""
    for name in (head.order_id, head.displayable_order_id):
        yield name
        yield PART.sub("", name)
