"""What cancelled returns still have at Amazon, for others that ask for the same units again."""

from collections.abc import Sequence
from dataclasses import replace

from daemon.domain.allocation import transferable
from daemon.domain.duties import purchase_unclear
from daemon.domain.events import returns as ev
from daemon.domain.lifecycle import apply
from daemon.domain.postage import postage_of
from daemon.domain.returns import Postage, Return, ReturnUnit, State, Void
from daemon.domain.transitions.labels import LABEL_STATES
from daemon.engine.handlers.context import ShopContext
from daemon.engine.handlers.orders import others_on
from daemon.engine.handlers.postage import document_name
from daemon.ports.store import UnitOfWork


def taken_over(uow: UnitOfWork, ret: Return, order_ids: Sequence[str]) -> list[tuple[Return, ReturnUnit]]:
    """What cancelled returns on the same orders still have at Amazon, oldest return first."""
    return [(other, unit) for other in others_on(uow, ret, order_ids) for unit in transferable(other, order_ids)]


def transfer(
    uow: UnitOfWork, ret: Return, borrowed: Sequence[tuple[Return, ReturnUnit]], now: float, context: ShopContext
) -> tuple[Postage, ...]:
    """A cancelled return gives its units up in the transaction in which another takes them, with their live labels."""
    taken: dict[str, Postage] = {}
    for key in dict.fromkeys((lender.shop, lender.return_id) for lender, _ in borrowed):
        lender = uow.get(*key)
        if lender is not None:
            units = [unit for other, unit in borrowed if (other.shop, other.return_id) == key]
            postage = [postage_of(lender, name) for name in dict.fromkeys(u.authorization_id for u in units)]
            live = tuple(p for p in postage if p is not None and _take_over(uow, lender, p, ret, context))
            event = ev.UnitsTransferred(at=now, handed=tuple(unit.key for unit in units), postage=live)
            uow.save(apply(lender, event), event, lender.state)
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


def being_voided(lender: Return, unit: ReturnUnit) -> bool:
    """Whether the label of the unit's parcel is just being given back."""
    postage = postage_of(lender, unit.authorization_id)
    if postage is None or postage.void is not Void.WANTED:
        return False
    return bool(postage.shipment_id) or purchase_unclear(lender, postage)


def _take_over(uow: UnitOfWork, lender: Return, postage: Postage, borrower: Return, context: ShopContext) -> bool:
    """Whether a cancelled return's label serves another as it is: what cannot be given back is not bought again."""
    sealed = uow.document(document_name(lender, postage))
    live = postage.bought and postage.void is not Void.WANTED
    if not (live and postage.printable and postage.tracking_id and sealed):
        return False
    uow.keep_document(document_name(borrower, postage), sealed, context.clock.now() + context.labels.keep_for)
    return True
