"""Takes over units and labels that ended returns still have at Amazon."""

from collections.abc import Mapping, Sequence

from daemon.domain.allocation import expected, freed_lines, transferable
from daemon.domain.copies import replace
from daemon.domain.duties import purchase_unclear
from daemon.domain.events import returns as ev
from daemon.domain.lifecycle import apply
from daemon.domain.postage import postage_of
from daemon.domain.returns import Postage, Return, ReturnUnit, State, Void
from daemon.domain.transitions.labels import LABEL_STATES
from daemon.engine.handlers.context import ShopContext
from daemon.engine.handlers.orders import others_on
from daemon.errors import Refused
from daemon.ports.names import bought_label
from daemon.ports.store import UnitOfWork
from daemon.ports.vendors import Lane

Freed = Mapping[tuple[str, str], frozenset[str]]
"""By return (shop, id), the lines that the shopper may return again according to the portal."""


def taken_over(uow: UnitOfWork, ret: Return, order_ids: Sequence[str], freed: Freed) -> list[tuple[Return, ReturnUnit]]:
    """Units on the same orders that other returns still have at Amazon but no longer need, oldest return first."""
    return [
        (other, unit)
        for other in others_on(uow, ret, order_ids)
        if not other.unproven
        for unit in transferable(other, order_ids, freed.get((other.shop, other.return_id), frozenset()))
    ]


async def freed_elsewhere(
    ret: Return, units: Sequence[ReturnUnit], order_ids: Sequence[str], context: ShopContext
) -> Freed:
    """Read the shop's other returns with such units in the portal, to find lines that they no longer need.

    The portal lets a unit be in one return at a time. A unit in a new return has therefore left the other one, which
    was cancelled (perhaps in review), has expired, or lost the line.
    """
    skus = {unit.sku for unit in units}
    others = await context.store.read(lambda uow: others_on(uow, ret, order_ids))
    freed = {}
    for other in others:
        if other.shop != ret.shop or skus.isdisjoint(unit.sku for unit in expected(other)):
            continue
        try:
            details = await context.portal.details(other.return_id, Lane.OPENING)
        except Refused:  # the portal no longer knows the return, which says nothing about the unit
            continue
        if lines := freed_lines(other, details):
            freed[other.shop, other.return_id] = lines
    return freed


def transfer(
    uow: UnitOfWork, ret: Return, transferred: Sequence[tuple[Return, ReturnUnit]], now: float, context: ShopContext
) -> tuple[Postage, ...]:
    """Move units and their usable labels from their returns to this one, in one transaction."""
    taken: dict[str, Postage] = {}
    for key in dict.fromkeys((holder.shop, holder.return_id) for holder, _ in transferred):
        holder = uow.get(*key)
        if holder is not None:
            units = [unit for other, unit in transferred if (other.shop, other.return_id) == key]
            postage = [postage_of(holder, name) for name in dict.fromkeys(u.authorization_id for u in units)]
            live = tuple(p for p in postage if p is not None and _take_over(uow, holder, p, ret, context))
            event = ev.UnitsTransferred(at=now, handed=tuple(unit.key for unit in units), postage=live)
            uow.save(apply(holder, event), event, holder.state)
            taken |= {p.authorization_id: p for p in live}
    return tuple(taken.values())


def ask_holders(
    uow: UnitOfWork, ret: Return, units: Sequence[ReturnUnit], order_ids: Sequence[str], now: float
) -> bool:
    """Have other returns with such units read in the portal; True if there are any.

    The portal lets a unit be in one return at a time, so the other return has ended there without our knowing.
    """
    skus = {unit.sku for unit in units}
    holders = [other for other in others_on(uow, ret, order_ids) if other.state in _HEARING and _holds(other, skus)]
    for holder in holders:
        uow.defer(replace(holder, needs_read=True, due_at=min(holder.due_at or now, now)))
    return bool(holders)


_HEARING = LABEL_STATES | {State.AWAITING_INSPECTION, State.EXPIRED}


def _holds(other: Return, skus: set[str]) -> bool:
    return any(unit.sku in skus and unit.processed_at is None for unit in other.authorized())


def being_voided(holder: Return, unit: ReturnUnit) -> bool:
    """Whether the label of the unit's parcel is being voided."""
    postage = postage_of(holder, unit.authorization_id)
    if postage is None or postage.void is not Void.WANTED:
        return False
    return bool(postage.shipment_id) or purchase_unclear(holder, postage)


def _take_over(uow: UnitOfWork, holder: Return, postage: Postage, taker: Return, context: ShopContext) -> bool:
    """Copy the label's document to the taker if the label can be used unchanged; True if so."""
    sealed = uow.document(bought_label(holder, postage))
    live = postage.bought and postage.void is not Void.WANTED
    if not (live and postage.printable and postage.tracking_id and sealed):
        return False
    uow.keep_document(
        bought_label(taker, postage),
        sealed,
        context.clock.now() + context.labels.keep_for,
    )
    return True
