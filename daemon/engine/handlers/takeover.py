"""What returns that ended otherwise still have at Amazon, for others that ask for the same units again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from daemon.domain.allocation import expected, freed_lines, transferable
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
"""By return (shop, id), the lines of which the portal says that the shopper may return them anew."""


def taken_over(uow: UnitOfWork, ret: Return, order_ids: Sequence[str], freed: Freed) -> list[tuple[Return, ReturnUnit]]:
    """What returns on the same orders still have at Amazon and have no use for any more, oldest return first."""
    return [
        (other, unit)
        for other in others_on(uow, ret, order_ids)
        for unit in transferable(other, order_ids, freed.get((other.shop, other.return_id), frozenset()))
    ]


async def freed_elsewhere(
    ret: Return, units: Sequence[ReturnUnit], order_ids: Sequence[str], context: ShopContext
) -> Freed:
    """Read in the portal what became of the shop's other returns that hold such units.

    The portal lets a unit be returned once at a time, so that asked again it was given up elsewhere, however that
    return has ended there: cancelled, expired, cancelled in review, or by its line being taken out.
    """
    skus = {unit.sku for unit in units}
    others = await context.store.read(lambda uow: others_on(uow, ret, order_ids))
    freed = {}
    for other in others:
        if other.shop != ret.shop or skus.isdisjoint(unit.sku for unit in expected(other)):
            continue
        try:
            details = await context.portal.details(other.return_id, Lane.OPENING)
        except Refused:  # the portal does not know it any more, which says nothing about the unit
            continue
        if lines := freed_lines(other, details):
            freed[other.shop, other.return_id] = lines
    return freed


def transfer(
    uow: UnitOfWork, ret: Return, transferred: Sequence[tuple[Return, ReturnUnit]], now: float, context: ShopContext
) -> tuple[Postage, ...]:
    """A return gives its units up in the transaction in which another takes them, with their live labels."""
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
    """Have the portal read for other returns that hold such units; whether there are any.

    The portal lets a unit be returned once at a time: the other return has ended there, and that was not heard.
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
    """Whether the label of the unit's parcel is just being given back."""
    postage = postage_of(holder, unit.authorization_id)
    if postage is None or postage.void is not Void.WANTED:
        return False
    return bool(postage.shipment_id) or purchase_unclear(holder, postage)


def _take_over(uow: UnitOfWork, holder: Return, postage: Postage, taker: Return, context: ShopContext) -> bool:
    """Whether a cancelled return's label serves another as it is: what cannot be given back is not bought again."""
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
