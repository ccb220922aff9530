"""Assigns wanted units to shipped units, using the current content of the store."""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.domain.allocation import allocate, take_over
from daemon.domain.orders import FulfillmentOrder
from daemon.domain.returns import Return, ReturnUnit
from daemon.engine.handlers.takeover import Freed, taken_over
from daemon.ports.store import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Units with their places, and the units that other returns give up."""

    units: tuple[ReturnUnit, ...]
    transferred: tuple[tuple[Return, ReturnUnit], ...]

    @property
    def homeless(self) -> tuple[ReturnUnit, ...]:
        """The units without a place."""
        return tuple(unit for unit in self.units if not unit.return_item_id)

    @property
    def placed(self) -> tuple[ReturnUnit, ...]:
        """The units with a place."""
        return tuple(unit for unit in self.units if unit.return_item_id)


def place(
    uow: UnitOfWork,
    ret: Return,
    units: Sequence[ReturnUnit],
    orders: Sequence[FulfillmentOrder],
    freed: Freed | None = None,
) -> Placement:
    """Assign to units what other returns no longer need, and otherwise shipped units promised to nobody."""
    order_ids = [order.order_id for order in orders]
    asked, transferred = take_over(units, orders, taken_over(uow, ret, order_ids, freed or {}))
    free = allocate(ret, [u for u in asked if not u.return_item_id], orders, uow.promised(ret, order_ids))
    return Placement(units=(*(u for u in asked if u.return_item_id), *free), transferred=transferred)
