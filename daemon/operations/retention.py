"""Deletes expired data: labels, dead letters, deliveries, and returns that ended long ago."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

from daemon.domain.durations import YEAR
from daemon.domain.returns import State
from daemon.ports.host import Clock
from daemon.ports.names import bought_labels, link_mark, proof_mark
from daemon.ports.store import MaintainedStore, Maintenance

Forgotten = Callable[[str, State], None]

log = structlog.get_logger(__name__)

AT_ONCE = 100
"""Rows deleted in one transaction, so that webhooks do not wait long."""

LABELS_AT_ONCE = 10
"""Fewer for labels: one may have a megabyte, and emptying it writes all of it to the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """How long things are kept, in seconds. Each document stores its own end."""

    dead_letters: float
    closed_returns: float
    order_index: float
    calls: float
    deliveries: float = YEAR


class Retention:
    """Runs nightly, and on an operator's request. `forgotten` gets shop and state of each deleted return."""

    def __init__(
        self,
        store: MaintainedStore,
        clock: Clock,
        periods: Periods,
        forgotten: Forgotten = lambda _shop, _state: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._periods = periods
        self._forgotten = forgotten

    async def purge(self) -> dict[str, int]:
        """Delete it all, and return unused pages to the disk; returns the number of each kind, and the bytes."""
        now, periods = self._clock.now(), self._periods
        ended, received = now - periods.closed_returns, now - periods.deliveries
        listed = now - periods.order_index
        gone = {
            "labels": await self._labels(now),
            "dead_letters": await self._store.upkeep(lambda keep: keep.drop_letters(now - periods.dead_letters)),
            "deliveries": await self._in_parts(lambda keep: keep.drop_deliveries(received, AT_ONCE)),
            "calls": await self._in_parts(lambda keep: keep.drop_calls(now - periods.calls, AT_ONCE)),
            "known_orders": await self._in_parts(lambda keep: keep.drop_indexed_orders(listed, AT_ONCE)),
            "returns": await self._in_parts(partial(_drop_ended, before=ended, forgotten=self._forgotten)),
        }
        await self._store.upkeep(lambda keep: keep.drop_empty_documents(ended))
        await self._store.upkeep(lambda keep: keep.drop_tombstones(ended))
        gone["bytes"] = max(0, await self._store.shrink())  # the log's pages may have just been moved into the file
        if any(gone.values()):
            log.info("store.purged", **gone)
        return gone

    async def _labels(self, now: float) -> int:
        total = 0
        while gone := await self._store.transact(lambda uow: uow.drop_documents(now, LABELS_AT_ONCE)):
            total += gone
        return total

    async def nightly(self) -> None:
        """One round of the service."""
        await self.purge()

    async def _in_parts(self, drop: Callable[[Maintenance], int]) -> int:
        total = 0
        while gone := await self._store.upkeep(drop):
            total += gone
        return total


def _drop_ended(keep: Maintenance, before: float, forgotten: Forgotten) -> int:
    """Delete ended returns with everything stored under their names."""
    ended = keep.ended(before, AT_ONCE)
    for shop, return_id, state in ended:
        keep.drop_documents_named(bought_labels(shop, return_id))
        keep.drop_mark(link_mark(shop, return_id))
        keep.drop_mark(proof_mark(shop, return_id))
        keep.drop_return(shop, return_id)
        forgotten(shop, state)
    return len(ended)
