"""Reads fulfillment orders, and finds the returns that they concern."""

from collections.abc import Iterable, Sequence

from daemon.domain.orders import FulfillmentOrder
from daemon.domain.returns import Return
from daemon.engine.handlers.context import ShopContext
from daemon.ports.store import UnitOfWork
from daemon.ports.vendors import Lane


async def read_orders(ret: Return, context: ShopContext, lane: Lane) -> Sequence[FulfillmentOrder]:
    """Every fulfillment order of a return, except those that Amazon no longer knows."""
    read = [await context.account.network.order(order_id, lane) for order_id in ret.order_ids()]
    return [order for order in read if order is not None]


def others_on(uow: UnitOfWork, ret: Return, order_ids: Iterable[str]) -> Sequence[Return]:
    """The other returns that have units on these orders, oldest return of each order first."""
    refs = dict.fromkeys(ref for order_id in order_ids for ref in uow.on_order(ret.account, order_id))
    found = [uow.get(*ref) for ref in refs if ref != (ret.shop, ret.return_id)]
    return [other for other in found if other is not None]
