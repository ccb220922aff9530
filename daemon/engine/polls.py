"""The safety net under the webhooks: what they did not bring is found by asking."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from daemon.domain.portal import PortalState, RequestIssued, ReturnChanged
from daemon.engine.intake import Intake
from daemon.errors import McfdError, Refused
from daemon.ports.host import Clock
from daemon.ports.store import ReturnStore, UnitOfWork
from daemon.ports.vendors import FulfillmentNetwork, OrderPage, ReturnsPortal

log = structlog.get_logger(__name__)

POLLED_STATES = (PortalState.CLOSED, PortalState.CANCELLED, PortalState.REVIEW, PortalState.OPEN)
"""Those that are news to some return (`intake.TELLING`)."""
OVERLAP = 120.0
LONGEST_WINDOW = 30 * 86400.0
BATCH = 100

Poll = Callable[[str, ReturnsPortal], Awaitable[None]]


class PortalPolls:
    """Asks each shop for open label requests and for returns that changed. One shop's failure is not another's."""

    def __init__(self, portals: Mapping[str, ReturnsPortal], intake: Intake, store: ReturnStore, clock: Clock) -> None:
        self._portals = portals
        self._intake = intake
        self._store = store
        self._clock = clock

    async def label_requests(self) -> None:
        """Open a return for every issued label request that no webhook told us of."""
        await self._each_shop(self._label_requests)

    async def returns(self) -> None:
        """Hint at every return that changed since the last poll, asked for once per state."""
        await self._each_shop(self._returns)

    async def _each_shop(self, poll: Poll) -> None:
        failed: list[McfdError] = []
        for shop, portal in self._portals.items():
            try:
                await poll(shop, portal)
            except McfdError as error:
                log.warning("poll.failed", shop=shop, error=str(error))
                failed.append(error)
        if failed:
            raise failed[0]

    async def _label_requests(self, shop: str, portal: ReturnsPortal) -> None:
        rows = await portal.issued_requests()
        for start in range(0, len(rows), BATCH):
            await self._intake.hear(
                shop,
                [RequestIssued(return_id=r.return_id, request_id=r.request_id) for r in rows[start : start + BATCH]],
            )

    async def _returns(self, shop: str, portal: ReturnsPortal) -> None:
        until = self._clock.now()
        for state in POLLED_STATES:
            mark = f"returns-poll/{shop}/{state}"
            last = await self._store.read(lambda uow, mark=mark: uow.mark(mark))  # type: ignore[misc]
            since = max(float(last) - OVERLAP, until - LONGEST_WINDOW) if last else until - 86400.0
            ids = await portal.updated_returns(state, since, until)
            for start in range(0, len(ids), BATCH):
                batch = ids[start : start + BATCH]
                await self._intake.hear(shop, [ReturnChanged(return_id=i, state=state) for i in batch])
            await self._store.transact(lambda uow, mark=mark: uow.set_mark(mark, repr(until)))  # type: ignore[misc]


class OrderIndex:
    """The seller's fulfillment orders by displayable id, read incrementally and only when a match needs it."""

    FIRST_LOOK_BACK = 90 * 86400.0
    FRESH_FOR = 60.0
    MARK = "order-index"

    def __init__(self, network: FulfillmentNetwork, store: ReturnStore, clock: Clock) -> None:
        self._network = network
        self._store = store
        self._clock = clock
        self._lock = asyncio.Lock()
        self._read_at = float("-inf")

    async def refresh(self) -> None:
        """Read what changed since the last time; at most once a minute, one reader for all."""
        async with self._lock:
            if self._clock.monotonic() - self._read_at < self.FRESH_FOR:
                return
            await self._read()
            self._read_at = self._clock.monotonic()

    async def _read(self) -> None:
        """Every page is stored with the place to go on from, so that a restart does not begin anew."""
        place = await self._place()
        while True:
            page = await self._page(place)
            began = place.began
            place = _Place(place.since, page.next_token, began) if page.next_token else _Place(began - OVERLAP, "", 0.0)
            await self._store.transact(lambda uow, page=page, place=place: _keep(uow, page, place))  # type: ignore[misc]
            if not page.next_token:
                return

    async def _place(self) -> "_Place":
        saved = await self._store.read(lambda uow: uow.mark(self.MARK))
        now = self._clock.now()
        place = _Place(*json.loads(saved)) if saved else _Place(now - self.FIRST_LOOK_BACK, "", 0.0)
        return place if place.token else replace(place, began=now)

    async def _page(self, place: "_Place") -> OrderPage:
        try:
            return await self._network.orders_since(place.since, place.token)
        except Refused:
            if not place.token:
                raise
            return await self._network.orders_since(place.since, "")  # a page's token does not live for ever


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the reading goes on: changed since when, the next page's token, and when this reading began."""

    since: float
    token: str
    began: float


def _keep(uow: UnitOfWork, page: OrderPage, place: _Place) -> None:
    uow.index_orders(page.heads)
    uow.set_mark(OrderIndex.MARK, json.dumps([place.since, place.token, place.began]))
