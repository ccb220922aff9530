"""Reading fulfillment orders for what became of the units."""

from collections.abc import Sequence

from daemon.acts.desk import Desk
from daemon.domain.orders import FulfillmentOrder
from daemon.domain.returns import Return
from daemon.ports import Lane


async def read_orders(ret: Return, desk: Desk, lane: Lane) -> Sequence[FulfillmentOrder]:
    """Every fulfillment order of a return; one that Amazon does not know any more is left out."""
    read = [await desk.network.order(order_id, lane) for order_id in ret.order_ids()]
    return [order for order in read if order is not None]
