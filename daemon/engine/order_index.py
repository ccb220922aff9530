"""Which fulfillment orders a shopper's order name may mean: the seller's orders by displayable id."""

import asyncio
import json
from dataclasses import dataclass, replace

from daemon.domain.returns import MAIN_ACCOUNT
from daemon.engine.polls import OVERLAP
from daemon.errors import Refused
from daemon.ports.host import Clock
from daemon.ports.store import ReturnStore, UnitOfWork
from daemon.ports.vendors import FulfillmentNetwork, OrderPage


class OrderIndex:
    """The seller's fulfillment orders by displayable id, read incrementally and only when a match needs it."""

    FIRST_LOOK_BACK = 90 * 86400.0
    FRESH_FOR = 60.0

    def __init__(
        self, network: FulfillmentNetwork, store: ReturnStore, clock: Clock, account: str = MAIN_ACCOUNT
    ) -> None:
        self._account = account
        self._network = network
        self._store = store
        self._clock = clock
        self._lock = asyncio.Lock()
        self._read_at = float("-inf")
        self._mark = f"order-index/{account}"

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
            await self._store.transact(lambda uow, page=page, place=place: self._keep(uow, page, place))  # type: ignore[misc]
            if not page.next_token:
                return

    async def _place(self) -> "_Place":
        saved = await self._store.read(lambda uow: uow.mark(self._mark))
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

    def _keep(self, uow: UnitOfWork, page: OrderPage, place: "_Place") -> None:
        heads = [
            head if head.changed_at else replace(head, changed_at=place.began or place.since) for head in page.heads
        ]
        uow.index_orders(self._account, heads)
        uow.set_mark(self._mark, json.dumps([place.since, place.token, place.began]))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the reading goes on: changed since when, the next page's token, and when this reading began."""

    since: float
    token: str
    began: float
