"""Checks parcels bought by a handle once a day, independently of their returns.

A purchase that seemed to fail may have been made after all: it is refunded, since no return needs it. A refund takes
time, and is requested again if the carrier rejects it. Unused labels are refunded in time. Only parcels that were
written down before their purchase are ever touched.
"""

from collections.abc import Mapping

import structlog

from daemon.domain.copies import replace
from daemon.domain.durations import DAY, HOUR
from daemon.domain.events import postage as pe
from daemon.domain.portal import PortalState
from daemon.domain.postage import VoidAnswer, postage_of
from daemon.domain.returns import Postage, Return, State, Void
from daemon.engine.handlers.context import ShopContext
from daemon.engine.handlers.orders import read_orders
from daemon.engine.recorder import Recorder
from daemon.errors import ContractBroken, CredentialsRefused, Refused, Transient
from daemon.ports.host import Metrics
from daemon.ports.store import Purchase, ReturnStore
from daemon.ports.vendors import RETURN_AT_HAND, LabelSource, Lane, PurchaseReader

log = structlog.get_logger(__name__)

EVERY = 600.0  # seconds between rounds
AT_ONCE = 50
STRAYS_WATCHED = 7 * DAY
REFUNDS_WATCHED = 45 * DAY
_HELD_OPEN = frozenset({PortalState.OPEN, PortalState.REVIEW, PortalState.UNKNOWN})
_ENDED = frozenset({State.CLOSED, State.CANCELLED})


class PurchaseWatch:
    """One round checks every parcel of an account that is due. `unused_after` is in seconds from the purchase."""

    def __init__(
        self,
        store: ReturnStore,
        recorder: Recorder,
        contexts: Mapping[str, ShopContext],
        metrics: Metrics,
        *,
        account: str,
        unused_after: float,
    ) -> None:
        self._store = store
        self._clock = recorder.clock
        self._recorder = recorder
        self._contexts = contexts
        self._metrics = metrics
        self._account = account
        self._unused_after = unused_after

    async def round(self) -> None:
        """Check what is due; a vendor that does not answer is asked again tomorrow."""
        now = self._clock.now()
        for parcel in await self._store.read(lambda uow: uow.purchases_due(self._account, now, AT_ONCE)):
            try:
                RETURN_AT_HAND.set((parcel.shop, parcel.return_id))
                look_at = await self._look(parcel)
            except (Transient, CredentialsRefused, ContractBroken) as error:
                log.info("purchase.not_read", shop=parcel.shop, return_id=parcel.return_id, error=str(error))
                look_at = now + DAY
            except Refused:  # it belongs to another account, or is too old to be known
                look_at = None
            await self._store.transact(
                lambda uow, p=parcel, at=look_at: uow.look_at_purchase(p.source, p.handle, at)  # type: ignore[misc]
            )

    async def _look(self, parcel: Purchase) -> float | None:
        """Check one parcel; returns when to check again, or None if its fate is final."""
        now, context = self._clock.now(), self._contexts.get(parcel.shop)
        ours = context is not None and context.account.name == parcel.account
        source = context.account.label_sources.get(parcel.source) if context is not None and ours else None
        ret = await self._store.read(lambda uow: uow.get(parcel.shop, parcel.return_id))
        if (ret is not None and ret.unproven) or (context is not None and context.paused()):
            return now + HOUR
        if context is None or source is None or source.purchase_reader is None or source.mode != parcel.mode:
            return now + DAY if now < parcel.offered_at + REFUNDS_WATCHED else None
        postage = postage_of(ret, parcel.authorization_id) if ret else None
        if ret is None or postage is None or not _in_use(ret, postage, parcel):
            return await self._stray(parcel, source, source.purchase_reader)
        if not postage.shipment_id:
            return now + DAY
        if postage.void is Void.DONE:
            return await self._refund(parcel, ret, postage, source, source.purchase_reader)
        return await self._unused(ret, postage, context)

    async def _stray(self, parcel: Purchase, source: LabelSource, reader: PurchaseReader) -> float | None:
        """Refund a parcel that no return needs, if it was bought after all."""
        now = self._clock.now()
        if not await reader.sold(parcel.handle):
            return now + DAY if now < parcel.offered_at + STRAYS_WATCHED else None
        answer = await reader.voided(parcel.handle)
        if answer in {None, VoidAnswer.REJECTED}:
            answer = await source.void(parcel.handle)
            self._metrics.trouble("stray_purchase")
            log.warning("purchase.stray_given_back", shop=parcel.shop, return_id=parcel.return_id, answer=str(answer))
        done = answer in {VoidAnswer.DONE, VoidAnswer.NEEDLESS}
        return None if done or now >= parcel.offered_at + REFUNDS_WATCHED else now + DAY

    async def _refund(
        self, parcel: Purchase, ret: Return, postage: Postage, source: LabelSource, reader: PurchaseReader
    ) -> float | None:
        """Follow a refund to its end, and check whether the label was used nevertheless."""
        now = self._clock.now()
        reading = await source.track(postage.tracking_id, postage.carrier_id)
        if reading.scanned_at is not None or reading.delivered_at is not None:
            self._metrics.trouble("voided_label_used")
            log.error("purchase.voided_label_used", ref=ret.ref)
            return None
        answer = await reader.voided(parcel.handle)
        if answer is VoidAnswer.REJECTED and now < parcel.offered_at + REFUNDS_WATCHED:
            answer = await source.void(parcel.handle)
        if answer is VoidAnswer.REJECTED and now >= parcel.offered_at + REFUNDS_WATCHED:
            kept = replace(postage, void=Void.DONE)
            await self._recorder.record(
                ret, pe.PostageKept(at=now, postage=kept, why="the carrier rejected the refund")
            )
            self._metrics.trouble("refund_rejected")
        ended = answer in {VoidAnswer.DONE, VoidAnswer.NEEDLESS}
        return None if ended or now >= parcel.offered_at + REFUNDS_WATCHED else now + DAY

    async def _unused(self, ret: Return, postage: Postage, context: ShopContext) -> float | None:
        """Refund a label that was never scanned, unless its units may still come with it."""
        now = self._clock.now()
        used = postage.scanned_at or postage.delivered_at or postage.lost_at
        if used or postage.void is not Void.NO or postage.bought_at is None:
            return None if used or postage.void is Void.KEPT else now + DAY
        due = postage.bought_at + self._unused_after
        if now < due:
            return due
        details = await context.portal.details(ret.return_id, Lane.BACKGROUND)
        if details.state in _HELD_OPEN or await _arrived(ret, postage, context):
            return now + DAY if now < postage.bought_at + REFUNDS_WATCHED else None
        await self._recorder.record(ret, pe.LabelUnused(at=now, postage=postage))
        return now + DAY


def _in_use(ret: Return, postage: Postage, parcel: Purchase) -> bool:
    """Whether the parcel is the return's label, or may still become it."""
    if postage.shipment_id:
        return postage.shipment_id == parcel.handle
    return postage.handle == parcel.handle and postage.void is not Void.KEPT and ret.state not in _ENDED


async def _arrived(ret: Return, postage: Postage, context: ShopContext) -> bool:
    """Whether Amazon has processed a unit of the parcel: then the label was used, whatever the carrier says."""
    units = {u.return_item_id for u in ret.units if u.authorization_id == postage.authorization_id}
    if any(u.processed_at for u in ret.units if u.authorization_id == postage.authorization_id):
        return True
    orders = await read_orders(ret, context, Lane.BACKGROUND)
    return any(item.processed for order in orders for item in order.return_items if item.return_item_id in units)
