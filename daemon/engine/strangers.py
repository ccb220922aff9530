"""Looks for returns that mcfd must have worked on and does not know: open in the portal, with our label or notes."""

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from daemon.domain.durations import DAY
from daemon.domain.portal import PortalState
from daemon.engine.clock_check import PORTAL
from daemon.engine.handlers.context import ShopContext
from daemon.engine.handlers.traces import bears_traces
from daemon.engine.supervisor import run_every
from daemon.errors import ListCut, McfdError, Refused
from daemon.ports.host import Clock
from daemon.ports.leases import Holdings
from daemon.ports.names import strangers_mark
from daemon.ports.store import MaintainedStore, Maintenance, ReadableStore, UnitOfWork
from daemon.ports.vendors import ON_BEHALF_OF, Lane

log = structlog.get_logger(__name__)

FIRST_AFTER = 30.0
"""Seconds after the start: whoever waits for a label goes first."""

COUNTED_EVERY = 300.0
LISTED_EVERY = DAY
LOOKED_BACK = 60 * DAY
AT_ONCE = 500
"""Returns of a shop that are read in one round."""

NAMED = 20
MOST_COUNTED = 100_000
OPEN = (PortalState.OPEN, PortalState.REVIEW)


@dataclass(frozen=True, slots=True)
class ToAdopt:
    """The returns of a shop that wait for `mcfd adopt`: `unknown` here, or `unproven`. Some of each are named."""

    unknown: int
    unproven: int
    names: tuple[str, ...]


def to_adopt(keep: Maintenance, unknown: Sequence[str], shop: str) -> ToAdopt:
    """Both kinds, counted."""
    unproven = keep.unproven(shop, MOST_COUNTED)
    return ToAdopt(len(unknown), len(unproven), (*unknown, *unproven)[:NAMED])


def strangers_of(uow: UnitOfWork, shop: str) -> list[str]:
    """The returns that were found and are still unknown."""
    found: list[str] = json.loads(uow.mark(strangers_mark(shop)) or "[]")
    return [name for name in found if not _knows(uow, shop, name)]


def _knows(uow: UnitOfWork, shop: str, return_id: str) -> bool:
    return any(ref[0] == shop for ref in uow.find(return_id))


async def waiting_for_adopt(store: ReadableStore, shops: Collection[str]) -> Mapping[str, ToAdopt]:
    """What waits in each shop; shops without any are left out."""
    unknown = await store.read(lambda uow: {shop: strangers_of(uow, shop) for shop in shops})
    found = await store.survey(lambda keep: {shop: to_adopt(keep, names, shop) for shop, names in unknown.items()})
    return {shop: waiting for shop, waiting in found.items() if waiting.names}


@dataclass(slots=True)
class _Seen:
    ids: set[str] = field(default_factory=set)
    listed_at: float | None = None


class Strangers:
    """Looks into each shop once a day, and counts every few minutes."""

    def __init__(
        self, store: MaintainedStore, contexts: Mapping[str, ShopContext], clock: Clock, holdings: Holdings
    ) -> None:
        self._holdings = holdings
        self._store = store
        self._contexts = contexts
        self._clock = clock
        self._seen = {shop: _Seen() for shop in contexts}
        self.counts: Mapping[tuple[str, ...], float] = {}  # by account and shop

    async def run(self, stop: asyncio.Event) -> None:
        """The service."""
        if not await self._clock.wait(stop, FIRST_AFTER):
            await run_every(COUNTED_EVERY, self.round, name="strangers", clock=self._clock, stop=stop)

    async def round(self) -> None:
        """Look where it is time to, then count."""
        for shop, context in self._contexts.items():
            listed_at = self._seen[shop].listed_at
            lease = self._holdings.of(context.account.name)
            if lease is not None and (listed_at is None or self._clock.monotonic() - listed_at >= LISTED_EVERY):
                try:
                    with lease.reading():
                        await self._look(shop, context)
                except McfdError as error:  # the next round tries again
                    log.info("strangers.not_read", shop=shop, error=str(error))
        waiting = await waiting_for_adopt(self._store, self._contexts)
        self.counts = {
            (context.account.name, shop): float(_count(waiting.get(shop))) for shop, context in self._contexts.items()
        }

    async def _look(self, shop: str, context: ShopContext) -> None:
        ON_BEHALF_OF.set(shop)
        seen = self._seen[shop]
        unseen = [name for name in await self._unknown(shop, context) if name not in seen.ids]
        found = await self._store.read(lambda uow: strangers_of(uow, shop))
        for name in unseen[:AT_ONCE]:
            if name not in found and await _bears_traces(name, context):
                found.append(name)
            seen.ids.add(name)
        await self._store.transact(lambda uow: uow.set_mark(strangers_mark(shop), json.dumps(found)))
        if len(unseen) <= AT_ONCE:
            seen.listed_at = self._clock.monotonic()
        if found:
            names = [f"{shop}/{name}" for name in found[:NAMED]]
            log.warning("returns.unknown", shop=shop, returns=len(found), names=names, text="run mcfd adopt --open")

    async def _unknown(self, shop: str, context: ShopContext) -> list[str]:
        """The portal's open returns that the store does not have."""
        now, ids = context.clock_check.vendor_now(PORTAL), dict[str, None]()
        for state in OPEN:
            try:
                ids |= dict.fromkeys(await context.portal.updated_returns(state, now - LOOKED_BACK, now))
            except ListCut as cut:
                ids |= dict.fromkeys(cut.found)
        return await self._store.read(lambda uow: [name for name in ids if not _knows(uow, shop, name)])


async def _bears_traces(return_id: str, context: ShopContext) -> bool:
    try:
        details = await context.portal.details(return_id, Lane.BACKGROUND)
        if context.policy.not_ours(return_id, details.destination_id):
            return False
        return await bears_traces(details, context)
    except Refused:  # the portal does not show it any more
        return False


def _count(waiting: ToAdopt | None) -> int:
    return waiting.unknown + waiting.unproven if waiting is not None else 0
